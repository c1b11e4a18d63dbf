"""Figures for the browser and the notebook, with plotly; `paper` draws the same ones for print."""

from functools import cache, singledispatch

import matplotlib
import numpy as np
import plotly.graph_objects as go

from core.figures.figure import UNNAMED, Bars, Figure, Lines, Matrix
from core.figures.palette import MAP_COLORS, MATRIX_COLORS, PALETTE, is_light

_AXIS = {"gridcolor": "#ebeef5", "linecolor": "#ebeef5", "zeroline": False, "automargin": True}
# Plotly copies a template into every figure; its own, for all kinds of charts, takes longer than
# the rest of the figure, and importing Streamlit would change which of them is the default.
_TEMPLATE = {
    "layout": {
        "font": {"color": "#2a3142"},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "hovermode": "closest",
        "hoverlabel": {"align": "left"},
        "xaxis": {**_AXIS, "title": {"standoff": 15}},
        "yaxis": {**_AXIS, "title": {"standoff": 15}},
    }
}
_STYLES = {
    "solid": {"mode": "lines", "line": {"width": 2}},
    "faint": {"mode": "lines", "line": {"width": 1}, "opacity": 0.3},
    "dashed": {"mode": "lines", "line": {"width": 1.5, "dash": "dash"}},
    "points": {"mode": "markers", "marker": {"size": 7}},
    "dot": {"mode": "markers", "marker": {"size": 9}},
}


@singledispatch
def draw(figure: Figure) -> go.Figure:
    """A plotly figure with hover, without a title (the page or the notebook says it).

    Clickable cells and points carry their position in `customdata`.

    Raises:
        TypeError: the dashboard draws `Panels` itself; in a notebook, `paper` does.
    """
    raise TypeError(f"There is no plotly drawing of {type(figure).__name__}.")


@draw.register
def _(figure: Matrix) -> go.Figure:
    shares = figure.values.dtype.kind == "f"
    text = np.vectorize(lambda v: f"{v:.0%}" if shares else f"{v:,}")(figure.values)
    heat = go.Heatmap(
        z=figure.values,
        x=figure.columns,
        y=figure.rows,
        text=text,
        texttemplate="%{text}",
        colorscale=MATRIX_COLORS,
        hoverinfo="skip",
        xgap=1,
        ygap=1,
        colorbar={"title": {"text": figure.unit, "side": "right"}, "tickformat": ".0%" * shares},
    )
    # a heatmap sends no clicks: squares that cannot be seen lie over its cells and do
    rows, columns = np.indices(figure.values.shape).reshape(2, -1)
    cells = go.Scatter(
        x=np.array(figure.columns)[columns],
        y=np.array(figure.rows)[rows],
        mode="markers",
        marker={"symbol": "square", "size": min(34, 480 / len(figure.rows)), "color": "#0000"},
        # lists: of an array, the browser would send back an object instead of a pair
        customdata=np.stack([rows, columns], axis=1).tolist(),
        text=text.ravel(),
        hovertemplate=f"{figure.row_label} %{{y}}<br>{figure.column_label} %{{x}}<br>"
        f"%{{text}} {figure.unit}<extra></extra>",
        showlegend=False,
    )
    drawing = go.Figure([heat, cells])
    # dtick: every class has its name, however narrow the page
    drawing.update_xaxes(title=figure.column_label, tickangle=-45, dtick=1, showgrid=False)
    drawing.update_yaxes(title=figure.row_label, autorange="reversed", dtick=1, showgrid=False)
    return _laid_out(drawing, height=max(320, 36 * len(figure.rows) + 160))


