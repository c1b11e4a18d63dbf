"""Figures for print, with matplotlib: PNG, SVG and PDF, and their numbers as CSV and NPZ.

Lengths are millimetres on the page and font sizes points, because that is what a paper's column
and its captions are measured in.
"""

import io
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import singledispatch

import matplotlib.figure
import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator, PercentFormatter

from core.errors import InputError
from core.figures.figure import UNNAMED, Bars, Figure, Intervals, Lines, Matrix, Panel, Panels
from core.figures.palette import PALETTE, is_light

_MOST_PIXELS = 100e6  # of a PNG: 400 MB in memory
_MM = 1 / 25.4  # inches, matplotlib's unit of length
_POINT = 25.4 / 72  # mm
_LEADING = 1.3 * _POINT  # mm from line to line, a point of font size

_MARGIN = 2.0  # mm around everything
_GAP = 3.0  # mm between neighbours
_TITLE, _TEXT, _SMALL = 10, 8, 7  # font sizes
_LEGIBLE = 3.5  # the smallest font size; smaller numbers are left to the CSV

_COLOR_BAR = 8.0  # mm that a panel's colour bar takes with its words
_GREY = "#666666"
_PALE = "#a9b0c9"  # of bars that are not highlighted, as on screen
_SIGN = 3.0  # mm for the sign before a note
_VERDICT = {True: ("✓", PALETTE[2]), False: ("✗", PALETTE[1])}

_STYLE = {
    # TrueType inside: a reader can select and search the words, a publisher finds no Type 3 font
    "pdf.fonttype": 42,
    # outlines: an SVG cannot carry its font, and another font's words would not fit their places
    "svg.fonttype": "path",
    "svg.hashsalt": "vitascope",  # ids that are the same every time
    "text.hinting": "none",  # words as wide at every resolution as `_text_width` says
    "text.parse_math": False,  # a class may be called "$5"
    "font.size": _TEXT,
    "axes.labelsize": _TEXT,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.labelsize": _SMALL,
    "ytick.labelsize": _SMALL,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}
_LINE_STYLES = {
    "solid": {"linewidth": 1.4},
    "faint": {"linewidth": 0.8, "alpha": 0.3},
    "dashed": {"linewidth": 1.2, "linestyle": (0, (4, 2))},
    "steps": {"linewidth": 1.2, "marker": "o", "markersize": 2.5},
    "points": {"linestyle": "none", "marker": "o", "markersize": 4.5},
    "dot": {"linestyle": "none", "marker": "o", "markersize": 5},
}
_NO_DATE = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}

# matplotlib's settings are global, and a server exports for several people at once
_settings_lock = threading.Lock()


def render(figure: Figure, format: str, *, width_mm: float = 170, dpi: int = 300) -> bytes:
    """A figure as the bytes of a file, the same every time; its title is also in the metadata.

    Args:
        format: "png", "svg" or "pdf".
        width_mm: of the page; the height follows from the content.
        dpi: pixels an inch, in SVG and PDF of the pictures inside.

    Raises:
        ValueError: the format is another one.
        InputError: a PNG would have more than 100 million pixels.
    """
    if format not in _NO_DATE:
        raise ValueError(f"There is no format {format!r}; choose from {', '.join(_NO_DATE)}.")
    file = io.BytesIO()
    metadata = {"Title": figure.title, **_NO_DATE[format]}
    # "default" first: a notebook's own style does not change what is printed
    with _settings_lock, style.context(["default", _STYLE]):
        page = _draw(figure, width_mm).page
        pixels = np.prod(page.get_size_inches() * dpi)
        if format == "png" and pixels > _MOST_PIXELS:
            raise InputError(
                f"A PNG of {pixels / 1e6:,.0f} million pixels is more than a machine can take; "
                "choose a smaller width or resolution, or a PDF."
            )
        page.savefig(file, format=format, dpi=dpi, metadata=metadata)
    return file.getvalue()


