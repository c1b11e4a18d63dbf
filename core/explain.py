"""Maps that say which patches mattered: one non-negative value a patch."""

import numpy as np
import torch

from core.attention import extract
from core.errors import InputError
from core.model import VisionTransformer, ViTConfig

METHODS = ("attention", "rollout")


def explain(
    model: VisionTransformer,
    images: np.ndarray | torch.Tensor,
    method: str,
    *,
    layer: int | None = None,
    head: int | None = None,
) -> torch.Tensor:
    """Maps (B, gh, gw) float32 of a batch, on the model's device.

    Args:
        images: whatever `model.prepare` takes, B of them.
        method: "attention", from CLS to the patches in one layer; or "rollout", through all layers.
        layer: counted from 0, the last by default; for "attention".
        head: counted from 0, their mean by default; for "attention".

    Raises:
        InputError: there is no such method, layer or head.
    """
    return map_of(extract(model, images), model.config, method, layer=layer, head=head)


def map_of(
    attention: torch.Tensor,
    config: ViTConfig,
    method: str,
    *,
    layer: int | None = None,
    head: int | None = None,
) -> torch.Tensor:
    """As `explain`, of attention (B, L, H, T, T) that is there already."""
    if method not in METHODS:
        raise InputError(f"There is no method {method!r}; choose from {', '.join(METHODS)}.")
    for name, place, count in (("layer", layer, config.layers), ("head", head, config.heads)):
        if place is not None and not 0 <= place < count:
            raise InputError(f"There is no {name} {place}: there are 0 to {count - 1}.")
    if method == "rollout":
        return rollout(attention, config.prefix).unflatten(-1, config.grid)
    heads = attention[:, -1 if layer is None else layer]  # (B, H, T, T)
    heads = heads.mean(dim=1) if head is None else heads[:, head]  # (B, T, T)
    return heads[:, 0, config.prefix :].unflatten(-1, config.grid)


def rollout(attention: torch.Tensor, prefix: int = 1) -> torch.Tensor:
    """Attention rollout (Abnar & Zuidema, "Quantifying Attention Flow in Transformers", 2020).

    Each layer becomes half its heads' mean and half the identity, for the residual connection;
    the product of all layers says how much of each input token reaches the CLS token.

    Args:
        attention: (B, L, H, T, T), rows sum to 1.
        prefix: tokens before the patches.

    Returns:
        (B, T - prefix), the CLS row of the product without its prefix tokens.
    """
    layers = attention.mean(dim=2)  # (B, L, T, T)
    layers = 0.5 * layers + 0.5 * torch.eye(layers.shape[-1], device=layers.device)
    row = layers[:, -1, :1]  # (B, 1, T): only the CLS row of the product is wanted
    for layer in reversed(range(layers.shape[1] - 1)):
        row = row @ layers[:, layer]
    return row[:, 0, prefix:]
