"""Figures: said once in `figure`, drawn for the browser by `screen` and for print by `paper`."""
