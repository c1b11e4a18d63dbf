"""Pictures with patches painted over, blurred, or given back: what the measures show a model."""

import numpy as np
import torch

from core.model import BRIGHTNESS, VisionTransformer

KERNEL, SIGMA = 11, 5.0  # pixels, of the blur


def mean_color(images: np.ndarray) -> np.ndarray:
    """(C,) in [0, 1], the mean of images (N, S, S, C) uint8; memory does not grow with N."""
    sums = np.zeros(images.shape[-1])
    for start in range(0, len(images), 1024):
        sums += images[start : start + 1024].sum(axis=(0, 1, 2), dtype=np.int64)
    return sums / (255 * np.prod(images.shape[:3]))


def canvas(model: VisionTransformer, color: np.ndarray) -> torch.Tensor:
    """A colour (C,) in [0, 1] as the model sees it, (C, 1, 1), if only as grey."""
    values = torch.as_tensor(color, dtype=torch.float32, device=model.device)
    if model.config.channels == 1 and len(values) == 3:
        values = (values @ values.new_tensor(BRIGHTNESS))[None]
    return (values[:, None, None] - model.mean) / model.std


def blurred(pictures: torch.Tensor) -> torch.Tensor:
    """Pictures (B, C, S, S), normalised or not, out of focus; edges are mirrored."""
    from torchvision.transforms.functional import gaussian_blur  # here: it takes a second to import

    return gaussian_blur(pictures, KERNEL, SIGMA)


def enlarged(patches: torch.Tensor, side: int) -> torch.Tensor:
    """A value a patch (B, gh, gw) as one a pixel (B, S, S), of patches of `side` pixels."""
    return patches.repeat_interleave(side, dim=1).repeat_interleave(side, dim=2)


def turns(maps: torch.Tensor, side: int) -> torch.Tensor:
    """When it is each pixel's turn, (B, S, S) int64 from 0: patches with high values come first.

    Args:
        maps: (B, gh, gw); of equal values the patch that comes first, row by row, has its turn
            first.
    """
    order = maps.flatten(1).argsort(dim=1, descending=True, stable=True)
    return enlarged(order.argsort(dim=1).unflatten(-1, maps.shape[1:]), side)
