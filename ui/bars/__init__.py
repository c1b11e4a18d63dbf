"""A figure of bars on a page, as a table that draws them: lighter than a chart, and read aloud."""

from pathlib import Path

import streamlit as st

from core.figures.figure import Bars
from core.figures.palette import PALETTE

HERE = Path(__file__).parent

_component = st.components.v2.component(
    "vitascope_bars",
    html="<table></table>\n",
    css=(HERE / "bars.css").read_text("utf-8"),
    js=(HERE / "bars.js").read_text("utf-8"),
)


def draw(figure: Bars, *, key: str) -> None:
    rows = [
        {
            "name": name,
            "share": float(value),
            "text": f"{value:.1%}",
            "marked": i in figure.highlight,
        }
        for i, (name, value) in enumerate(zip(figure.names, figure.values))
    ]
    _component(key=key, data={"title": figure.title, "color": PALETTE[0], "rows": rows})
