"""Maps that say which patches mattered: one non-negative value a patch, by four methods."""

import numpy as np
import torch

from core.attention import extract
from core.errors import InputError
from core.hardware import best_batch
from core.model import VisionTransformer, ViTConfig

OF_ATTENTION = ("attention", "rollout")
METHODS = (*OF_ATTENTION, "relevance", "gradcam")
FUSIONS = ("mean", "max", "min")


def explain(
    model: VisionTransformer,
    images: np.ndarray | torch.Tensor,
    method: str,
    *,
    target: int | np.ndarray | torch.Tensor | None = None,
    layer: int | None = None,
    head: int | None = None,
    fusion: str = "mean",
    first_layer: int = 0,
    discard_ratio: float = 0.0,
    batch_size: int | None = None,
) -> torch.Tensor:
    """Maps (B, gh, gw) float32, on the model's device.

    The model may be shared: nothing is left on it, and other threads may use it at the same time.

    Args:
        images: whatever `model.prepare` takes, B of them.
        method: "attention", from CLS to the patches in one layer; "rollout", through all layers;
            "relevance", the same weighted by gradients; "gradcam", of one layer's tokens.
        target: the class, or one an image (B,), that "relevance" and "gradcam" explain; what the
            model predicts by default.
        layer: counted from 0, the last by default; for "attention" and "gradcam".
        head: counted from 0, their mean by default; for "attention".
        fusion, first_layer, discard_ratio: as in `rollout`.
        batch_size: images at once; memory does not grow with B beyond the maps.

    Raises:
        InputError: there is no such method, class, layer, head or fusion, or the ratio is not in
            [0, 1).
    """
    config, batch_size = model.config, batch_size or best_batch(model)
    _check(method, layer, head, config, METHODS)
    targets = class_targets(target, len(images), config.classes)
    maps = torch.empty(len(images), *config.grid, device=model.device)
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        batch = model.prepare(images[part]).float()
        chosen = None if targets is None else targets[part]
        if method in OF_ATTENTION:
            attention = extract(model, batch)  # (B, L, H, T, T)
            maps[part] = map_of(
                attention,
                config,
                method,
                layer=layer,
                head=head,
                fusion=fusion,
                first_layer=first_layer,
                discard_ratio=discard_ratio,
            )
        elif method == "relevance":
            maps[part] = relevance(model, batch, chosen).unflatten(-1, config.grid)
        else:
            maps[part] = grad_cam(model, batch, chosen, layer=layer).unflatten(-1, config.grid)
    return maps


def map_of(
    attention: torch.Tensor,
    config: ViTConfig,
    method: str,
    *,
    layer: int | None = None,
    head: int | None = None,
    fusion: str = "mean",
    first_layer: int = 0,
    discard_ratio: float = 0.0,
) -> torch.Tensor:
    """As `explain`, by a method of `OF_ATTENTION`, of attention (B, L, H, T, T) that is there."""
    _check(method, layer, head, config, OF_ATTENTION)
    if method == "rollout":
        found = rollout(
            attention,
            config.prefix,
            fusion=fusion,
            first_layer=first_layer,
            discard_ratio=discard_ratio,
        )
    else:
        found = cls_attention(attention, config.prefix, layer, head)
    return found.unflatten(-1, config.grid)


def _check(method, layer, head, config: ViTConfig, methods: tuple[str, ...]) -> None:
    if method not in methods:
        raise InputError(f"There is no method {method!r}; choose from {', '.join(methods)}.")
    for name, place, count in (("layer", layer, config.layers), ("head", head, config.heads)):
        if place is not None and not 0 <= place < count:
            raise InputError(f"There is no {name} {place}: there are 0 to {count - 1}.")


def class_targets(target, count: int, classes: int) -> torch.Tensor | None:
    """The class for each of `count` images, (count,) int64; None for what the model predicts.

    Raises:
        InputError: there is no such class, or they are not one for all nor one for each.
    """
    if target is None:
        return None
    targets = torch.as_tensor(target).long()
    targets = targets.expand(count) if targets.ndim == 0 else targets
    if targets.shape != (count,) or (count and not 0 <= targets.min() <= targets.max() < classes):
        raise InputError(
            f"The target must be a class from 0 to {classes - 1}, one for all of the {count} "
            "images or one for each."
        )
    return targets


def cls_attention(
    attention: torch.Tensor, prefix: int = 1, layer: int | None = None, head: int | None = None
) -> torch.Tensor:
    """Raw attention from CLS to the patches, (B, T - prefix).

    Args:
        attention: (B, L, H, T, T)
        prefix: tokens before the patches.
        layer, head: counted from 0; by default the last layer, and the mean of its heads.
    """
    heads = attention[:, -1 if layer is None else layer]  # (B, H, T, T)
    heads = heads.mean(dim=1) if head is None else heads[:, head]  # (B, T, T)
    return heads[:, 0, prefix:]


