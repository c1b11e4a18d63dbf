"""What attention heads do, over a whole set: how far, how widely, and at what they look.

Measures of attention take torch tensors or NumPy arrays (…, T, T) and give torch tensors, all three
called alike. `measure_heads` streams a set through a model once for all of them.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from core.data import ImageSet
from core.files import atomic_folder, cache_folder, writing
from core.hardware import best_batch
from core.model import Block, VisionTransformer
from core.progress import Progress, silent


def attention_distance(
    attention: np.ndarray | torch.Tensor, grid: tuple[int, int], patch_size: int
) -> torch.Tensor:
    """How far a head looks, in pixels, (…); divided by the patch size, in patches.

    The distance between the centres of a patch and of those it looks at, weighted by the attention,
    averaged over the patches (Dosovitskiy et al., "An Image is Worth 16x16 Words", 2021, Figure 7).
    Between patches only: what falls on CLS is left out, and rows are scaled to sum 1. Uniform
    attention on 4 x 4 patches of 8 pixels gives 16.064, attention of each patch to itself 0; so
    does, for want of anything better, a row that gives the patches nothing.

    Args:
        attention: (…, T, T), the patches last.
        grid: (gh, gw)
        patch_size: pixels.
    """
    attention = torch.as_tensor(attention)
    count = grid[0] * grid[1]
    between = attention[..., -count:, -count:]  # (…, n, n)
    centres = torch.cartesian_prod(*(torch.arange(side) for side in grid)).reshape(count, 2)
    centres = centres.to(attention) * patch_size
    distances = torch.cdist(centres, centres, compute_mode="donot_use_mm_for_euclid_dist")
    reach = torch.einsum("...ij,ij->...i", between, distances)
    mass = between.sum(dim=-1)
    return (reach / mass.clamp_min(torch.finfo(mass.dtype).tiny)).mean(dim=-1)


def entropy(
    attention: np.ndarray | torch.Tensor,
    grid: tuple[int, int] | None = None,
    patch_size: int | None = None,
) -> torch.Tensor:
    """How widely a head looks, in nats, (…): the entropy of its rows, averaged over the tokens.

    From 0 (each token looks at one) to ln T (at all alike).

    Args:
        attention: (…, T, T)
        grid, patch_size: as the other measures take them; they make no difference.
    """
    return torch.special.entr(torch.as_tensor(attention)).sum(dim=-1).mean(dim=-1)


def cls_to_cls(
    attention: np.ndarray | torch.Tensor,
    grid: tuple[int, int] | None = None,
    patch_size: int | None = None,
) -> torch.Tensor:
    """What CLS gives to itself rather than to the patches, (…) in [0, 1]; arguments as above."""
    return torch.as_tensor(attention)[..., 0, 0]


MEASURES = (attention_distance, entropy, cls_to_cls)  # as the first fields of HeadMeasures


@dataclass(frozen=True, eq=False)
class HeadMeasures:
    """What every head does with every image of a set; arrays (N, L, H) float32, read-only.

    Attributes:
        distance: in pixels, see `attention_distance`.
        entropy: in nats, see `entropy`.
        cls_to_cls: a share, see there.
        strength: length of the vector that the head hands to CLS, its values weighted by its
            attention (Kobayashi et al., "Attention is Not Only a Weight", 2020): what the head
            does, where weights alone say where it looks.
    """

    distance: np.ndarray
    entropy: np.ndarray
    cls_to_cls: np.ndarray
    strength: np.ndarray


@torch.inference_mode()
def measure_heads(
    model: VisionTransformer,
    images: ImageSet,
    *,
    batch_size: int | None = None,
    progress: Progress = silent,
) -> HeadMeasures:
    """All measures in one pass, streamed to disk: memory does not grow with the set.

    They are kept in the cache folder under a key of the model's and the set's content; the second
    call only opens the file.

    Raises:
        WriteError: the folder cannot be written, or the disk is full.
    """
    folder = measures_folder(model.fingerprint(), images.fingerprint)
    config, batch_size = model.config, batch_size or best_batch(model)
    if not folder.exists():
        shape = (len(images), len(MEASURES) + 1, config.layers, config.heads)
        with writing(folder), atomic_folder(folder) as part, open(part / "measures.npy", "wb") as f:
            # plain writes, not a memory map: a full disk is then an error that can be told
            np.lib.format.write_array_header_1_0(
                f, {"descr": "<f4", "fortran_order": False, "shape": shape}
            )
            for start in range(0, len(images), batch_size):
                x = model.patch_embedding(model.prepare(images.images[start : start + batch_size]))
                layers = []
                for block in model.blocks:
                    normed = block.norm1(x)  # (B, T, D)
                    x, attention = block.after_norm1(x, normed)
                    found = [
                        measure(attention, config.grid, config.patch_size) for measure in MEASURES
                    ]
                    found.append(_strength(block, normed, attention))
                    layers.append(torch.stack(found, dim=1))  # (B, 4, H)
                f.write(torch.stack(layers, dim=2).cpu().numpy().astype("<f4").tobytes())
                progress(min(start + batch_size, len(images)), len(images))
    measures = np.load(folder / "measures.npy", mmap_mode="r")
    return HeadMeasures(*(measures[:, i] for i in range(measures.shape[1])))


def measures_folder(model: str, images: str) -> Path:
    """Where the measures of a model on a set, given by their fingerprints, lie or will lie."""
    return cache_folder("heads") / f"{model}-{images}"


def _strength(block: Block, normed: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
    """Length of what each head adds to CLS, (B, H), after the projection where there is one."""
    width = normed.shape[-1]
    qkv = block.attention.qkv
    values = F.linear(normed, qkv.weight[2 * width :], qkv.bias[2 * width :])  # (B, T, D)
    values = values.unflatten(-1, (attention.shape[1], -1)).transpose(1, 2)  # (B, H, T, D/H)
    outputs = (attention[:, :, :1] @ values)[:, :, 0]  # (B, H, D/H)
    if isinstance(block.attention.projection, nn.Linear):
        weights = block.attention.projection.weight.unflatten(1, (attention.shape[1], -1))
        outputs = torch.einsum("bhd,ohd->bho", outputs, weights)  # (B, H, D)
    return outputs.norm(dim=-1)


def agreement(cls_rows: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """How alike heads look, (L*H, L*H) float32 in [0, 1]: cosine of their CLS maps, averaged.

    Args:
        cls_rows: (N, L, H, gh*gw), as in `core.attention.Extraction`.
        positions: (n,), the images to average over, at least one.
    """
    heads = cls_rows.shape[1] * cls_rows.shape[2]
    total = np.zeros((heads, heads), np.float32)
    for start in range(0, len(positions), 256):
        rows = cls_rows[positions[start : start + 256]].astype(np.float32)
        rows = rows.reshape(len(rows), heads, -1)
        rows /= np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)
        total += (rows @ rows.transpose(0, 2, 1)).sum(axis=0)
    return total / len(positions)


def position_similarity(model: VisionTransformer) -> np.ndarray:
    """Cosine between the patches' position embeddings, (gh, gw, gh, gw) float32 in [-1, 1].

    Figure 7 of the ViT paper: the first two say for which patch, the last two where others are.
    """
    with torch.no_grad():
        positions = model.patch_embedding.positions[model.config.prefix :]  # (gh*gw, D)
        positions = F.normalize(positions, dim=-1)
        similarity = (positions @ positions.T).cpu().numpy()
    return similarity.reshape(*model.config.grid, *model.config.grid)


def patch_filters(model: VisionTransformer, count: int = 28) -> tuple[np.ndarray, np.ndarray]:
    """Principal components of the patch embedding's filters (the ViT paper's Figure 7).

    The projection's D filters are what a patch is multiplied with; their components are the
    patterns in which they differ most.

    Args:
        count: at most so many; there are no more than D, of which the last is 0, and than values in
            a patch.

    Returns:
        filters (k, P, P, C) float32, of length 1, the strongest first, with the sign that makes
        their largest value positive; and their shares (k,) of the filters' variance.
    """
    config, projection = model.config, model.patch_embedding.projection
    weights = projection.weight.detach().cpu().double()
    if weights.ndim == 4:  # a convolution's (D, C, P, P)
        weights = weights.permute(0, 2, 3, 1).flatten(1)
    weights = weights - weights.mean(dim=0)  # (D, P*P*C)
    _, sizes, components = torch.linalg.svd(weights, full_matrices=False)
    largest = components.gather(1, components.abs().argmax(dim=1, keepdim=True))
    filters = (components * largest.sign())[:count].float().numpy()
    shares = (sizes**2 / (sizes**2).sum())[:count].float().numpy()
    side = config.patch_size
    return filters.reshape(-1, side, side, config.channels), shares


def cls_entropy(cls_rows: np.ndarray) -> np.ndarray:
    """How widely an image's CLS token looks in one layer, in nats, averaged over its heads.

    Args:
        cls_rows: (N, H, gh*gw), attention from CLS to the patches. What CLS gives to itself is
            left out, so rows are scaled to sum 1 first; a head that gives the patches nothing
            counts as 0.

    Returns:
        (N,) in [0, ln(gh*gw)].
    """
    rows = np.asarray(cls_rows, np.float64)
    sums = rows.sum(axis=-1, keepdims=True)
    shares = np.divide(rows, sums, where=sums > 0, out=np.zeros_like(rows))
    return entropy(shares).numpy()
