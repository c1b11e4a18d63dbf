"""Pictures and maps on a page: sharp pixels, readable numbers, as many a row as there is room.

Streamlit's own image element smooths, and a chart a map would be slow; so one small component draws
all panels of a figure, and says which was clicked, or which patch of a picture.
"""

import base64
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import streamlit as st
from PIL import Image

from core.figures.figure import Panel, Panels
from core.figures.palette import cell_colors, map_pixels

HERE = Path(__file__).parent
HOVER_UP_TO = 1024  # values of a map; those of larger ones would outweigh their picture

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
    grid: tuple[int, int] | None = None,
    on_pick: Callable[[int], None] | None = None,
    picked: int | None = None,
    keep_place: bool = False,
) -> None:
    """Draw a figure's panels in rows.

    Args:
        width: pixels of a panel; a map of one row takes the whole width instead.
        group: so many panels in a row belong together, and stay side by side.
        columns: at most so many panels a row, however much room there is.
        on_click: called with a panel's position before the page runs again.
        selected: position of a panel to mark.
        grid: (gh, gw), the patches of every panel; then `on_pick` is called with the patch that
            was clicked, row by row from 0, and the patch `picked` is marked.
        keep_place: whoever clicked a panel here and comes back finds it in view, and focused.
    """
    sheet, places = _sheet([_pixels(panel, figure.colors) for panel in figure.panels])
    data = {
        "key": key,
        "width": width,
        "group": group,
        "columns": columns,
        "legend": _legend(figure),
        "sheet": sheet,
        "size": figure.size,
        "clickable": on_click is not None,
        "selected": selected,
        "grid": grid if on_pick else None,
        "picked": picked,
        "keepPlace": keep_place,
        "panels": [_describe(*each, figure.colors) for each in zip(figure.panels, places)],
    }

    def clicked():
        if (position := st.session_state[key].clicked) is not None:
            on_click(int(position))

    def patch_picked():
        if (patch := st.session_state[key].picked) is not None:
            on_pick(int(patch))

    callbacks = {"on_clicked_change": clicked} if on_click else {}
    if on_pick:
        callbacks["on_picked_change"] = patch_picked
    _component(key=key, data=data, **callbacks)


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
        "colors": [color for color, _ in cell_colors(ramp, (0, 1), figure.colors)[0]],
        "unit": maps[0].unit,
        "low": low,
        "high": high,
    }


def _describe(panel: Panel, place: tuple[int, int, int, int], colors: str) -> dict:
    verdict = {True: "right", False: "wrong", None: ""}[panel.right]
    said = [panel.alt or panel.caption, panel.note.replace("\n", ", "), verdict]
    about = {
        "caption": panel.caption,
        "note": panel.note,
        "verdict": verdict,
        "alt": ", ".join(filter(None, said)),
        "at": place,
    }
    if panel.is_image:
        return about
    rows, columns = panel.values.shape
    about |= {"shape": (rows, columns), "wide": rows == 1 < columns, "unit": panel.unit}
    about |= {"size": panel.size, "cell": panel.cell}
    if panel.values.size <= HOVER_UP_TO or panel.numbers:
        # six digits are more than anybody reads, and a third of what float32 would take
        about["values"] = np.round(panel.values, 6).ravel().tolist()
    if panel.numbers:
        cells = cell_colors(panel.values, panel.limits, colors)
        about["cells"] = [cell for row in cells for cell in row]
    return about


def _pixels(panel: Panel, colors: str) -> np.ndarray:
    """(h, w, 3) uint8 of an image, or of a map in its colours."""
    values = panel.values
    if not panel.is_image:
        return map_pixels(values, panel.limits, colors)
    return values if values.dtype == np.uint8 else (values * 255).round().astype(np.uint8)


def _sheet(pictures: list[np.ndarray]) -> tuple[str, list[tuple[int, int, int, int]]]:
    """All pictures on one PNG, as a data URL, and where each lies: (x, y, width, height)."""
    # every edge stands twice, so that one that falls between two pixels of the screen shows itself
    # and not its neighbour
    framed = [np.pad(pixels, ((1, 1), (1, 1), (0, 0)), "edge") for pixels in pictures]
    height = max((p.shape[0] for p in framed), default=1)
    width = max((p.shape[1] for p in framed), default=1)
    columns = int(np.ceil(np.sqrt(len(framed)))) or 1
    rows = -(-len(framed) // columns) or 1
    sheet = np.zeros((rows * height, columns * width, 3), np.uint8)
    places = []
    for i, pixels in enumerate(framed):
        y, x = i // columns * height, i % columns * width
        sheet[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
        places.append((x + 1, y + 1, pixels.shape[1] - 2, pixels.shape[0] - 2))
    file = io.BytesIO()
    Image.fromarray(sheet).save(file, "PNG", compress_level=3)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode(), places
