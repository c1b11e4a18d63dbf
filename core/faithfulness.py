"""Does the model depend on what a map shows? Patches are taken away, or given back, in its order.

Deletion and insertion (Petsiuk et al., "RISE", 2018) in steps of whole patches: the sooner the
score falls as the patches with the highest values go, and the sooner it rises as they come, the
better the map says what the prediction depends on. Beside it belongs what `random_maps` gives: an
order that knows nothing.
"""

from collections.abc import Iterator

import numpy as np
import torch

from core.errors import InputError
from core.model import VisionTransformer
from core.progress import Progress, silent

KERNEL, SIGMA = 11, 5.0  # pixels, of the blur that insertion starts from


def deletion(
    model: VisionTransformer,
    images: np.ndarray | torch.Tensor,
    maps: np.ndarray | torch.Tensor,
    *,
    color: np.ndarray | None = None,
    batch_size: int = 512,
    progress: Progress = silent,
) -> tuple[np.ndarray, np.ndarray]:
    """Scores as the patches with the highest values are painted over, one after the other.

    Args:
        images: (B, S, S, C) uint8.
        maps: (B, gh, gw); of equal values the patch that comes first, row by row, goes first.
        color: (C,) in [0, 1], what patches are painted with; the images' mean by default.
        batch_size: pictures that the model sees at once.
        progress: called with the images done and the images in all.

    Returns:
        scores (B, gh*gw + 1) float32, the softmax probability of the class that the model predicts
        for the whole image, after 0, 1, … all patches; and the areas under them (B,) float32, in
        [0, 1]: low where the map is faithful.

    Raises:
        InputError: the maps do not fit the images and the model.
    """
    if color is None:
        color = np.asarray(images, np.float64).mean(axis=(0, 1, 2)) / 255

    def painted(pictures: torch.Tensor) -> torch.Tensor:
        values = torch.as_tensor(color, dtype=torch.float32, device=pictures.device)
        values = (values[:, None, None] - model.mean) / model.std  # (C, 1, 1)
        return values.expand_as(pictures)

    return _curves(model, images, maps, painted, False, batch_size, progress)


def insertion(
    model: VisionTransformer,
    images: np.ndarray | torch.Tensor,
    maps: np.ndarray | torch.Tensor,
    *,
    batch_size: int = 512,
    progress: Progress = silent,
) -> tuple[np.ndarray, np.ndarray]:
    """Scores as the patches with the highest values come back into a blurred picture.

    Arguments, results and errors as in `deletion`; the area is high where the map is faithful.
    """
    from torchvision.transforms.functional import gaussian_blur  # here: it takes a second to import

    def blurred(pictures: torch.Tensor) -> torch.Tensor:
        return gaussian_blur(pictures, KERNEL, SIGMA)

    return _curves(model, images, maps, blurred, True, batch_size, progress)


def random_maps(count: int, grid: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Maps (count, gh, gw) whose order of patches is random, float32: the baseline."""
    return np.random.default_rng(seed).random((count, *grid), np.float32)


def area(scores: np.ndarray) -> np.ndarray:
    """Area under curves (…, n + 1) over [0, 1], by trapezoids."""
    ends = (scores[..., 0] + scores[..., -1]) / 2
    return (scores.sum(axis=-1) - ends) / (scores.shape[-1] - 1)


@torch.inference_mode()
def _curves(model, images, maps, background, comes, batch_size, progress):
    """Both measures; `comes` says whether patches of the image come to the background, or go."""
    grid = model.config.grid
    maps = torch.as_tensor(maps, dtype=torch.float32, device=model.device)
    if tuple(maps.shape) != (len(images), *grid) or not torch.isfinite(maps).all():
        raise InputError(
            f"{len(images)} images of this model need finite maps of the shape "
            f"{(len(images), *grid)}, not {tuple(maps.shape)}."
        )
    patches = grid[0] * grid[1]
    scores = np.empty((len(images), patches + 1), np.float32)
    at_once = max(1, batch_size // (patches + 1))
    for start in range(0, len(images), at_once):
        part = slice(start, start + at_once)
        pictures = model.prepare(images[part])  # (b, C, S, S)
        empty = background(pictures)
        order = maps[part].flatten(1).argsort(dim=1, descending=True, stable=True)
        # how many have gone, or come, when it is a patch's turn; compared with the step
        rank = order.argsort(dim=1).unflatten(-1, grid)  # (b, gh, gw)
        rank = rank.repeat_interleave(model.config.patch_size, dim=1)
        rank = rank.repeat_interleave(model.config.patch_size, dim=2)  # (b, S, S)
        target = model(pictures).argmax(dim=-1)  # (b,)
        old, new = (empty, pictures) if comes else (pictures, empty)
        for steps, versions in _versions(rank, old, new, patches + 1, batch_size):
            chances = model(versions.flatten(0, 1)).softmax(dim=-1)
            chances = chances.unflatten(0, versions.shape[:2])  # (b, steps, classes)
            of_target = chances[torch.arange(len(target)), :, target]  # (b, steps)
            scores[part, steps] = of_target.float().cpu().numpy()
        progress(min(part.stop, len(images)), len(images))
    return scores, area(scores)


def _versions(
    rank: torch.Tensor, old: torch.Tensor, new: torch.Tensor, count: int, batch_size: int
) -> Iterator[tuple[slice, torch.Tensor]]:
    """The pictures after steps 0 … count - 1, as many steps at a time as fit into a batch.

    Args:
        rank: (b, S, S), a pixel is new from step rank + 1 on.
        old, new: (b, C, S, S)

    Yields:
        which steps, and their pictures (b, steps, C, S, S).
    """
    at_once = max(1, batch_size // len(rank))
    for first in range(0, count, at_once):
        steps = torch.arange(first, min(first + at_once, count), device=rank.device)
        is_new = rank[:, None] < steps[:, None, None]  # (b, steps, S, S)
        yield (
            slice(first, first + len(steps)),
            torch.where(is_new[:, :, None], new[:, None], old[:, None]),
        )
