"""Two maps against each other: where they differ, and how much."""

import numpy as np

from core.errors import InputError


def difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Second map less first, (h, w) float32; positive where the second has more.

    Args:
        first, second: (gh, gw) each. Where their grids differ, the result is on the smallest grid
            that both divide, and a patch's value is shared equally among its parts, so that each
            map's sum stays what it was.

    Raises:
        InputError: one of them is not a map.
    """
    first, second = _on_one_grid(first, second)
    return second - first


def share_of_map(grid: np.ndarray) -> np.ndarray:
    """A map (…, gh, gw) scaled to sum 1, so that those of different units stand on one scale.

    Where all is 0, it stays 0.
    """
    grid = np.asarray(grid, np.float32)
    mass = grid.sum(axis=(-2, -1), keepdims=True)
    return np.divide(grid, mass, where=mass > 0, out=np.zeros_like(grid))


def cosine_similarity(first: np.ndarray, second: np.ndarray) -> float:
    """Cosine of the angle between two maps as vectors: 1 alike, 0 no patch in common.

    Grids and errors as in `difference`; 0 where one of the maps is all zeros.
    """
    first, second = _on_one_grid(first, second)
    lengths = np.linalg.norm(first) * np.linalg.norm(second)
    return float((first * second).sum() / lengths) if lengths > 0 else 0.0


def moved_share(first: np.ndarray, second: np.ndarray) -> float:
    """Share of the map that would have to move to turn one into the other, in [0, 1].

    Half the L1 distance of both maps scaled to sum 1 (total variation distance). Grids and errors
    as in `difference`; NaN where one of the maps is all zeros.
    """
    first, second = _on_one_grid(first, second)
    if not (first.sum() > 0 and second.sum() > 0):
        return float("nan")
    return float(np.abs(share_of_map(first) - share_of_map(second)).sum() / 2)


def _on_one_grid(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(first, np.float32), np.asarray(second, np.float32)
    if first.ndim != 2 or second.ndim != 2 or not first.size or not second.size:
        raise InputError(f"Two maps (gh, gw) are compared, not {first.shape} and {second.shape}.")
    shape = tuple(int(np.lcm(a, b)) for a, b in zip(first.shape, second.shape))
    return _divided(first, shape), _divided(second, shape)


def _divided(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    rows, columns = shape[0] // values.shape[0], shape[1] // values.shape[1]
    return np.kron(values, np.full((rows, columns), 1 / (rows * columns), np.float32))
