"""Pictures and maps on a page: sharp pixels, readable numbers, as many a row as there is room.

Streamlit's own image element smooths, and a chart a map would be slow; so one small component draws
all panels of a figure, and says which was clicked.
"""

import base64
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import streamlit as st
from PIL import Image

from core.figures.figure import Panel, Panels
from core.figures.screen import cell_colors, map_pixels

HERE = Path(__file__).parent
# maps of more values, or more values in all, are drawn as pictures of pixels, without hover
CELLS_UP_TO, CELLS_IN_ALL_UP_TO = 64, 1024

_component = st.components.v2.component(
    "vitascope_panels",
    html='<div class="panels"></div>\n',
    css=(HERE / "panels.css").read_text("utf-8"),
    js=(HERE / "panels.js").read_text("utf-8"),
)


def draw(
    figure: Panels,
    *,
    key: str,
    width: int,
    group: int = 1,
    columns: int | None = None,
    on_click: Callable[[int], None] | None = None,
    selected: int | None = None,
) -> None:
    """Draw a figure's panels in rows.

    Args:
        width: pixels of a panel; a map of one row takes the whole width instead.
        group: so many panels in a row belong together, and stay side by side.
        columns: at most so many panels a row, however much room there is.
        on_click: called with a panel's position before the page runs again.
        selected: position of a panel to mark.
    """
    maps = [panel for panel in figure.panels if _may_have_cells(panel)]
    with_cells = sum(panel.values.size for panel in maps) <= CELLS_IN_ALL_UP_TO
    pictures = [panel for panel in figure.panels if not (with_cells and _may_have_cells(panel))]
    sheet, places = _sheet([_pixels(panel) for panel in pictures])
    place_of = dict(zip(map(id, pictures), places))
    data = {
        "width": width,
        "group": group,
        "columns": columns,
        "legend": _legend(figure),
        "sheet": sheet,
        "clickable": on_click is not None,
        "selected": selected,
        "panels": [_describe(panel, place_of.get(id(panel))) for panel in figure.panels],
    }

    def clicked():
        if (position := st.session_state[key].clicked) is not None:
            on_click(int(position))

    callback = {"on_clicked_change": clicked} if on_click else {}
    _component(key=key, data=data, **callback)


def _legend(figure: Panels) -> dict | None:
    """The colours of the maps from low to high, and what both ends stand for."""
    maps = [panel for panel in figure.panels if not panel.is_image]
    if not maps:
        return None
    ramp = np.linspace(0, 1, 12)[None]
    low, high = "lowest", "highest of each map"
    if figure.shared_scale:
        low, high = (f"{end:.4f}" for end in figure.shared_scale)
    return {
        "colors": [color for color, _ in cell_colors(ramp, (0, 1))[0]],
        "unit": maps[0].unit,
        "low": low,
        "high": high,
    }


def _may_have_cells(panel: Panel) -> bool:
    return not panel.is_image and panel.values.size <= CELLS_UP_TO


def _describe(panel: Panel, place: tuple[int, int, int, int] | None) -> dict:
    verdict = {True: "right", False: "wrong", None: ""}[panel.right]
    about = {
        "caption": panel.caption,
        "note": panel.note,
        "verdict": verdict,
        "alt": ", ".join(filter(None, [panel.caption, panel.note.replace("\n", ", "), verdict])),
    }
    if place:
        return {**about, "at": place}
    rows, columns = panel.values.shape
    return {**about, "wide": rows == 1 < columns, "cells": _cells(panel)}


def _cells(panel: Panel) -> list[list[dict]]:
    colors = cell_colors(panel.values, panel.limits)
    return [
        [
            {
                "color": colors[i][j][0],
                "ink": colors[i][j][1],
                "text": f"{value:.3f}" if panel.numbers else "",
                "hover": f"row {i + 1}, column {j + 1}: {value:.4f} {panel.unit}",
            }
            for j, value in enumerate(row)
        ]
        for i, row in enumerate(panel.values.tolist())
    ]


def _pixels(panel: Panel) -> np.ndarray:
    """(h, w, 3) uint8 of an image, or of a map in its colours."""
    values = panel.values
    if not panel.is_image:
        return map_pixels(values, panel.limits)
    return values if values.dtype == np.uint8 else (values * 255).round().astype(np.uint8)


def _sheet(pictures: list[np.ndarray]) -> tuple[str, list[tuple[int, int, int, int]]]:
    """All pictures on one PNG, as a data URL, and where each lies: (x, y, width, height)."""
    height = max((p.shape[0] for p in pictures), default=1)
    width = max((p.shape[1] for p in pictures), default=1)
    columns = int(np.ceil(np.sqrt(len(pictures)))) or 1
    rows = -(-len(pictures) // columns) or 1
    sheet = np.zeros((rows * height, columns * width, 3), np.uint8)
    places = []
    for i, pixels in enumerate(pictures):
        y, x = i // columns * height, i % columns * width
        sheet[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
        places.append((x, y, pixels.shape[1], pixels.shape[0]))
    file = io.BytesIO()
    Image.fromarray(sheet).save(file, "PNG", compress_level=3)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode(), places
