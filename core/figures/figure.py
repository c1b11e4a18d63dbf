"""What a figure shows, apart from how it is drawn: titles, units, numbers.

`screen` draws a figure with plotly, `paper` with matplotlib, and both show the same numbers, which
`numbers` hands out.
"""

from dataclasses import dataclass, field

import numpy as np

from core.figures.palette import MAP_COLORS, MATRIX_COLORS


@dataclass(frozen=True, eq=False)
class Panel:
    """One picture, or one map, or one small table of numbers, with what stands above it.

    Attributes:
        name: a short word for the file with the numbers, unique in its figure.
        caption: one line above the panel.
        values: an image (H, W, 3), floats in [0, 1] or uint8; or a map (h, w).
        scale: (low, high) of a map's colours; None takes the map's own range.
        numbers: write each value of a map into its cell.
        unit: what a map's values are, for its colour bar and hover.
        note: small lines below the panel.
        right: whether the note tells of a right (True) or wrong (False) prediction; None of none.
        alt: what to call it for those who cannot see it, where the caption does not say.
        size: (H, W) of the picture that a map lies over, where it is not that of all panels.
        cell: what to call a value of a map that covers several pixels.
        marked: (left, top, width, height) of a frame, as shares of the panel's own.
    """

    name: str
    caption: str
    values: np.ndarray
    scale: tuple[float, float] | None = None
    numbers: bool = False
    unit: str = "attention"
    note: str = ""
    right: bool | None = None
    alt: str = ""
    size: tuple[int, int] | None = None
    cell: str = "patch"
    marked: tuple[float, float, float, float] | None = None

    @property
    def is_image(self) -> bool:
        return self.values.ndim == 3

    @property
    def limits(self) -> tuple[float, float]:
        """(low, high) of the colours."""
        return self.scale or (float(self.values.min()), float(self.values.max()))


@dataclass(frozen=True, eq=False)
class Panels:
    """Pictures and maps in rows of `columns`; one colour bar where all maps share a scale.

    Attributes:
        colors: what maps are drawn in, a name of `core.figures.palette`.
        size: (H, W) of the picture that the maps lie over, for coordinates in pixels; None where
            they lie over none.
    """

    title: str
    panels: list[Panel]
    columns: int
    colors: str = MAP_COLORS
    size: tuple[int, int] | None = None

    @property
    def shared_scale(self) -> tuple[float, float] | None:
        """The colour limits of all maps if they have the same, else None."""
        limits = {panel.limits for panel in self.panels if not panel.is_image}
        return limits.pop() if len(limits) == 1 else None

    def numbers(self) -> dict[str, np.ndarray]:
        return {panel.name: panel.values for panel in self.panels}


@dataclass(frozen=True, eq=False)
class Matrix:
    """A table of numbers as coloured cells, e.g. a confusion matrix.

    Attributes:
        values: (rows, columns)
        form: how a value is written, as `format` takes it.
        scale: (low, high) of the colours; None takes 0 and the highest value.
        colors: a name of `core.figures.palette`.
    """

    title: str
    values: np.ndarray
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    row_label: str
    column_label: str
    unit: str
    form: str = ","
    scale: tuple[float, float] | None = None
    colors: str = MATRIX_COLORS

    @property
    def limits(self) -> tuple[float, float]:
        """(low, high) of the colours."""
        return self.scale or (0.0, float(self.values.max()))

    @property
    def texts(self) -> np.ndarray:
        """(rows, columns) str, the values as they are written."""
        return np.vectorize(lambda value: format(value, self.form))(self.values)

    def numbers(self) -> dict[str, np.ndarray]:
        return {
            "values": self.values,
            "rows": np.array(self.rows),
            "columns": np.array(self.columns),
        }


UNNAMED = ("faint", "dot")  # styles without a place in the legend


@dataclass(frozen=True, eq=False)
class Series:
    """One line: x (n,) and y (n,).

    `style` is "solid", "dashed" (drawn beside a solid line of the same colour, or a reference),
    "steps" (a line with its points marked), "points", "faint" (the raw values under a smoothed
    line) or "dot" (a place on another line). `band` are the lower and the upper ends (n,) each of
    what the line is the middle of; `labels` (n,) say what each point is, where they differ.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    style: str = "solid"
    color: int = 0  # which of the palette's colours
    band: tuple[np.ndarray, np.ndarray] | None = None
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True, eq=False)
class Lines:
    """Curves over one x axis, with marked places.

    Attributes:
        marks: (x, words) of vertical lines.
        percent: y values are shares, shown in %.
    """

    title: str
    x_label: str
    y_label: str
    series: list[Series]
    marks: list[tuple[float, str]] = field(default_factory=list)
    percent: bool = False

    def numbers(self) -> dict[str, np.ndarray]:
        arrays = {}
        for line in self.series:
            arrays[f"{line.name}: {self.x_label}"] = np.asarray(line.x)
            arrays[f"{line.name}: {self.y_label}"] = np.asarray(line.y)
            if line.band:
                arrays[f"{line.name}: low"], arrays[f"{line.name}: high"] = line.band
            if line.labels:
                arrays[f"{line.name}: labels"] = np.array(line.labels)
        return arrays


@dataclass(frozen=True, eq=False)
class Bars:
    """Horizontal bars of shares in [0, 1], shown in %; `highlight` marks some by position."""

    title: str
    names: tuple[str, ...]
    values: np.ndarray
    unit: str
    highlight: tuple[int, ...] = ()

    def numbers(self) -> dict[str, np.ndarray]:
        return {"names": np.array(self.names), "values": np.asarray(self.values)}


@dataclass(frozen=True, eq=False)
class Intervals:
    """Means with the intervals that they lie in, a row a name.

    Attributes:
        means, lows, highs: (n,)
        reference: where a vertical line is, and what it stands for.
        percent: values are shares, shown in %.
    """

    title: str
    names: tuple[str, ...]
    means: np.ndarray
    lows: np.ndarray
    highs: np.ndarray
    label: str
    reference: tuple[float, str] | None = None
    percent: bool = False

    def numbers(self) -> dict[str, np.ndarray]:
        values = {"mean": self.means, "low": self.lows, "high": self.highs}
        return {"names": np.array(self.names), **{k: np.asarray(v) for k, v in values.items()}}


Figure = Panels | Matrix | Lines | Bars | Intervals
