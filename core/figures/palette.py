"""Colours that people with colour-blindness tell apart, the same on screen and on paper."""

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
