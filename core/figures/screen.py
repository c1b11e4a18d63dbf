"""Figures for the browser and the notebook, with plotly; `paper` draws the same ones for print."""

from functools import singledispatch

import numpy as np
import plotly.graph_objects as go

from core.figures.figure import UNNAMED, Bars, Figure, Intervals, Lines, Matrix
from core.figures.palette import PALETTE

_READABLE = 20  # columns of a matrix whose numbers can be read
_TALL = 480  # pixels at most of a matrix
_AXIS = {"zeroline": False, "automargin": True}
_LAYOUT = {
    # Named, because importing Streamlit changes which one is the default; the empty one, because
    # plotly copies it into every figure, which for others takes longer than all the rest. Fonts and
    # colours are plotly's in a notebook, and those of the page's theme in the dashboard.
    "template": "none",
    "hovermode": "closest",
    "hoverlabel": {"align": "left"},
    "margin": {"l": 10, "r": 10, "t": 28, "b": 10},
    "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.04, "x": 0},
    "dragmode": False,
}
_STYLES = {
    "solid": {"mode": "lines", "line": {"width": 2}},
    "faint": {"mode": "lines", "line": {"width": 1}, "opacity": 0.3},
    "dashed": {"mode": "lines", "line": {"width": 1.5, "dash": "dash"}},
    "steps": {"mode": "lines+markers", "line": {"width": 2}, "marker": {"size": 6}},
    "points": {"mode": "markers", "marker": {"size": 7}},
    "dot": {"mode": "markers", "marker": {"size": 9}},
}


def draw(figure: Figure, clickable: bool = False) -> go.Figure:
    """A plotly figure with hover, without a title (the page or the notebook says it).

    Args:
        clickable: cells and points can be selected, and carry their position in `customdata`.

    Raises:
        TypeError: the dashboard draws `Panels` itself; in a notebook, `paper` does.
    """
    # in one go: every update of a figure that is there costs as much as the figure
    traces, layout = _parts(figure, clickable)
    return go.Figure(traces, {**_LAYOUT, **layout})


@singledispatch
def _parts(figure: Figure, clickable: bool) -> tuple[list, dict]:
    """Traces, and what the layout has beside `_LAYOUT`."""
    raise TypeError(f"There is no plotly drawing of {type(figure).__name__}.")


def _axis(title: str, **looks) -> dict:
    return {**_AXIS, "title": {"text": title, "standoff": 15}, **looks}


@_parts.register
def _(figure: Matrix, clickable: bool) -> tuple[list, dict]:
    text, (low, high) = figure.texts, figure.limits
    readable = figure.values.shape[1] <= _READABLE
    told = (
        f"{figure.row_label} %{{y}}<br>{figure.column_label} %{{x}}<br>"
        f"%{{text}} {figure.unit}<extra></extra>"
    )
    heat = go.Heatmap(
        z=figure.values,
        x=figure.columns,
        y=figure.rows,
        text=text,
        texttemplate="%{text}" if readable else None,
        colorscale=figure.colors,
        zmin=low,
        zmax=high,
        **({"hoverinfo": "skip"} if clickable else {"hovertemplate": told}),
        xgap=1 if readable else 0,
        ygap=1 if readable else 0,
        colorbar={
            "title": {"text": figure.unit, "side": "right"},
            "tickformat": ".0%" if "%" in figure.form else None,
        },
    )
    traces = [heat]
    if clickable:
        # a heatmap sends no clicks: squares that cannot be seen lie over its cells and do
        rows, columns = np.indices(figure.values.shape).reshape(2, -1)
        looks = {"symbol": "square", "size": min(34, _TALL / len(figure.rows)), "color": "#0000"}
        cells = go.Scatter(
            x=np.array(figure.columns)[columns],
            y=np.array(figure.rows)[rows],
            mode="markers",
            marker=looks,
            # lists: of an array, the browser would send back an object instead of a pair
            customdata=np.stack([rows, columns], axis=1).tolist(),
            text=text.ravel(),
            hovertemplate=told,
            showlegend=False,
        )
        traces.append(cells)
    # dtick: every class has its name, however narrow the page
    names = {"dtick": 1 if readable else None, "showgrid": False, "type": "category"}
    return traces, {
        "xaxis": _axis(figure.column_label, tickangle=-45, **names),
        "yaxis": _axis(figure.row_label, autorange="reversed", **names),
        "height": max(320, min(36 * len(figure.rows), _TALL) + 160),
    }


