"""Which images of a set to look at, and in which order."""

from dataclasses import dataclass

import numpy as np

from core.amplify import amplify_each
from core.attention import last_layer_maps

OUTCOMES = ("all", "correct", "wrong")
ORDERS = ("data set", "most sure", "least sure", "most wrong", "attention entropy")


@dataclass(frozen=True, eq=False)
class Verdicts:
    """What a model says of every image of a set, as columns that filters and orders work on.

    Attributes:
        labels: (N,) int64 in the model's classes; -1 where nobody knows, or the model lacks it.
        predicted: (N,) int64.
        confidence: (N,) float32, the probability of the predicted class.
        margin: (N,) float32, that probability less the label's; 0 where the model is right.
        entropy: (N,) float64, in nats (see `core.heads.cls_entropy`), or None while nobody asked.
    """

    labels: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    margin: np.ndarray
    entropy: np.ndarray | None

    @property
    def known(self) -> np.ndarray:
        """(N,) bool: the label is one of the model's classes."""
        return self.labels >= 0

    @property
    def correct(self) -> np.ndarray:
        """(N,) bool: the label is known and predicted."""
        return self.predicted == self.labels


def verdicts(
    labels: np.ndarray, probabilities: np.ndarray, entropy: np.ndarray | None = None
) -> Verdicts:
    """Columns from labels (N,), -1 where unknown, probabilities (N, classes) and entropy (N,)."""
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    of_label = np.take_along_axis(probabilities, np.maximum(labels, 0)[:, None], axis=1)[:, 0]
    margin = np.where(labels >= 0, confidence - of_label, 0)
    return Verdicts(labels, predicted, confidence, margin, entropy)


def select(
    verdicts: Verdicts,
    *,
    classes: list[int] | None = None,
    outcome: str = "all",
    order: str = "data set",
) -> np.ndarray:
    """Positions (n,) int64 in the set of the images that pass, in order.

    Args:
        classes: keep these labels; an image without a known label goes by its prediction. None
            or none keeps all.
        outcome: one of `OUTCOMES`; images without a known label are neither correct nor wrong.
        order: one of `ORDERS`; "most wrong" begins where the prediction beats the label by most,
            "attention entropy" where the last layer looks most widely (it needs `entropy`). Ties
            keep the set's order.

    Raises:
        ValueError: the outcome or order is another one.
    """
    if outcome not in OUTCOMES or order not in ORDERS:
        raise ValueError(f"There is no outcome {outcome!r} or no order {order!r}.")
    keep = np.ones(len(verdicts.labels), bool)
    if classes:
        keep &= np.isin(np.where(verdicts.known, verdicts.labels, verdicts.predicted), classes)
    if outcome == "correct":
        keep &= verdicts.correct
    elif outcome == "wrong":
        keep &= verdicts.known & ~verdicts.correct
    chosen = np.flatnonzero(keep)
    if order == "data set":
        return chosen
    key = {
        "most sure": lambda: -verdicts.confidence,
        "least sure": lambda: verdicts.confidence,
        "most wrong": lambda: -verdicts.margin,
        "attention entropy": lambda: -verdicts.entropy,
    }[order]()
    return chosen[np.argsort(key[chosen], kind="stable")]


def same_answer(verdicts: Verdicts, index: int) -> np.ndarray:
    """Positions (n,) of the other images with the label and the prediction of one."""
    alike = (verdicts.labels == verdicts.labels[index]) & (
        verdicts.predicted == verdicts.predicted[index]
    )
    return _others(np.flatnonzero(alike), index)


def same_class(verdicts: Verdicts, index: int) -> np.ndarray:
    """Positions (n,) of the other images of its class; where no label is known, predicted class."""
    classes = np.where(verdicts.known, verdicts.labels, verdicts.predicted)
    return _others(np.flatnonzero(classes == classes[index]), index)


@dataclass(frozen=True, eq=False)
class Mean:
    """What images have in common.

    Attributes:
        image: (H, W, 3) float32 in [0, 1], their mean.
        grid: (gh, gw) float32, the mean of their CLS maps of the last layer, heads averaged.
        amplified: (H, W, 3) float32 in [0, 1], the mean of the images amplified by their own maps.
        count: how many they are.
    """

    image: np.ndarray
    grid: np.ndarray
    amplified: np.ndarray
    count: int


def mean_of(
    images: np.ndarray,
    cls_rows: np.ndarray,
    positions: np.ndarray,
    grid: tuple[int, int],
    gain: float = 2.0,
) -> Mean:
    """The mean of some images of a set and of their maps; memory does not grow with their number.

    Args:
        images: (N, H, W, 3) uint8, the whole set.
        cls_rows: (N, L, H, gh*gw), as in `core.attention.Extraction`.
        positions: (n,), at least one.
        grid: (gh, gw)
        gain: of the amplification.
    """
    count = len(positions)
    image, maps, amplified = 0.0, 0.0, 0.0
    for start in range(0, count, 1024):
        chunk = positions[start : start + 1024]
        pictures, own = images[chunk], last_layer_maps(cls_rows[chunk], grid)
        image = image + pictures.sum(axis=0, dtype=np.int64)
        maps = maps + own.sum(axis=0, dtype=np.float64)
        amplified = amplified + amplify_each(own, pictures, gain=gain).sum(axis=0, dtype=np.float64)
    means = (image / (255 * count), maps / count, amplified / count)
    return Mean(*(mean.astype(np.float32) for mean in means), count)


def most_similar(maps: np.ndarray, index: int, count: int) -> np.ndarray:
    """Positions (<= count,) of the other images with the maps most like one's, best first.

    Args:
        maps: (N, gh*gw); they are compared by the cosine of the angle between them.
    """
    maps = np.asarray(maps, np.float32)
    lengths = np.linalg.norm(maps, axis=1)
    products = maps @ maps[index]
    cosines = np.divide(products, lengths, where=lengths > 0, out=np.zeros_like(products))
    return _others(np.argsort(-cosines, kind="stable"), index)[:count]


def _others(positions: np.ndarray, index: int) -> np.ndarray:
    return positions[positions != index]
