"""The check that needs no attention and no gradient: cover a patch, and ask the model again."""

import numpy as np
import torch

from core.cover import canvas, enlarged, mean_color
from core.explain import class_targets
from core.hardware import best_batch
from core.model import VisionTransformer
from core.progress import Progress, silent


@torch.inference_mode()
def occlusion(
    model: VisionTransformer,
    images: np.ndarray,
    *,
    target: int | np.ndarray | None = None,
    color: np.ndarray | None = None,
    batch_size: int | None = None,
    progress: Progress = silent,
) -> np.ndarray:
    """How much a class's probability falls when one patch is covered, (B, gh, gw) float32.

    Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks" (2014), in steps of
    whole patches. In [-1, 1]; below 0 where covering a patch makes the class more probable.

    Args:
        images: (B, S, S, C) uint8.
        target: the class, or one an image (B,); what the model predicts by default.
        color: (C,) in [0, 1], what patches are painted with; the images' mean by default.
        batch_size: pictures that the model sees at once.
        progress: called with the images done and the images in all.

    Raises:
        InputError: there is no such class.
    """
    targets = class_targets(target, len(images), model.config.classes)
    grid = model.config.grid
    patches = grid[0] * grid[1]
    batch_size = batch_size or best_batch(model)
    paint = canvas(model, mean_color(images) if color is None else color)
    number = torch.arange(patches, device=model.device).reshape(1, *grid)
    number = enlarged(number, model.config.patch_size)  # (1, S, S)
    drops = np.empty((len(images), patches), np.float32)
    at_once = max(1, batch_size // patches)
    for start in range(0, len(images), at_once):
        part = slice(start, start + at_once)
        pictures = model.prepare(images[part])  # (b, C, S, S)
        whole = model(pictures).softmax(dim=-1)  # (b, classes)
        of = whole.argmax(dim=-1) if targets is None else targets[part].to(model.device)  # (b,)
        before = whole.gather(1, of[:, None])  # (b, 1)
        for first in range(0, patches, batch_size):
            some = slice(first, min(first + batch_size, patches))
            covered = torch.arange(some.start, some.stop, device=model.device)  # (k,)
            here = number == covered[:, None, None]  # (k, S, S)
            versions = torch.where(here[:, None], paint, pictures[:, None])  # (b, k, C, S, S)
            chances = model(versions.flatten(0, 1)).softmax(dim=-1)
            chances = chances.unflatten(0, versions.shape[:2])  # (b, k, classes)
            after = chances[torch.arange(len(of)), :, of]  # (b, k)
            drops[part, some] = (before - after).cpu()
        progress(min(part.stop, len(images)), len(images))
    return drops.reshape(-1, *grid)


def rank_correlation(maps: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation of two maps an image, (B,) in [-1, 1].

    1 where both order the patches alike; NaN where one is the same everywhere.

    Args:
        maps, others: (B, gh, gw)
    """
    from scipy.stats import rankdata  # here: it takes half a second to import

    ranks = (rankdata(np.reshape(m, (len(m), -1)), axis=1) for m in (maps, others))
    first, second = (r - r.mean(axis=1, keepdims=True) for r in ranks)  # (B, gh*gw)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    products = (first * second).sum(axis=1)
    return np.divide(products, lengths, where=lengths > 0, out=np.full(len(products), np.nan))