class _Sheet:
    """A page with a title and, below, a body in which things are placed in millimetres.

    (0, 0) is the body's top left corner, `width` the body's, `size` (2,) the page's.
    """

    def __init__(self, title: str, page_width: float, height: float):
        self.width = page_width - 2 * _MARGIN
        lines = _wrapped(title, self.width, _TITLE, "bold")
        self._top = _MARGIN + len(lines) * _LEADING * _TITLE + 1.5
        self.size = np.array([page_width, self._top + height + _MARGIN])
        self.page = matplotlib.figure.Figure(figsize=self.size * _MM)
        self.write(0, _MARGIN - self._top, "\n".join(lines), _TITLE, weight="bold")

    def write(self, x: float, y: float, words: str, size: float, **looks) -> None:
        """Words with their top left corner, or what `looks` says, at (x, y)."""
        x, y = np.array([_MARGIN + x, self._top + y]) / self.size
        looks = {"va": "top", "linespacing": 1.15, **looks}
        self.page.text(x, 1 - y, words, size=size, **looks)

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes with their top left corner at (x, y)."""
        left, bottom = np.array([_MARGIN + x, self._top + y + height]) / self.size
        return self.page.add_axes((left, 1 - bottom, *np.array([width, height]) / self.size))


@singledispatch
def _draw(figure: Figure, page_width: float) -> _Sheet:
    raise TypeError(f"There is no drawing of {type(figure).__name__}.")


@dataclass
class _Stack:
    """A panel with the lines over and under it, and the heights of picture and colour bar, mm."""

    panel: Panel
    caption: list[str]
    picture: float
    bar: float
    note: list[str]


@_draw.register
def _(figure: Panels, page_width: float) -> _Sheet:
    columns = max(2, min(figure.columns, len(figure.panels)))  # a single picture: half the page
    width = (page_width - 2 * _MARGIN - (columns - 1) * _GAP) / columns
    maps = [panel for panel in figure.panels if not panel.is_image]
    # a single map keeps its colour bar close
    shared = figure.shared_scale if len(maps) > 1 else None
    caption_words = [word for panel in figure.panels for word in panel.caption.split()]
    note_words = [word for panel in figure.panels for word in panel.note.split()]
    caption_size = _size_for(caption_words, width, _TEXT)
    note_size = _size_for(note_words, width - _SIGN, _SMALL)

    stacks = [
        _Stack(
            panel,
            _wrapped(panel.caption, width, caption_size),
            width * _shape(panel),
            0 if panel.is_image or shared else _COLOR_BAR + 1,
            _wrapped(panel.note, width - _SIGN, note_size),
        )
        for panel in figure.panels
    ]
    rows = [stacks[i : i + columns] for i in range(0, len(stacks), columns)]
    over = [max(len(stack.caption) for stack in row) * _LEADING * caption_size for row in rows]
    under = [
        max(stack.picture + stack.bar + len(stack.note) * _LEADING * note_size for stack in row)
        for row in rows
    ]
    height = sum(over) + sum(under) + len(rows) * _GAP + (_COLOR_BAR if shared else -_GAP)
    sheet = _Sheet(figure.title, page_width, height)

    top = 0.0  # of a row's pictures
    for row, caption_height, row_height in zip(rows, over, under):
        top += caption_height
        for x, stack in zip(np.arange(columns) * (width + _GAP), row):
            panel, below = stack.panel, top + stack.picture
            for i, line in enumerate(reversed(stack.caption)):
                baseline = top - 1 - i * _LEADING * caption_size
                sheet.write(x, baseline, line, caption_size, va="baseline")
            axes = sheet.axes(x, top, width, stack.picture)
            _draw_panel(axes, panel, width, stack.picture, figure.colors)
            if stack.bar:
                _draw_color_bar(sheet, x, below + 1, width, panel.limits, panel.unit, figure.colors)
            _write_note(sheet, x, below + stack.bar + 0.7, stack.note, panel.right, note_size)
        top += row_height + _GAP
    if shared:
        units = ", ".join(dict.fromkeys(panel.unit for panel in maps))
        bar_width = min(60, sheet.width)
        _draw_color_bar(sheet, 0, height - _COLOR_BAR, bar_width, shared, units, figure.colors)
    return sheet


def _shape(panel: Panel) -> float:
    """Height of a panel as a share of its width."""
    height, width = panel.values.shape[:2]
    # square cells of a map with one row would be too low for digits
    return height / width if panel.is_image else max(height / width, 0.2)


def _draw_panel(axes: Axes, panel: Panel, width: float, height: float, colors: str) -> None:
    axes.set_axis_off()
    if panel.marked:
        left, top, wide, tall = panel.marked
        for color, thick in (("white", 2.4), (PALETTE[1], 1.2)):  # seen on every picture
            frame = Rectangle((left, 1 - top - tall), wide, tall, transform=axes.transAxes)
            axes.add_patch(frame).set(fill=False, color=color, linewidth=thick, zorder=3)
    if panel.is_image:
        axes.imshow(panel.values, interpolation="nearest", aspect="auto")
        return
    low, high = panel.limits
    picture = axes.imshow(
        panel.values, colors, vmin=low, vmax=high, interpolation="nearest", aspect="auto"
    )
    if panel.numbers:
        texts = np.vectorize("{:.3f}".format)(panel.values)
        _write_numbers(axes, texts, picture.to_rgba(panel.values), width, height)


def _draw_color_bar(
    sheet: _Sheet,
    x: float,
    y: float,
    width: float,
    limits: tuple[float, float],
    unit: str,
    colors: str,
) -> None:
    """A flat colour bar over the numbers at its ends, and these over the unit."""
    axes = sheet.axes(x, y, width, 1.5)
    axes.imshow(np.linspace(0, 1, 256)[None], colors, aspect="auto")
    axes.set_axis_off()
    low, high = _ends(*limits)
    size = _size_for([f"{low}  {high}"], width, _SMALL)
    sheet.write(x, y + 2, low, size, color=_GREY)
    sheet.write(x + width, y + 2, high, size, color=_GREY, ha="right")
    size = _size_for([unit], width, _SMALL)
    sheet.write(x + width / 2, y + 4.7, unit, size, color=_GREY, ha="center")


def _ends(low: float, high: float) -> tuple[str, str]:
    """A range's ends, to a hundredth of what lies between them."""
    if low == high:
        return f"{low:.3g}", f"{high:.3g}"
    digits = 2 - int(np.floor(np.log10(high - low)))
    return f"{round(low, digits):g}", f"{round(high, digits):g}"