@draw.register
def _(figure: Lines) -> go.Figure:
    drawing = go.Figure()
    value = "%{y:.1%}" if figure.percent else "%{y:.4f}"
    place = "%{x}" if _counts(figure) else "%{x:.4~r}"
    for line in figure.series:
        color = PALETTE[line.color % len(PALETTE)]
        trace = go.Scatter(
            x=line.x,
            y=line.y,
            name=line.name,
            hovertemplate=f"{line.name}, {figure.x_label} {place}: {value}<extra></extra>",
            showlegend=line.style not in UNNAMED,
            **_STYLES[line.style],
        )
        drawing.add_trace(trace.update(line_color=color, marker_color=color))
    for i, (x, words) in enumerate(figure.marks):
        side = "left" if x > _middle(figure) else "right"
        drawing.add_vline(
            x=x,
            line={"width": 1, "dash": "dot", "color": "#8a8fa3"},
            annotation={"text": words, "font": {"size": 11}},
            # one high, one low: two marks may lie close together
            annotation_position=f"{('top', 'bottom')[i % 2]} {side}",
        )
    drawing.update_xaxes(title=figure.x_label)
    drawing.update_yaxes(title=figure.y_label, tickformat=".0%" if figure.percent else None)
    # the legend stands above the plot; where it is long, it takes no room from the curves
    names = sum(line.style not in ("faint", "dot") for line in figure.series)
    return _laid_out(drawing, height=360 + 18 * max(0, names - 4))


@draw.register
def _(figure: Bars) -> go.Figure:
    colors = [PALETTE[0] if i in figure.highlight else "#a9b0c9" for i in range(len(figure.values))]
    bars = go.Bar(
        x=figure.values,
        y=figure.names,
        orientation="h",
        marker_color=colors,
        text=[f"{value:.1%}" for value in figure.values],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:.2%}<extra></extra>",
    )
    drawing = go.Figure(bars)
    drawing.update_xaxes(range=[0, 1.15], visible=False)
    drawing.update_yaxes(autorange="reversed", showgrid=False)
    return _laid_out(drawing, height=26 * len(figure.values) + 20)


def _laid_out(drawing: go.Figure, height: int) -> go.Figure:
    return drawing.update_layout(
        template=_TEMPLATE,
        height=height,
        margin={"l": 10, "r": 10, "t": 28, "b": 10},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.04, "x": 0},
        dragmode=False,
    )


def _counts(figure: Lines) -> bool:
    """Whether the x axis counts something, such as epochs."""
    return all(np.asarray(line.x).dtype.kind in "iu" for line in figure.series)


def _middle(figure: Lines) -> float:
    places = np.concatenate([np.asarray(line.x, float) for line in figure.series])
    return (places.min() + places.max()) / 2 if len(places) else 0


def map_pixels(
    values: np.ndarray, limits: tuple[float, float], colors: str = MAP_COLORS
) -> np.ndarray:
    """A map (h, w) in its colours, (h, w, 3) uint8.

    Args:
        limits: (low, high) of the colours.
        colors: one of `palette.MAP_COLORMAPS`, or `palette.DIFFERENCE_COLORS`.
    """
    low, high = limits
    scaled = (values - low) / (high - low) if high > low else np.zeros_like(values)
    return _table(colors)[np.clip(scaled * 256, 0, 255).astype(np.uint8)]


@cache
def _table(colors: str) -> np.ndarray:
    """The 256 colours of a colour map, (256, 3) uint8; matplotlib builds them anew every time."""
    return matplotlib.colormaps[colors](np.arange(256), bytes=True)[:, :3]


def cell_colors(
    values: np.ndarray, limits: tuple[float, float], colors: str = MAP_COLORS
) -> list[list[tuple[str, str]]]:
    """For every cell of a map (h, w) its colour and an ink that reads on it, as "#rrggbb"."""
    pixels = map_pixels(values, limits, colors)
    return [
        [
            (f"#{r:02x}{g:02x}{b:02x}", "#000000" if light else "#ffffff")
            for (r, g, b), light in zip(row, lights)
        ]
        for row, lights in zip(pixels.tolist(), is_light(pixels / 255).tolist())
    ]
