"""Measures of what attention heads do."""

import numpy as np


def row_entropy(rows: np.ndarray) -> np.ndarray:
    """Entropy of attention rows in nats, -sum a ln a over the last axis; rows sum to 1.

    From 0 (everything on one token) to ln n (the same on all n), with 0 ln 0 = 0.
    """
    rows = np.asarray(rows, np.float64)
    logs = np.log(rows, where=rows > 0, out=np.zeros_like(rows))
    return -(rows * logs).sum(axis=-1)


def cls_entropy(cls_rows: np.ndarray) -> np.ndarray:
    """How widely an image's CLS token looks in one layer, in nats, averaged over its heads.

    Args:
        cls_rows: (N, H, gh*gw), attention from CLS to the patches. What CLS gives to itself is
            left out, so rows are scaled to sum 1 first; a head that gives the patches nothing
            counts as 0.

    Returns:
        (N,) in [0, ln(gh*gw)].
    """
    rows = np.asarray(cls_rows, np.float64)
    sums = rows.sum(axis=-1, keepdims=True)
    shares = np.divide(rows, sums, where=sums > 0, out=np.zeros_like(rows))
    return row_entropy(shares).mean(axis=-1)
