"""Colours that people with colour-blindness tell apart, the same on screen and on paper."""

# Okabe & Ito, "Color Universal Design" (2008)
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MAP_COLORS = "viridis"  # perceptually uniform; for attention and other maps
MATRIX_COLORS = "Blues"  # light where a cell is empty, so that numbers read well
