"""Colours that people with colour-blindness tell apart, the same on screen and on paper."""

# Okabe & Ito, "Color Universal Design" (2008); grey for their black, which a dark page swallows
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7a7f92")
# perceptually uniform, and readable without colour vision; the first is what maps have by default
MAP_COLORMAPS = ("viridis", "cividis", "magma", "inferno", "plasma", "gray")
MAP_COLORS = MAP_COLORMAPS[0]
DIFFERENCE_COLORS = "RdBu_r"  # blue below zero, red above, white between
MATRIX_COLORS = "Blues"  # light where a cell is empty, so that numbers read well
