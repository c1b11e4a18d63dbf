"""The frame around every page: page config, navigation, sidebar, messages for errors.

Streamlit runs a file of `pages/` on its own when a fresh server's first visitor comes by a deep
link (and in AppTest). So the frame is a function that both the entry and each page can start: a
page file ends with `shell.page(render)`, which draws when the frame is up and else puts it up.
"""

import gc
from collections.abc import Callable
from contextvars import ContextVar
from functools import cache
from pathlib import Path

import streamlit as st

from core.errors import VitascopeError
from ui import links, navigation, report, sidebar
from ui.sidebar import Selection

HERE = Path(__file__).parent
_selection: ContextVar[Selection | None] = ContextVar("selection", default=None)


def start() -> None:
    """Draw the frame, and in it the page that the URL names."""
    st.set_page_config("Vitascope", HERE / "icon.png", layout="wide")
    st.logo(HERE / "logo.svg", size="large", icon_image=HERE / "icon.png")
    chosen = st.navigation(
        [
            st.Page(
                navigation.path_of(name),
                title=name.capitalize(),
                icon=icon,
                url_path=name,
                default=name == "overview",
                help=about,
            )
            for name, icon, about in navigation.NAVIGATION
        ]
    )
    navigation.follow()
    name = chosen.url_path or "overview"  # the default page's path is empty
    links.arrive()
    if name != "training":
        st.session_state.pop("playing", None)
    try:
        selection = sidebar.draw()
    except VitascopeError as error:
        st.error(str(error))
        return
    links.enter(name, selection)
    notes = st.container()
    up = _selection.set(selection)
    try:
        chosen.run()
    finally:
        _selection.reset(up)
    with notes:
        links.note_refused()
    with st.sidebar.container(horizontal=True, vertical_alignment="center", gap="small"):
        links.copy_button()
        report.show(selection)
    _settle()


@cache
def _settle() -> None:
    """Once a page is drawn: take what is loaded for good out of the garbage collector's sight.

    Streamlit has it look through everything after every run, which with torch, plotly and pandas
    takes a quarter of a second.
    """
    gc.collect()
    gc.freeze()


def page(render: Callable[[Selection], None]) -> None:
    """Draw a page inside the frame, putting the frame up first if need be."""
    selection = _selection.get()
    if selection is None:
        start()
        return
    try:
        render(selection)
    except VitascopeError as error:
        st.error(str(error))
