"""What are heads worth? They are switched off, and the predictions change or do not.

A head that is off adds nothing: its output is zero (Michel, Levy & Neubig, "Are Sixteen Heads
Really Better than One?", 2019). The model was not trained without it, so what it costs is what this
model loses at once, not what it would lose if it learned to do without.
"""

from collections.abc import Iterable

import numpy as np
import torch

from core.errors import InputError
from core.hardware import best_batch
from core.model import VisionTransformer, ViTConfig
from core.progress import Progress, silent


def keep_all_but(
    config: ViTConfig, layers: Iterable[int] = (), heads: Iterable[tuple[int, int]] = ()
) -> torch.Tensor:
    """(L, H) bool for `VisionTransformer.forward`, False where a head is off.

    Args:
        layers: counted from 0, whose heads are all off; their MLPs are not.
        heads: pairs of layer and head, counted from 0.

    Raises:
        InputError: there is no such layer or head.
    """
    keep = torch.ones(config.layers, config.heads, dtype=torch.bool)
    for layer, head in (*((layer, None) for layer in layers), *heads):
        if not (0 <= layer < config.layers and (head is None or 0 <= head < config.heads)):
            raise InputError(
                f"There is no layer {layer}{'' if head is None else f' with head {head}'}: there "
                f"are {config.layers} layers of {config.heads} heads, counted from 0."
            )
        keep[layer, slice(None) if head is None else head] = False
    return keep


def one_off(config: ViTConfig) -> torch.Tensor:
    """Every head off alone, then every layer: (L*H + L, L, H) bool, as `keep_all_but` gives."""
    every = [(layer, head) for layer in range(config.layers) for head in range(config.heads)]
    return torch.stack(
        [keep_all_but(config, heads=[one]) for one in every]
        + [keep_all_but(config, layers=[layer]) for layer in range(config.layers)]
    )


@torch.inference_mode()
def predict_without_each(
    model: VisionTransformer,
    images: np.ndarray | torch.Tensor,
    keeps: torch.Tensor,
    *,
    batch_size: int | None = None,
    progress: Progress = silent,
) -> np.ndarray:
    """Predicted classes (M, N) int64 under each of M choices of heads that are off.

    What the layers before the first one with a head off find is found once for all choices.

    Args:
        images: whatever `model.prepare` takes, N of them.
        keeps: (M, L, H) bool, False where a head is off.
        progress: called with the images done and the images in all.
    """
    batch_size = batch_size or best_batch(model)
    keeps = keeps.to(model.device)
    off = ~keeps.all(dim=2)  # (M, L)
    layers = keeps.shape[1]
    first = torch.where(off.any(dim=1), off.int().argmax(dim=1), layers).tolist()
    predicted = np.empty((len(keeps), len(images)), np.int64)
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        x = model.patch_embedding(model.prepare(images[part]))  # (B, T, D)
        for layer in range(layers + 1):
            for choice in (m for m, begin in enumerate(first) if begin == layer):
                y = x
                for later in range(layer, layers):
                    y, _ = model.blocks[later](y, keeps[choice, later])
                predicted[choice, part] = model.classify(y).argmax(dim=-1).cpu()
            if layer < layers:
                x, _ = model.blocks[layer](x)
        progress(min(part.stop, len(images)), len(images))
    return predicted


def accuracy_change(
    labels: np.ndarray, before: np.ndarray, after: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """By how much the share of right predictions changes, and how sure that is.

    Args:
        labels: (N,), at least one.
        before: (N,) predicted classes with all heads.
        after: (…, N) predicted classes without some.

    Returns:
        the change (…) in [-1, 1], and half the width (…) of its 95 % interval, 1.96 standard errors
        of the differences image by image.
    """
    gained = (after == labels).astype(np.float64) - (before == labels)  # (…, N) of -1, 0, 1
    return gained.mean(axis=-1), 1.96 * gained.std(axis=-1) / np.sqrt(len(labels))
