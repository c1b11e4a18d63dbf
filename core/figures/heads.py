"""Figures of what heads do over a set, of what they are worth, and of the embeddings."""

import numpy as np

from core.figures.figure import Lines, Matrix, Panel, Panels, Series
from core.figures.palette import DIFFERENCE_COLORS, MAP_COLORS

_LABELS = {
    "distance": ("Attention distance", "pixels"),
    "entropy": ("Entropy of attention", "nats"),
    "cls_to_cls": ("What CLS gives to itself", "share of its attention"),
    "strength": ("Strength: what a head hands to CLS", "length of the vector"),
    "agreement": ("Agreement of a layer's heads", "mean cosine of their CLS maps"),
}


def by_depth(
    measure: str,
    values: np.ndarray,
    reference: tuple[float, str] | None = None,
    chosen: tuple[int, int] | None = None,
) -> Lines:
    """A measure of every head against depth, a dot a head (the ViT paper's Figure 7).

    Args:
        measure: a field of `core.heads.HeadMeasures`, or "agreement".
        values: (L, H)
        reference: a value to compare with, and what it is.
        chosen: layer and head, counted from 0, to mark.
    """
    title, label = _LABELS[measure]
    layers = len(values)
    depth = np.arange(1, layers + 1)
    series = [dots(values), Series("mean", depth, values.mean(axis=1), "solid", 1)]
    if reference:
        at, words = reference
        series.append(Series(words, depth, np.full(layers, at), "dashed", 6))
    if chosen:
        layer, head = chosen
        at = values[layer : layer + 1, head]
        series.append(Series(f"layer {layer + 1}, head {head + 1}", depth[[layer]], at, "dot", 2))
    return Lines(title, "layer", label, series, percent=measure == "cls_to_cls")


def dots(values: np.ndarray) -> Series:
    """A value of every head (L, H) against its layer, in that order."""
    places = [(layer + 1, head + 1) for layer, head in np.ndindex(values.shape)]
    names = tuple(f"L{layer} H{head}" for layer, head in places)
    depth = np.array([layer for layer, _ in places])
    return Series("heads", depth, values.ravel(), "points", 0, labels=names)


def agreement(values: np.ndarray, heads: int, layer: int | None = None) -> Matrix:
    """How alike heads look (see `core.heads.agreement`), all of them or those of a layer.

    Args:
        values: (L*H, L*H)
        heads: H.
        layer: counted from 1; None is all.
    """
    names = tuple(f"L{place // heads + 1} H{place % heads + 1}" for place in range(len(values)))
    title = "How alike all heads look"
    if layer is not None:
        own = slice((layer - 1) * heads, layer * heads)
        names, values = names[own], values[own, own]
        title = f"How alike the heads of layer {layer} look"
    return Matrix(title, values, names, names, "head", "head", "cosine", ".2f", (0.0, 1.0))


def positions(similarity: np.ndarray, colors: str = MAP_COLORS) -> Panels:
    """A map for every patch: how alike its position embedding is to the others' (Figure 7).

    Args:
        similarity: (gh, gw, gh, gw), as `core.heads.position_similarity` gives it.
    """
    gh, gw = similarity.shape[:2]
    scale = float(similarity.min()), 1.0
    panels = [
        Panel(
            f"patch_{row * gw + column + 1}",
            f"{row * gw + column + 1}",
            similarity[row, column],
            scale,
            unit="cosine",
            alt=f"patch {row * gw + column + 1}",
        )
        for row, column in np.ndindex(gh, gw)
    ]
    return Panels("Position embeddings: which places are alike to the model", panels, gw, colors)


def filters(components: np.ndarray, shares: np.ndarray) -> Panels:
    """The patch embedding's principal components as pictures, each on its own scale (Figure 7).

    Args:
        components: (k, P, P, C), as `core.heads.patch_filters` gives them; of other than three
            channels, their mean is shown.
        shares: (k,)
    """
    if components.shape[-1] != 3:
        components = np.repeat(components.mean(axis=-1, keepdims=True), 3, axis=-1)
    most = np.abs(components).max(axis=(1, 2, 3), keepdims=True)
    pictures = 0.5 + 0.5 * components / np.maximum(most, 1e-12)
    panels = [
        Panel(f"component_{i}", "", picture, note=f"{share:.1%}", alt=f"component {i}")
        for i, (picture, share) in enumerate(zip(pictures.astype(np.float32), shares), 1)
    ]
    title = f"Patch embedding: the {len(panels)} strongest components of its filters"
    return Panels(title, panels, columns=14)


def importance(change: np.ndarray, heads: int) -> Matrix:
    """What every head, and every layer whole, is worth: change of accuracy when it is off.

    Args:
        change: (L*H + L,), of `core.knockout.one_off`, in [-1, 1].
        heads: H.
    """
    layers = len(change) // (heads + 1)
    table = np.column_stack([change[: layers * heads].reshape(layers, heads), change[-layers:]])
    most = float(np.abs(table).max()) or 1.0
    return Matrix(
        "Change of accuracy without a head, or without a layer's heads",
        table,
        tuple(f"layer {layer}" for layer in range(1, layers + 1)),
        (*(f"head {head}" for head in range(1, heads + 1)), "all heads"),
        "layer",
        "off",
        "of the images",
        "+.1%",
        (-most, most),
        DIFFERENCE_COLORS,
    )


def confusion_change(before: np.ndarray, after: np.ndarray, classes: tuple[str, ...]) -> Matrix:
    """Confusion matrix (classes, classes) without some heads, less the one with all of them."""
    change = after - before
    most = float(np.abs(change).max()) or 1.0
    title = "Confusion matrix without them, less with them"
    names = (classes, classes, "label", "prediction", "images")
    return Matrix(title, change, *names, "+,", (-most, most), DIFFERENCE_COLORS)