def rollout(
    attention: torch.Tensor,
    prefix: int = 1,
    *,
    fusion: str = "mean",
    first_layer: int = 0,
    discard_ratio: float = 0.0,
) -> torch.Tensor:
    """Attention rollout (Abnar & Zuidema, "Quantifying Attention Flow in Transformers", 2020).

    Each layer becomes half its fused heads and half the identity, for the residual connection; the
    product of the layers says how much of each input token reaches the CLS token.

    Args:
        attention: (B, L, H, T, T), rows sum to 1.
        prefix: tokens before the patches.
        fusion: "mean", "max" or "min" over the heads; rows of the latter two are scaled to sum 1.
        first_layer: counted from 0; those before it are left out.
        discard_ratio: in [0, 1), this share of each layer's fused weights between patches, the
            smallest, becomes 0, and rows are scaled to sum 1.

    Returns:
        (B, T - prefix), the CLS row of the product without its prefix tokens.

    Raises:
        InputError: there is no such fusion or layer, or the ratio is not in [0, 1).
    """
    count = attention.shape[1]
    if fusion not in FUSIONS:
        raise InputError(f"There is no fusion {fusion!r}; choose from {', '.join(FUSIONS)}.")
    if not 0 <= first_layer < count:
        raise InputError(f"There is no layer {first_layer}: there are 0 to {count - 1}.")
    if not 0 <= discard_ratio < 1:
        raise InputError(f"The discard ratio is at least 0 and below 1, not {discard_ratio}.")
    attention = attention[:, first_layer:]
    if fusion == "mean":
        layers = attention.mean(dim=2)  # (B, L, T, T)
    else:
        layers = attention.amax(dim=2) if fusion == "max" else attention.amin(dim=2)
    if discard_ratio:
        layers = _without_smallest(layers, discard_ratio, prefix)
    if fusion != "mean" or discard_ratio:
        layers = layers / layers.sum(dim=-1, keepdim=True).clamp_min(1e-12)
    layers = 0.5 * layers + 0.5 * torch.eye(layers.shape[-1], device=layers.device)
    row = layers[:, -1, :1]  # (B, 1, T): only the CLS row of the product is wanted
    for layer in reversed(range(layers.shape[1] - 1)):
        row = row @ layers[:, layer]
    return row[:, 0, prefix:]


def _without_smallest(layers: torch.Tensor, ratio: float, prefix: int) -> torch.Tensor:
    """The smallest weights between patches of every layer (B, L, T, T) set to 0."""
    between = layers[..., prefix:, prefix:].flatten(-2)  # (B, L, n*n)
    count = int(ratio * between.shape[-1])
    kept = between.scatter(-1, between.topk(count, largest=False).indices, 0.0)
    layers = layers.clone()
    layers[..., prefix:, prefix:] = kept.unflatten(-1, (layers.shape[-1] - prefix,) * 2)
    return layers


def relevance(
    model: VisionTransformer, images: torch.Tensor, target: torch.Tensor | None = None
) -> torch.Tensor:
    """Gradient relevance (Chefer, Gur & Wolf, ICCV 2021, rules 5 and 6).

    With y the target's logit, each layer's attention counts by its gradient, negative
    products as 0, averaged over the heads; relevance starts as the identity and gains, layer by
    layer, what that attention carries on.

    Args:
        images: (B, C, S, S) float32, as `model.prepare` gives them.
        target: (B,) int64 classes; by default what the model predicts.

    Returns:
        (B, T - prefix), from the patches to CLS.
    """
    with torch.enable_grad():
        x = model.patch_embedding(images).detach().requires_grad_()  # (B, T, D)
        layers = []
        for block in model.blocks:
            x, attention = block(x)
            layers.append(attention)  # (B, H, T, T) each
        gradients = torch.autograd.grad(_chosen_logit(model, x, target), layers)
    result = torch.eye(x.shape[1], device=x.device).expand(len(x), -1, -1)  # (B, T, T)
    with torch.no_grad():
        for attention, gradient in zip(layers, gradients):
            carried = (gradient * attention).clamp_min(0).mean(dim=1)  # (B, T, T)
            result = result + carried @ result
    return result[:, 0, model.config.prefix :]


def grad_cam(
    model: VisionTransformer,
    images: torch.Tensor,
    target: torch.Tensor | None = None,
    *,
    layer: int | None = None,
) -> torch.Tensor:
    """Grad-CAM (Selvaraju et al., 2017) on the tokens after a block's first LayerNorm.

    A channel counts by the mean of its gradient over the patches; a patch's value is the sum of its
    channels so weighted, negative sums as 0.

    Args:
        images, target: as in `relevance`.
        layer: the block, counted from 0; the last by default.

    Returns:
        (B, T - prefix)
    """
    last = len(model.blocks) - 1
    with torch.no_grad():
        x = model.patch_embedding(images)
        for block in model.blocks[: last if layer is None else layer]:
            x, _ = block(x)
    with torch.enable_grad():
        block, *later = model.blocks[last if layer is None else layer :]
        tokens = block.norm1(x).detach().requires_grad_()  # (B, T, D)
        x, _ = block.after_norm1(x, tokens)
        for block in later:
            x, _ = block(x)
        (gradient,) = torch.autograd.grad(_chosen_logit(model, x, target), tokens)
    prefix = model.config.prefix
    weights = gradient[:, prefix:].mean(dim=1, keepdim=True)  # (B, 1, D)
    return (weights * tokens.detach()[:, prefix:]).sum(dim=-1).clamp_min(0)


def _chosen_logit(
    model: VisionTransformer, x: torch.Tensor, target: torch.Tensor | None
) -> torch.Tensor:
    """The sum of the images' target logits: they do not touch each other's gradients."""
    logits = model.classify(x)  # (B, classes)
    if target is None:
        target = logits.argmax(dim=-1)
    return logits.gather(1, target.to(logits.device)[:, None]).sum()