def _write_note(
    sheet: _Sheet, x: float, y: float, lines: list[str], right: bool | None, size: float
) -> None:
    if right is not None:
        sign, color = _VERDICT[right]  # a sign too, for those who see no colours
        sheet.write(x, y, sign, size, color=color)
        x += _SIGN
    sheet.write(x, y, "\n".join(lines), size, color=_GREY)


@_draw.register
def _(figure: Matrix, page_width: float) -> _Sheet:
    rows, columns = figure.values.shape
    body = page_width - 2 * _MARGIN
    name_size = _size_for((*figure.rows, *figure.columns), body / 3, _SMALL)
    row_names = max(_text_width(name, name_size) for name in figure.rows)
    column_names = max(_text_width(name, name_size) for name in figure.columns)
    right = 20  # colour bar
    steep = column_names > (body - row_names - 7 - right) / columns - 1
    left = max(7 + row_names, column_names * 0.71 * steep)
    width = body - left - right
    height = min(9 * rows, 160)
    below = 7 + (column_names * 0.71 if steep else 2)
    sheet = _Sheet(figure.title, page_width, height + below)

    axes = sheet.axes(left, 0, width, height)
    low, high = figure.limits
    picture = axes.imshow(
        figure.values, figure.colors, vmin=low, vmax=high, interpolation="nearest", aspect="auto"
    )
    _write_numbers(axes, figure.texts, picture.to_rgba(figure.values), width, height)

    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    slanted = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if steep else {}
    # of names that would touch each other only every second, third ... is written
    every = int(np.ceil(3 / (width / columns)))
    axes.set_xticks(range(0, columns, every), figure.columns[::every], size=name_size, **slanted)
    every = int(np.ceil(3 / (height / rows)))
    axes.set_yticks(range(0, rows, every), figure.rows[::every], size=name_size)
    sheet.write(
        left + width / 2, height + below, figure.column_label, _TEXT, ha="center", va="bottom"
    )
    sheet.write(0, height / 2, figure.row_label, _TEXT, rotation=90, va="center")

    bar = sheet.axes(left + width + 3, 0, 2.5, height)
    percent = PercentFormatter(1) if "%" in figure.form else None
    sheet.page.colorbar(picture, cax=bar, label=figure.unit, format=percent).outline.set_visible(0)
    return sheet


