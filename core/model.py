"""The Vision Transformer of the tutorial, whole in one file.

Dosovitskiy et al., "An Image is Worth 16x16 Words" (ICLR 2021), at CIFAR-10's size. Attention comes
back as a value of `forward`, never through hooks, so one model serves many threads at once.
"""

import hashlib
import json
from contextlib import nullcontext
from dataclasses import asdict, dataclass

import numpy as np
import torch
from einops import rearrange
from torch import nn

BRIGHTNESS = (0.299, 0.587, 0.114)  # of red, green and blue, ITU-R BT.601


@dataclass(frozen=True)
class ViTConfig:
    """Everything that decides what the network computes; the defaults are the tutorial's."""

    image_size: int = 32  # pixels a side
    patch_size: int = 8  # pixels a side; (32 / 8)^2 = 16 patches, one token each
    channels: int = 3
    classes: int = 10
    width: int = 128  # D, the length of a token
    layers: int = 12
    heads: int = 4
    mlp_width: int = 512  # 4 x width, as in the paper
    patch_embedding: str = (
        "linear"  # "linear" flattens (row, column, channel); "conv" is a convolution
    )
    positions: str = "learned"  # or "sincos": fixed two-dimensional sine waves
    token_std: float = 1.0  # of the CLS token and learned positions at the start. The tutorial's 1
    # drowns the patches, which start at about 0.1; 0.02, as in the paper, learns far sooner
    output_projection: bool = False  # the tutorial has none after its heads; most other ViTs do
    dropout: float = 0.0
    stochastic_depth: float = (
        0.0  # drop rate of the last block, rising linearly from 0 at the first
    )
    mean: tuple[float, ...] = (
        0.5,
        0.5,
        0.5,
    )  # weights only mean something with their normalisation
    std: tuple[float, ...] = (0.5, 0.5, 0.5)

    def __post_init__(self):
        # JSON has no tuples; a config read from a file must equal the one written to it
        object.__setattr__(self, "mean", tuple(self.mean))
        object.__setattr__(self, "std", tuple(self.std))
        for name in (
            "image_size",
            "patch_size",
            "channels",
            "classes",
            "width",
            "layers",
            "heads",
            "mlp_width",
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
        if self.image_size % self.patch_size:
            raise ValueError(
                f"patch_size {self.patch_size} does not divide image_size {self.image_size}"
            )
        if self.width % self.heads:
            raise ValueError(f"heads {self.heads} does not divide width {self.width}")
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(
                f"mean and std need one value for each of the {self.channels} channels"
            )
        if self.patch_embedding not in ("linear", "conv"):
            raise ValueError(
                f"patch_embedding must be 'linear' or 'conv', not {self.patch_embedding!r}"
            )
        if self.positions not in ("learned", "sincos"):
            raise ValueError(f"positions must be 'learned' or 'sincos', not {self.positions!r}")
        for name in ("dropout", "stochastic_depth"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1")
        if self.positions == "sincos" and self.width % 4:
            raise ValueError(f"positions 'sincos' needs a width divisible by 4, not {self.width}")

    @property
    def grid(self) -> tuple[int, int]:
        """(gh, gw): rows and columns of patches."""
        side = self.image_size // self.patch_size
        return side, side

    @property
    def prefix(self) -> int:
        """Tokens before the patches: CLS alone."""
        return 1

    @property
    def tokens(self) -> int:
        """T: prefix tokens and patches."""
        gh, gw = self.grid
        return self.prefix + gh * gw


class PatchEmbedding(nn.Module):
    """Image (B, C, S, S) to tokens (B, T, D): patches projected, CLS in front, positions added."""

    def __init__(self, config: ViTConfig):
        super().__init__()
        self.patch_size = config.patch_size
        if config.patch_embedding == "linear":
            self.projection = nn.Linear(config.patch_size**2 * config.channels, config.width)
        else:
            self.projection = nn.Conv2d(
                config.channels, config.width, config.patch_size, stride=config.patch_size
            )
        self.cls_token = nn.Parameter(_normal(1, 1, config.width, std=config.token_std))
        if config.positions == "learned":
            self.positions = nn.Parameter(
                _normal(config.tokens, config.width, std=config.token_std)
            )
        else:
            # values, even where the weights are shapes alone
            with torch.device("cpu") if self.cls_token.is_meta else nullcontext():
                self.register_buffer("positions", sincos_positions(config), persistent=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, images, patches=None):
        if isinstance(self.projection, nn.Linear):
            p = self.patch_size
            x = rearrange(images, "b c (gh ph) (gw pw) -> b (gh gw) (ph pw c)", ph=p, pw=p)
            x = self.projection(x)  # (B, gh*gw, D)
        else:
            x = self.projection(images).flatten(2).transpose(1, 2)  # (B, gh*gw, D)
        cls = self.cls_token.expand(len(x), -1, -1).to(x.dtype)
        x = torch.cat([cls, x], dim=1) + self.positions  # (B, T, D)
        if patches is not None:
            kept = patches[:, :, None].expand(-1, -1, x.shape[-1])  # (B, K, D)
            x = torch.cat([x[:, :1], x[:, 1:].gather(1, kept)], dim=1)  # (B, 1 + K, D)
        return self.dropout(x)


class Attention(nn.Module):
    """Multi-head self-attention that also returns its weights."""

    def __init__(self, config: ViTConfig):
        super().__init__()
        self.heads = config.heads
        self.scale = (config.width // config.heads) ** -0.5
        self.qkv = nn.Linear(config.width, 3 * config.width)  # one product instead of three
        self.projection = (
            nn.Linear(config.width, config.width) if config.output_projection else nn.Identity()
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x, keep=None):
        q, k, v = rearrange(self.qkv(x), "b t (three h d) -> three b h t d", three=3, h=self.heads)
        # written out: on CPU the fused kernel is slower to train in bf16, and it hides the weights
        attention = ((q * self.scale) @ k.transpose(-2, -1)).softmax(dim=-1)  # (B, H, T, T)
        heads = attention @ v  # (B, H, T, D/H)
        if keep is not None:
            heads = heads * keep[..., None, None]
        x = rearrange(heads, "b h t d -> b t (h d)")  # (B, T, D)
        return self.dropout(self.projection(x)), attention


class Block(nn.Module):
    """Pre-norm transformer block: x + Attention(LN(x)), then x + MLP(LN(x))."""

    def __init__(self, config: ViTConfig, drop_rate: float):
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width)
        self.attention = Attention(config)
        self.norm2 = nn.LayerNorm(config.width)
        self.mlp = nn.Sequential(
            nn.Linear(config.width, config.mlp_width),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.mlp_width, config.width),
            nn.Dropout(config.dropout),
        )
        self.drop_rate = drop_rate

    def forward(self, x, keep=None):
        """Tokens (B, T, D), and keep (H,) or (B, H) of `VisionTransformer.forward`'s."""
        return self.after_norm1(x, self.norm1(x), keep)

    def after_norm1(self, x, normed, keep=None):
        """What `forward` does with tokens (B, T, D) whose first LayerNorm is done."""
        update, attention = self.attention(normed, keep)
        x = x + self.drop_path(update)
        x = x + self.drop_path(self.mlp(self.norm2(x)))
        return x, attention

    def drop_path(self, update):
        """Stochastic depth (Huang et al. 2016): skip this branch for random images of the batch."""
        if not self.training or self.drop_rate == 0:
            return update
        keep = 1 - self.drop_rate
        mask = torch.rand(len(update), 1, 1, device=update.device) < keep  # (B, 1, 1)
        return update * mask / keep


class VisionTransformer(nn.Module):
    """`model(images)` gives logits; `model(images, return_attention=True)` also every weight."""

    def __init__(self, config: ViTConfig | None = None):
        super().__init__()
        self.config = config = config or ViTConfig()
        self.patch_embedding = PatchEmbedding(config)
        drop_rates = np.linspace(0, config.stochastic_depth, config.layers).tolist()
        self.blocks = nn.ModuleList(Block(config, rate) for rate in drop_rates)
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, config.classes)
        for name in ("mean", "std"):  # on the device once, not once a batch
            values = torch.tensor(getattr(config, name)).view(-1, 1, 1)  # (C, 1, 1)
            self.register_buffer(name, values, persistent=False)
        if self.device.type != "meta":
            self.apply(_init_linear)

    def forward(
        self,
        images: torch.Tensor,
        return_attention: bool = False,
        patches: torch.Tensor | None = None,
        keep: torch.Tensor | None = None,
    ):
        """Classify images.

        Args:
            images: (B, C, S, S) float, normalised (see `prepare`).
            return_attention: also return the post-softmax weights of every layer and head.
            patches: (B, K) int64, the patches of each image to look at, row by row from 0; the
                others are left out, as if there were only 1 + K tokens. All by default.
            keep: (L, H) or (B, L, H) bool, the heads that count; the output of the others is 0, and
                what they attend to is returned all the same. All by default.

        Returns:
            logits (B, classes), or (logits, attention (B, L, H, T, T)); rows of attention are
            queries and sum to 1, columns are keys, token 0 is CLS.
        """
        x = self.patch_embedding(images, patches)  # (B, T, D)
        layers = []
        for layer, block in enumerate(self.blocks):
            x, attention = block(x, None if keep is None else keep[..., layer, :])
            if return_attention:
                layers.append(attention)
        logits = self.classify(x)
        return (logits, torch.stack(layers, dim=1)) if return_attention else logits

    def classify(self, x):
        """Logits (B, classes) of the last block's tokens (B, T, D): what CLS has gathered."""
        return self.head(self.norm(x[:, 0]))

    def prepare(self, images) -> torch.Tensor:
        """Pictures to network input on the model's device.

        Args:
            images: (B, S, S, C) uint8, NumPy or torch, where a model of one channel takes colours,
                too; or a float tensor (B, C, S, S) that is normalised already and passes through.

        Returns:
            (B, C, S, S) float32, `(picture / 255 - mean) / std`.

        Raises:
            ValueError: the images have another size or number of channels than the model takes.
        """
        # NumPy pictures are often read-only maps of a file: torch.tensor copies them
        copy = torch.tensor if isinstance(images, np.ndarray) else torch.as_tensor
        images = copy(images, device=self.device)
        given = tuple(images.shape)
        pictures = images.dtype == torch.uint8
        if pictures and images.ndim == 4:
            images = images.movedim(-1, 1)  # (B, C, S, S)
            if self.config.channels == 1 and images.shape[1] == 3:
                weighted = zip(BRIGHTNESS, images.float().unbind(1))
                images = sum(weight * values for weight, values in weighted)[:, None]
        size = self.config.image_size
        if images.ndim != 4 or tuple(images.shape[1:]) != (self.config.channels, size, size):
            raise ValueError(
                f"the model takes {size}×{size} images of {self.config.channels} channels, "
                f"these are of shape {given}"
            )
        if not pictures:
            return images
        return (images.float() / 255 - self.mean) / self.std

    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with any weight or setting."""
        digest = hashlib.blake2b(json.dumps(asdict(self.config)).encode(), digest_size=8)
        for name, weights in self.state_dict().items():
            digest.update(name.encode())
            digest.update(weights.cpu().contiguous().numpy())
        return digest.hexdigest()

    @property
    def parameter_count(self) -> int:
        return sum(weights.numel() for weights in self.parameters())

    @property
    def device(self) -> torch.device:
        return self.head.weight.device


def sincos_positions(config: ViTConfig) -> torch.Tensor:
    """Fixed 2-D sine-cosine positions (T, D), zero for CLS (Beyer et al., arXiv 2205.01580)."""
    gh, gw = config.grid
    frequencies = 10000 ** -torch.linspace(0, 1, config.width // 4)  # (D/4,)
    y, x = torch.meshgrid(torch.arange(gh), torch.arange(gw), indexing="ij")
    y, x = y.reshape(-1, 1) * frequencies, x.reshape(-1, 1) * frequencies  # (gh*gw, D/4)
    patches = torch.cat([x.sin(), x.cos(), y.sin(), y.cos()], dim=1)  # (gh*gw, D)
    return torch.cat([torch.zeros(config.prefix, config.width), patches])


def _normal(*shape: int, std: float) -> torch.Tensor:
    weights = torch.empty(shape)
    # where there are shapes alone, drawing would only make torch import its compiler, for a second
    return weights if weights.is_meta else weights.normal_(std=std)


def _init_linear(module):
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
