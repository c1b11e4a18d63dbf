"""A figure on a page: its title, the figure, and a way to take it home."""

from collections.abc import Callable

import streamlit as st

from core.figures import screen
from core.figures.figure import Figure, Panels
from ui import panels

FORMATS = {
    "PNG": ("png", "image/png", ":material/image:"),
    "SVG": ("svg", "image/svg+xml", ":material/shapes:"),
    "PDF": ("pdf", "application/pdf", ":material/picture_as_pdf:"),
    "CSV": ("csv", "text/csv", ":material/table:"),
    "NPZ": ("npz", "application/octet-stream", ":material/database:"),
}


def side_by_side(width: int = 440):
    """Two places of equal width, one below the other where a place would be narrower than that.

    `st.columns` goes by the window alone, and forgets that the sidebar takes a part of it.
    """
    grid = st.grid(2, min_column_width=width, gap="large")
    return grid.cell(), grid.cell()


def show_panels(
    figure: Panels,
    key: str,
    *,
    width: int,
    **options,
) -> None:
    """Pictures and maps with their title and export; arguments as in `ui.panels.draw`."""
    with st.container(gap="xsmall"):
        _header(figure, key)
        panels.draw(figure, key=key, width=width, **options)


def show_chart(
    figure: Figure, key: str, *, alt: str, on_click: Callable[[tuple], None] | None = None
) -> None:
    """A chart with its title and export.

    Args:
        alt: one sentence that says what the chart shows, for those who cannot see it.
        on_click: called with the `customdata` of a clicked point before the page runs again.
    """

    def clicked():
        points = st.session_state[key]["selection"]["points"]
        if points:
            on_click(tuple(points[0]["customdata"]))

    select = {"on_select": clicked, "selection_mode": "points"} if on_click else {}
    with st.container(gap="xsmall"):
        _header(figure, key)
        chart = screen.draw(figure)
        st.plotly_chart(chart, key=key, config={"displayModeBar": False}, alt=alt, **select)


def _header(figure: Figure, key: str) -> None:
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", gap="small"
    ):
        st.markdown(f"**{figure.title}**", width="content")
        with st.popover("Export", icon=":material/download:", type="tertiary"):
            for label, (suffix, mime, icon) in FORMATS.items():
                st.download_button(
                    label,
                    lambda suffix=suffix: _file(figure, suffix),  # made when it is asked for
                    file_name=f"{key}.{suffix}",
                    mime=mime,
                    icon=icon,
                    key=f"{key}_{suffix}",
                    on_click="ignore",
                    width="stretch",
                )


def _file(figure: Figure, suffix: str) -> bytes:
    from core.figures import paper  # matplotlib's printing half is only loaded to print

    if suffix == "csv":
        return paper.table(figure)
    if suffix == "npz":
        return paper.archive(figure)
    return paper.render(figure, suffix)
