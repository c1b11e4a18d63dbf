"""The tutorial's picture in six named steps: what the CLS token attends to, brightened."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from core.errors import InputError

# smaller differences, as a share of the values, are float32's rounding: stretching them would
# invent a map
FLAT = 1e-6
RESIZE = {"bilinear": "bilinear", "nearest": "nearest-exact", "bicubic": "bicubic"}  # torch's names


@dataclass(frozen=True, eq=False)
class AmplificationSteps:
    """Every step's array, float32, in the order in which they are made.

    Attributes:
        average: (1, gh*gw) the heads' rows of the query, averaged; a probability a patch.
        grid: (gh, gw) the same numbers where their patches are.
        resized: (H, W) interpolated to the image.
        normalised: (H, W) minimum to 0, maximum to 1.
        multiplied: (H, W, 3) times the image.
        amplified: (H, W, 3) times the gain, clipped to [0, 1].
    """

    average: np.ndarray
    grid: np.ndarray
    resized: np.ndarray
    normalised: np.ndarray
    multiplied: np.ndarray
    amplified: np.ndarray


def amplify(
    attention_or_map,
    image: np.ndarray,
    *,
    gain: float = 2.0,
    resize: str = "bilinear",
    prefix: int = 1,
    query: int = 0,
) -> AmplificationSteps:
    """Amplify the part of an image that attention falls on.

    Args:
        attention_or_map: one layer's attention (heads, T, T), any number of heads, over a square
            grid of patches; or any map (gh, gw), which begins at step 2. NumPy or torch.
        image: (H, W, 3), floats in [0, 1] or uint8.
        gain: factor of the last step.
        resize: "bilinear" (half-pixel centres, as OpenCV does), "nearest" or "bicubic".
        prefix: tokens before the patches.
        query: the token whose attention it is; CLS by default. A map is some token's already.

    Raises:
        InputError: the shapes do not fit, a value is not finite, there is no such query, or
            `resize` is unknown.
    """
    if isinstance(attention_or_map, torch.Tensor):
        attention_or_map = attention_or_map.detach().cpu()
    values = np.ascontiguousarray(attention_or_map, np.float32)
    image = _as_floats(image)
    if resize not in RESIZE:
        raise InputError(f"There is no resize method {resize!r}; choose from {', '.join(RESIZE)}.")
    if not np.isfinite(values).all():
        raise InputError("The map holds values that are not finite numbers.")
    if values.ndim == 3 and len(values):
        if not 0 <= query < values.shape[1]:
            raise InputError(f"There is no token {query}: there are 0 to {values.shape[1] - 1}.")
        average = values[:, query, prefix:].mean(axis=0, keepdims=True)  # (1, gh*gw)
        side = round(average.size**0.5)
        if values.shape[1] != values.shape[2] or side * side != average.size or not average.size:
            raise InputError(f"Attention of shape {values.shape} is not over a square of patches.")
        grid = average.reshape(side, side)
    elif values.ndim == 2 and values.size:
        grid, average = values, values.reshape(1, -1)
    else:
        raise InputError(f"Amplification needs (heads, T, T) or (gh, gw), not {values.shape}.")
    resized = resize_map(grid, image.shape[:2], resize)
    normalised = min_max(resized)
    multiplied = image * normalised[..., None]
    amplified = np.clip(multiplied * np.float32(gain), 0, 1)
    return AmplificationSteps(average, grid, resized, normalised, multiplied, amplified)


def amplify_each(
    maps: np.ndarray, images: np.ndarray, *, gain: float = 2.0, resize: str = "bilinear"
) -> np.ndarray:
    """The last of `amplify`'s steps for many images at once, (n, H, W, 3) float32.

    Args:
        maps: (n, gh, gw)
        images: (n, H, W, 3) uint8.
        gain, resize: as in `amplify`.
    """
    shares = min_max(resize_map(maps, images.shape[1:3], resize), axis=(1, 2))  # (n, H, W)
    return np.clip(images * (shares * np.float32(gain / 255))[..., None], 0, 1)


def resize_map(grid: np.ndarray, size: tuple[int, int], method: str = "bilinear") -> np.ndarray:
    """Maps (gh, gw) or (n, gh, gw) at another size (H, W), float32; methods as in `amplify`."""
    smooth = {} if method == "nearest" else {"align_corners": False}
    grid = torch.tensor(grid, dtype=torch.float32)
    flat = grid.reshape(-1, 1, *grid.shape[-2:])  # (n, 1, gh, gw)
    resized = F.interpolate(flat, size=tuple(size), mode=RESIZE[method], **smooth)
    return resized.reshape(*grid.shape[:-2], *size).numpy()


def min_max(values: np.ndarray, axis: tuple[int, ...] | None = None) -> np.ndarray:
    """Values moved and scaled to [0, 1], over all axes or some; zeros where they do not differ."""
    low, high = values.min(axis, keepdims=True), values.max(axis, keepdims=True)
    differ = high - low > FLAT * np.maximum(abs(low), abs(high))
    return np.divide(values - low, high - low, where=differ, out=np.zeros_like(values))


def _as_floats(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3:
        raise InputError(f"An image has the shape (height, width, 3), not {image.shape}.")
    if image.dtype == np.uint8:
        return image.astype(np.float32) / 255
    return image.astype(np.float32)