@_parts.register
def _(figure: Lines, clickable: bool) -> tuple[list, dict]:
    value = "%{y:.1%}" if figure.percent else "%{y:.4f}"
    place = "%{x}" if _counts(figure) else "%{x:.4~r}"
    traces = []
    for i, line in enumerate(figure.series):
        color, looks = PALETTE[line.color % len(PALETTE)], _STYLES[line.style]
        if line.band:
            edge = {"x": line.x, "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
            edge |= {"showlegend": False, "fillcolor": f"{color}26"}
            traces += [
                go.Scatter(y=end, fill=fill, **edge)
                for end, fill in zip(line.band, (None, "tonexty"))
            ]
        traces.append(
            go.Scatter(
                x=line.x,
                y=line.y,
                name=line.name,
                customdata=[[i, j] for j in range(len(line.x))] if clickable else None,
                text=line.labels,
                hovertemplate=f"{'%{text}' if line.labels else line.name}, {figure.x_label} "
                f"{place}: {value}<extra></extra>",
                showlegend=line.style not in UNNAMED,
                **{
                    **looks,
                    "line": {**looks.get("line", {}), "color": color},
                    "marker": {**looks.get("marker", {}), "color": color},
                },
            )
        )
    shapes, annotations = [], []
    for i, (x, words) in enumerate(figure.marks):
        line = {"width": 1, "dash": "dot", "color": "#8a8fa3"}
        shapes.append(
            {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "y domain", "line": line}
        )
        high = i % 2 == 0  # one high, one low: two marks may lie close together
        annotations.append(
            {
                "text": words,
                "x": x,
                "xanchor": "right" if x > _middle(figure) else "left",
                "y": int(high),
                "yref": "y domain",
                "yanchor": "top" if high else "bottom",
                "font": {"size": 11},
                "showarrow": False,
            }
        )
    # the legend stands above the plot; where it is long, it takes no room from the curves
    names = sum(line.style not in UNNAMED for line in figure.series)
    return traces, {
        "xaxis": _axis(figure.x_label),
        "yaxis": _axis(figure.y_label, tickformat=".0%" if figure.percent else None),
        "shapes": shapes,
        "annotations": annotations,
        "height": 360 + 18 * max(0, names - 4),
    }


@_parts.register
def _(figure: Bars, clickable: bool) -> tuple[list, dict]:
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
    return [bars], {
        "xaxis": {"range": [0, 1.15], "visible": False},
        "yaxis": {**_AXIS, "autorange": "reversed", "showgrid": False},
        "height": 26 * len(figure.values) + 20,
    }


@_parts.register
def _(figure: Intervals, clickable: bool) -> tuple[list, dict]:
    means, lows, highs = (np.asarray(v, float) for v in (figure.means, figure.lows, figure.highs))
    value = ".1%" if figure.percent else ".3f"
    points = go.Scatter(
        x=means,
        y=figure.names,
        mode="markers",
        marker={"size": 8, "color": PALETTE[0]},
        error_x={"array": highs - means, "arrayminus": means - lows, "thickness": 1.5, "width": 4},
        customdata=np.stack([lows, highs], axis=1),
        hovertemplate=f"%{{y}}: %{{x:{value}}} [%{{customdata[0]:{value}}}, "
        f"%{{customdata[1]:{value}}}]<extra></extra>",
        showlegend=False,
    )
    shapes, annotations = [], []
    if figure.reference:
        at, words = figure.reference
        line = {"width": 1, "dash": "dot", "color": "#8a8fa3"}
        shapes = [
            {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "paper", "line": line}
        ]
        annotations = [
            {
                "text": words,
                "x": at,
                "y": 1,
                "yref": "paper",
                "yanchor": "bottom",
                "showarrow": False,
            }
        ]
    return [points], {
        "xaxis": _axis(figure.label, tickformat=".0%" if figure.percent else None),
        "yaxis": {**_AXIS, "autorange": "reversed", "type": "category"},
        "shapes": shapes,
        "annotations": annotations,
        "height": 34 * len(figure.names) + 90,
    }


def _counts(figure: Lines) -> bool:
    """Whether the x axis counts something, such as epochs."""
    return all(np.asarray(line.x).dtype.kind in "iu" for line in figure.series)


def _middle(figure: Lines) -> float:
    places = np.concatenate([np.asarray(line.x, float) for line in figure.series])
    return (places.min() + places.max()) / 2 if len(places) else 0