@_draw.register
def _(figure: Lines, page_width: float) -> _Sheet:
    body = page_width - 2 * _MARGIN
    names = [line.name for line in figure.series if line.style not in UNNAMED]
    name_size = _size_for(names, body - 16, _TEXT)
    entry = 16 + max((_text_width(name, name_size) for name in names), default=0)
    legend_columns = max(1, int(body / entry))
    legend_height = -(-len(names) // legend_columns) * 4.2
    plot_height = 75 + 3.5 * len(figure.marks)
    sheet = _Sheet(figure.title, page_width, plot_height + legend_height)

    axes = sheet.page.add_subplot()
    for line in figure.series:
        looks = {"color": PALETTE[line.color % len(PALETTE)], **_LINE_STYLES[line.style]}
        label = None if line.style in UNNAMED else line.name
        axes.plot(line.x, line.y, label=label, **looks)
        if line.band:
            axes.fill_between(line.x, *line.band, color=looks["color"], alpha=0.15, linewidth=0)
    axes.set(xlabel=figure.x_label, ylabel=figure.y_label)
    axes.grid()
    if all(np.asarray(line.x).dtype.kind in "iu" for line in figure.series):
        # there is no epoch 1.5
        axes.xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10], integer=True))
    if figure.percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    _write_marks(axes, figure.marks)

    # the plot takes what its tick labels leave of the body above the legend
    left, bottom = np.array([_MARGIN, _MARGIN + legend_height + 2]) / sheet.size
    share = np.array([body, plot_height - 2]) / sheet.size
    sheet.page.set_layout_engine("constrained", rect=(left, bottom, *share), w_pad=0, h_pad=0)
    if names:
        place = {"loc": "upper left", "bbox_to_anchor": (left, bottom - 2 / sheet.size[1])}
        looks = {"fontsize": name_size, "borderaxespad": 0, "borderpad": 0, "columnspacing": 2.0}
        sheet.page.legend(*axes.get_legend_handles_labels(), ncols=legend_columns, **place, **looks)
    return sheet


