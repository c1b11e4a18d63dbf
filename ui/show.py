"""A figure on a page: its title, the figure, what it says, and a way to take it home."""

import json
import re
from collections.abc import Callable

import streamlit as st

from core.figures import screen
from core.figures.figure import Bars, Figure, Panels
from ui import bars, links, panels, report

DRAWINGS = {
    "PNG": ("image/png", ":material/image:"),
    "SVG": ("image/svg+xml", ":material/shapes:"),
    "PDF": ("application/pdf", ":material/picture_as_pdf:"),
}
DATA = {
    "CSV": ("text/csv", ":material/table:"),
    "NPZ": ("application/octet-stream", ":material/database:"),
    "JSON": ("application/json", ":material/tune:"),
}
# A second click is a click: as a double click it would undo the selection, and with it send what
# other widgets held before the first one.
CHART = {"displayModeBar": False, "doubleClickDelay": 1}


def side_by_side(width: int = 440):
    """Two places of equal width, one below the other where a place would be narrower than that.

    `st.columns` goes by the window alone, and forgets that the sidebar takes a part of it.
    """
    grid = st.grid(2, min_column_width=width, gap="large")
    return grid.cell(), grid.cell()


def show_panels(
    figure: Panels, key: str, *, width: int, note: str = "", hint: str = "", **options
) -> None:
    """Pictures and maps with their title and export.

    Args:
        note: what the figure says and does not say, plain text; it goes into a report, too.
        hint: what can be done with it on the page.
        width, options: as in `ui.panels.draw`.
    """
    with st.container(gap="xsmall"):
        _header(figure, key, note)
        panels.draw(figure, key=key, width=width, **options)
        if note or hint:
            st.caption(f"{links.plain(note)} {hint}".strip())


def show_bars(figure: Bars, key: str) -> None:
    """Bars with their title and export."""
    with st.container(gap="xsmall"):
        _header(figure, key, "")
        bars.draw(figure, key=key)


def show_chart(
    figure: Figure,
    key: str,
    *,
    alt: str,
    note: str = "",
    on_click: Callable[[tuple], None] | None = None,
) -> None:
    """A chart with its title, export and note.

    Args:
        alt: one sentence that says what the chart shows, for those who cannot see it.
        note: as in `show_panels`.
        on_click: called with the `customdata` of a clicked point before the page runs again.
    """

    def clicked():
        points = st.session_state[key]["selection"]["points"]
        # a click on the selected point takes the selection away, but is a click on it all the same
        point = tuple(points[0]["customdata"]) if points else st.session_state.get(f"{key} point")
        st.session_state[f"{key} point"] = point
        if point:
            on_click(point)

    select = {"on_select": clicked, "selection_mode": "points"} if on_click else {}
    with st.container(gap="xsmall"):
        _header(figure, key, note)
        st.plotly_chart(
            screen.draw(figure, on_click is not None), key=key, config=CHART, alt=alt, **select
        )
        if note:
            st.caption(links.plain(note))


def _header(figure: Figure, key: str, note: str) -> None:
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", gap="small"
    ):
        st.markdown(f"**{links.plain(figure.title)}**", width="content")
        # a fragment, so that opening it runs nothing else anew
        st.fragment(_export)(figure, key, note, links.settings(key, figure.title))


def _export(figure: Figure, key: str, note: str, settings: dict) -> None:
    popover = st.popover(
        "Export",
        icon=":material/download:",
        type="tertiary",
        key=f"{key}_export",
        on_change="rerun",
    )
    if not popover.open:
        return
    with popover:
        with st.container(horizontal=True):
            width = st.number_input("Width in mm", 20, 400, 170, 5, key=f"{key}_width", width=130)
            dpi = st.number_input("Dots an inch", 50, 600, 300, 50, key=f"{key}_dpi", width=130)

        st.caption(f"PNG: {int(width / 25.4 * dpi):,} pixels wide")

        def content(kind: str) -> bytes:
            from core.figures import paper  # matplotlib's printing half is only loaded to print

            if kind in DRAWINGS:
                return paper.render(figure, kind.lower(), width_mm=width, dpi=dpi)
            if kind == "JSON":
                return json.dumps(settings, indent=2, ensure_ascii=False).encode()
            return paper.table(figure) if kind == "CSV" else paper.archive(figure)

        for group, words in ((DRAWINGS, "Figure"), (DATA, "Numbers, and the settings as JSON")):
            st.caption(words)
            with st.container(horizontal=True, gap="small"):
                for kind, (mime, icon) in group.items():
                    st.download_button(
                        kind,
                        lambda kind=kind: content(kind),  # made when it is asked for
                        file_name=f"{_stem(figure, settings)}.{kind.lower()}",
                        mime=mime,
                        icon=icon,
                        key=f"{key}_{kind}",
                        on_click="ignore",
                    )
        if st.button(
            "Add to report",
            icon=":material/note_add:",
            key=f"{key}_add",
            width="stretch",
            help="Collects figures for one HTML file; it is under Figures in the sidebar.",
        ):
            report.add(figure, note, settings)


def _stem(figure: Figure, settings: dict) -> str:
    """What to call a file of a figure, so that those of several images do not bear one name."""
    words = re.findall(r"[a-z0-9]+", figure.title.lower())
    index = settings["choices"].get("index")
    return "-".join([*words[:10], *([] if index is None else [f"image-{index}"])]) or "figure"
