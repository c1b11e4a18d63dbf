"""Colours that people with colour-blindness tell apart, the same on screen and on paper."""

from functools import cache

import matplotlib
import numpy as np

# Okabe & Ito, "Color Universal Design" (2008); grey for their black, which a dark page swallows
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7a7f92")
# perceptually uniform, and readable without colour vision; the first is what maps have by default
MAP_COLORMAPS = ("viridis", "cividis", "magma", "inferno", "plasma", "gray")
MAP_COLORS = MAP_COLORMAPS[0]
DIFFERENCE_COLORS = "RdBu_r"  # blue below zero, red above, white between
MATRIX_COLORS = "Blues"  # light where a cell is empty, so that numbers read well


def is_light(colors: np.ndarray) -> np.ndarray:
    """Whether black reads better than white on colours (…, 3) in [0, 1], bool (…).

    By WCAG 2.1's relative luminance: black's and white's contrast are equal, 4.58, at 0.179.
    """
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722]) > 0.179


def map_pixels(
    values: np.ndarray, limits: tuple[float, float], colors: str = MAP_COLORS
) -> np.ndarray:
    """A map (h, w) in its colours, (h, w, 3) uint8.

    Args:
        limits: (low, high) of the colours; where they are the same, all is drawn as the lowest.
        colors: one of `MAP_COLORMAPS`, or `DIFFERENCE_COLORS`.
    """
    low, high = limits
    scaled = (values - low) / (high - low) if high > low else np.zeros_like(values)
    return _table(colors)[np.clip(scaled * 256, 0, 255).astype(np.uint8)]


@cache
def _table(colors: str) -> np.ndarray:
    """The 256 colours of a colour map, (256, 3) uint8; matplotlib builds them anew every time."""
    return matplotlib.colormaps[colors](np.arange(256), bytes=True)[:, :3]


def cell_colors(
    values: np.ndarray, limits: tuple[float, float], colors: str = MAP_COLORS
) -> list[list[tuple[str, str]]]:
    """For every cell of a map (h, w) its colour and an ink that reads on it, as "#rrggbb"."""
    pixels = map_pixels(values, limits, colors)
    return [
        [
            (f"#{r:02x}{g:02x}{b:02x}", "#000000" if light else "#ffffff")
            for (r, g, b), light in zip(row, lights)
        ]
        for row, lights in zip(pixels.tolist(), is_light(pixels / 255).tolist())
    ]