def _write_marks(axes: Axes, marks: list[tuple[float, str]]) -> None:
    """Vertical lines; their words stand in steps above the plot, so that none covers another."""
    middle = np.mean(axes.get_xlim())
    # words run towards the middle, so there the lowest step is free of the others' lines
    for step, (x, words) in enumerate(sorted(marks, key=lambda mark: abs(mark[0] - middle))):
        axes.axvline(x, color=_GREY, linewidth=0.6, zorder=1.5)
        top = {"xy": (x, 1), "xycoords": axes.get_xaxis_transform(), "textcoords": "offset points"}
        line = {"arrowstyle": "-", "color": _GREY, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", xytext=(0, 10 * step + 9), arrowprops=line, **top)
        side = {"ha": "right" if x > middle else "left", "size": _SMALL, "color": _GREY}
        axes.annotate(words, xytext=(-3 if x > middle else 3, 10 * step + 2), **side, **top)


@_draw.register
def _(figure: Bars, page_width: float) -> _Sheet:
    name_size = _size_for(figure.names, page_width / 2, _TEXT)
    left = 2 + max(_text_width(name, name_size) for name in figure.names)
    right = 14  # the number behind a full bar
    height = 5.0 * len(figure.names)
    sheet = _Sheet(figure.title, page_width, height + 5)
    axes = sheet.axes(left, 0, sheet.width - left - right, height)
    places = range(len(figure.names))
    colors = [PALETTE[0] if i in figure.highlight else _PALE for i in places]
    bars = axes.barh(places, figure.values, height=0.72, color=colors)
    numbers = [f"{value:.1%}" for value in figure.values]
    for label in axes.bar_label(bars, numbers, padding=2, size=_SMALL):
        label.set_va("center_baseline")  # as the names' ticks do
    axes.set_yticks(places, figure.names, size=name_size)
    axes.set(xlim=(0, 1), ylim=(len(figure.names) - 0.5, -0.5), xticks=[])
    axes.set_xlabel(figure.unit, loc="left", color=_GREY)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(length=0)
    return sheet


@_draw.register
def _(figure: Intervals, page_width: float) -> _Sheet:
    name_size = _size_for(figure.names, page_width / 2, _TEXT)
    left = 2 + max(_text_width(name, name_size) for name in figure.names)
    above = 4 if figure.reference else 0
    height = 6.0 * len(figure.names)
    sheet = _Sheet(figure.title, page_width, above + height + 10)
    axes = sheet.axes(left, above, sheet.width - left - 3, height)
    means, lows, highs = (np.asarray(v) for v in (figure.means, figure.lows, figure.highs))
    places = range(len(figure.names))
    axes.errorbar(
        means, places, xerr=[means - lows, highs - means], fmt="o", color=PALETTE[0], markersize=4,
        elinewidth=1.2, capsize=2,
    )  # fmt: skip
    axes.set_yticks(places, figure.names, size=name_size)
    axes.set(ylim=(len(figure.names) - 0.5, -0.5), xlabel=figure.label)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    if figure.percent:
        axes.xaxis.set_major_formatter(PercentFormatter(1))
    if figure.reference:
        at, words = figure.reference
        axes.axvline(at, color=_GREY, linewidth=0.8, linestyle=":")
        place = {"xy": (at, 1), "xycoords": axes.get_xaxis_transform()}
        offset = {"xytext": (0, 3), "textcoords": "offset points"}
        axes.annotate(words, ha="center", size=_SMALL, color=_GREY, **place, **offset)
    return sheet


def _write_numbers(
    axes: Axes, texts: np.ndarray, colors: np.ndarray, width: float, height: float
) -> None:
    """Write into every cell of an image, in the ink and the direction that read best.

    Args:
        texts: (rows, columns) str.
        colors: (rows, columns, 4) of the cells, in [0, 1].
        width, height: of the axes, mm.
    """
    rows, columns = texts.shape
    # mm of a point of font size: the widest number, and the digits' height with some air
    long = max(_text_width(text, 1) for text in set(texts.flat)) * 1.15
    tall = 1.1 * _POINT
    cell_width, cell_height = width / columns, height / rows
    lying = min(cell_width / long, cell_height / tall)
    standing = min(cell_width / tall, cell_height / long)
    size = min(_SMALL, max(lying, standing))
    if size < _LEGIBLE:
        return
    rotation = 90 if standing > lying and lying < _SMALL else 0
    light = is_light(colors[..., :3])  # (rows, columns)
    for (row, column), text in np.ndenumerate(texts):
        ink = "black" if light[row, column] else "white"
        looks = {"ha": "center", "va": "center_baseline", "rotation_mode": "anchor"}
        axes.text(column, row, text, size=size, color=ink, rotation=rotation, **looks)


def _text_width(words: str, size: float, weight: str = "normal") -> float:
    """mm that one line of words takes."""
    font = FontProperties(size=size, weight=weight)
    return text_to_path.get_text_width_height_descent(words, font, ismath=False)[0] * _POINT


def _wrapped(text: str, width: float, size: float, weight: str = "normal") -> list[str]:
    """The lines of a text, broken between words so that they fit into `width` mm."""
    lines = []
    for line in text.splitlines():
        lines.append("")
        for word in line.split():
            longer = f"{lines[-1]} {word}".strip()
            fits = _text_width(longer, size, weight) <= width
            if fits or not lines[-1]:
                lines[-1] = longer
            else:
                lines.append(word)
    return lines


def _size_for(pieces: Iterable[str], width: float, size: float) -> float:
    """The font size, at most `size`, at which every one of the pieces fits into `width` mm."""
    widest = max((_text_width(piece, size) for piece in pieces), default=0)
    return size * width / max(width, widest)


def table(figure: Figure) -> bytes:
    """The numbers as CSV in UTF-8, exact, for a spreadsheet or pandas.

    A row each holds, by the kind of figure:
        Panels: panel, row, column (from 0), channel (none for a map), value.
        Matrix: a row's name, then its values; the header has the columns' names.
        Lines: series (or what a point is called), x, y, under the names of the axes; where there
            are bands, low and high.
        Bars: name, value.
        Intervals: name, mean, low, high.
    """
    return _table(figure).encode()


@singledispatch
def _table(figure: Figure) -> str:
    raise TypeError(f"There is no table of {type(figure).__name__}.")


@_table.register
def _(figure: Panels) -> str:
    # panel by panel, because one column of all would turn an image's whole numbers into floats
    return "panel,row,column,channel,value\n" + "".join(map(_panel_rows, figure.panels))


def _panel_rows(panel: Panel) -> str:
    row, column, *channel = np.indices(panel.values.shape).reshape(panel.values.ndim, -1)
    columns = {
        "panel": panel.name,
        "row": row,
        "column": column,
        "channel": np.array(["red", "green", "blue"])[channel[0]] if channel else "",
        "value": panel.values.ravel(),
    }
    return _csv(pd.DataFrame(columns), header=False)


@_table.register
def _(figure: Matrix) -> str:
    columns = [f"{figure.row_label} \\ {figure.column_label}", *figure.columns]
    rows = [[name, *values] for name, values in zip(figure.rows, figure.values.tolist())]
    return _csv(pd.DataFrame(rows, columns=columns))


@_table.register
def _(figure: Lines) -> str:
    header = ["series", figure.x_label, figure.y_label]
    banded = any(line.band for line in figure.series)
    header += ["low", "high"] * banded
    lines = []
    for line in figure.series:
        ends = [np.asarray(end) for end in line.band] if line.band else [np.nan, np.nan]
        names = line.name if line.labels is None else line.labels
        columns = (names, np.asarray(line.x), np.asarray(line.y), *(ends if banded else ()))
        lines.append(pd.DataFrame(dict(zip(header, columns))))
    return _csv(pd.DataFrame(columns=header)) + "".join(_csv(rows, header=False) for rows in lines)


@_table.register
def _(figure: Bars) -> str:
    return _csv(pd.DataFrame({"name": figure.names, "value": figure.values}))


@_table.register
def _(figure: Intervals) -> str:
    names = {"name": figure.names, "mean": figure.means, "low": figure.lows, "high": figure.highs}
    return _csv(pd.DataFrame(names))


def _csv(frame: pd.DataFrame, header: bool = True) -> str:
    return frame.to_csv(index=False, header=header, lineterminator="\n")


def archive(figure: Figure) -> bytes:
    """The numbers as NumPy's NPZ, compressed: `figure.numbers()` by name, without pickles."""
    file = io.BytesIO()
    # names are of people's classes, and must not lead out of a folder they are unpacked in
    numbers = {re.sub(r"[/\\]", "_", name): values for name, values in figure.numbers().items()}
    np.savez_compressed(file, **numbers)
    return file.getvalue()
