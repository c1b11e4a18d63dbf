"""Colours that people with colour-blindness tell apart, the same on screen and on paper."""

# Okabe & Ito, "Color Universal Design" (2008); grey for their black, which a dark page swallows
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7a7f92")
MAP_COLORS = "viridis"  # perceptually uniform; for attention and other maps
MATRIX_COLORS = "Blues"  # light where a cell is empty, so that numbers read well
