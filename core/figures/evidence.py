"""Figures of maps by several methods, and of the measurements that say which to believe."""

import numpy as np
import pandas as pd

from core.amplify import amplify
from core.compare import share_of_map
from core.faithfulness import MAPS
from core.figures.figure import Intervals, Lines, Panel, Panels, Series
from core.figures.heads import dots
from core.figures.palette import DIFFERENCE_COLORS, MAP_COLORS
from core.figures.views import READABLE

SHARE = "share of the map"


def method_maps(
    title: str,
    maps: dict[str, np.ndarray],
    picture: np.ndarray,
    *,
    shared: bool = True,
    gain: float = 2.0,
    resize: str = "bilinear",
    colors: str = MAP_COLORS,
    notes: dict[str, str] | None = None,
) -> Panels:
    """Maps of several methods on one scale, each beside the picture amplified by it.

    Their units differ, so each is scaled to sum 1: a value is the share of the map that falls on a
    patch, and a map that is the same everywhere has 1 / (gh*gw) in each.

    Args:
        maps: (gh, gw) each, by a name that the panel bears.
        picture: (H, W, 3) uint8.
        shared: one colour scale for all; else each has its own.
        notes: lines below some of the maps, by name.
    """
    shares = {name: share_of_map(grid) for name, grid in maps.items()}
    scale = (0.0, max(float(grid.max()) for grid in shares.values())) if shared else None
    panels = []
    for name, grid in shares.items():
        amplified = amplify(grid, picture, gain=gain, resize=resize).amplified
        panels += [
            Panel(
                f"{name} map",
                name,
                grid,
                scale,
                numbers=grid.size <= READABLE,
                unit=SHARE,
                note=(notes or {}).get(name, ""),
            ),
            Panel(f"{name} amplified", f"× {gain:g}", amplified, alt=f"{name} amplified"),
        ]
    return Panels(title, panels, 4, colors, picture.shape[:2])


def occlusion_map(
    title: str, drops: np.ndarray, picture: np.ndarray, name: str, most: float
) -> Panels:
    """How much a class's probability falls as each patch is covered, (gh, gw) in [-1, 1].

    Args:
        picture: (H, W, 3) uint8, that the map lies over.
        name: of the class.
        most: the largest change, up or down, that the colours show.
    """
    panel = Panel(
        "occlusion",
        f"occlusion, {name}",
        drops,
        (-most or -1.0, most or 1.0),
        numbers=drops.size <= READABLE,
        unit="fall in probability",
    )
    return Panels(title, [panel], 1, DIFFERENCE_COLORS, picture.shape[:2])


def curves(
    title: str, scores: dict[str, np.ndarray], at_random: np.ndarray, areas: dict[str, float]
) -> Lines:
    """Deletion or insertion curves of one image, beside what random orders give.

    Args:
        scores: (n + 1,) each, by the map's name, as `core.faithfulness.deletion` gives them.
        at_random: (k, n + 1), of k random orders; drawn as their mean and their whole range.
        areas: under each curve, by the map's name.
    """
    steps = np.arange(at_random.shape[1])
    series = [
        Series(f"{name} ({areas[name]:.2f})", steps, values, "steps", color)
        for color, (name, values) in enumerate(scores.items())
    ]
    band = at_random.min(axis=0), at_random.max(axis=0)
    series.append(
        Series(
            f"random order ({areas['random']:.2f})",
            steps,
            at_random.mean(axis=0),
            "dashed",
            6,
            band,
        )
    )
    return Lines(title, "patches", "probability", series, percent=True)


def on_the_way(
    title: str, pictures: dict[str, tuple[np.ndarray, float]], size: tuple[int, int]
) -> Panels:
    """What the model sees at a step of deletion and of insertion, with the probabilities.

    Args:
        pictures: (H, W, 3) uint8 and probability, by caption.
        size: (H, W)
    """
    panels = [
        Panel(name, name, picture, note=f"{score:.1%}")
        for name, (picture, score) in pictures.items()
    ]
    return Panels(title, panels, len(panels), size=size)


_TITLES = {
    "deletion": ("Deletion", "mean probability left (area); lower is better"),
    "insertion": ("Insertion", "mean probability reached (area); higher is better"),
    "occlusion": ("Agreement with occlusion", "rank correlation; higher is better"),
    "object": ("On the object", "share of the map on the object; no verdict on the model"),
}


def trust(table: pd.DataFrame, measure: str) -> Intervals:
    """One measure of every map over a set, beside what a random order gives.

    Args:
        table: as `core.faithfulness.summary` gives it.
        measure: one of its measures.
    """
    rows = table[table["measure"] == measure].set_index("map")
    rows = rows.loc[[name for name in MAPS if name in rows.index]]
    reference = None
    if "random" in rows.index:
        reference = float(rows.loc["random", "mean"]), "random"
    title, label = _TITLES[measure]
    return Intervals(
        f"{title}, {rows['images'].iloc[0]}",
        tuple(rows.index),
        *(rows[name].to_numpy() for name in ("mean", "low", "high")),
        label,
        reference,
        percent=measure == "object",
    )


def trust_table(table: pd.DataFrame) -> pd.DataFrame:
    """A row a map, a column a measure, each "mean [low, high]" in words."""
    said = [f"{row.mean:.3f} [{row.low:.3f}, {row.high:.3f}]" for row in table.itertuples()]
    wide = table.assign(said=said).pivot(index="map", columns="measure", values="said")
    order = [name for name in MAPS if name in wide.index]
    return wide.loc[order, list(table["measure"].unique())].fillna("–")


def object_by_depth(means: list[np.ndarray], even: float) -> Lines:
    """Share of attention on the object against depth, a dot a head.

    Args:
        means: of every head (L, H), and of the heads' averages (L,).
        even: what an even map gets.
    """
    heads, averages = means
    depth = np.arange(1, len(averages) + 1)
    series = [dots(heads)]
    series.append(Series("average of the heads", depth, averages, "solid", 1))
    series.append(Series("an even map", depth, np.full(len(depth), even), "dashed", 6))
    return Lines("Attention on the object", "layer", "share of the map", series, percent=True)


def object_by_head(layer: int, intervals: list[np.ndarray], even: float) -> Intervals:
    """Share on the object of a layer's average map and of each head's, with intervals.

    Args:
        layer: counted from 1.
        intervals: mean, low and high, (1 + H,) each.
        even: what an even map gets.
    """
    names = ("average", *(f"head {head}" for head in range(1, len(intervals[0]))))
    title = f"Layer {layer}: attention on the object"
    reference = even, "an even map"
    return Intervals(title, names, *intervals, "share of the map", reference, percent=True)
