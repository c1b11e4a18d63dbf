"""How a long job says how far it is."""

from collections.abc import Callable

Progress = Callable[[int, int], None]  # called with what is done and what there is in all


def silent(done: int, total: int) -> None:
    """Say nothing."""
