"""The frame around every page: page config, navigation, sidebar, messages for errors.

Streamlit runs a file of `pages/` on its own when a fresh server's first visitor comes by a deep
link (and in AppTest). So the frame is a function that both the entry and each page can start: a
page file ends with `shell.page(render)`, which draws when the frame is up and else puts it up.
"""

from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path

import streamlit as st

from core.errors import VitascopeError
from ui import sidebar
from ui.sidebar import Selection

HERE = Path(__file__).parent
PAGES = HERE.parent / "pages"
# file name, icon, what its tooltip says; titles are the file names, capitalised
NAVIGATION = (
    ("overview", ":material/visibility:", "What this model looks at, in one picture a class."),
    ("browse", ":material/grid_view:", "All images with label and prediction; click one."),
    ("attention", ":material/center_focus_strong:", "One image: every layer, head and step."),
    ("confusion", ":material/grid_on:", "What is taken for what, and the images behind it."),
    ("training", ":material/show_chart:", "How the model became what it is, epoch by epoch."),
)
_TARGET = "target_page"
_selection: ContextVar[Selection | None] = ContextVar("selection", default=None)


def start() -> None:
    """Draw the frame, and in it the page that the URL names."""
    st.set_page_config("Vitascope", HERE / "icon.png", layout="wide")
    st.logo(HERE / "logo.svg", size="large", icon_image=HERE / "icon.png")
    chosen = st.navigation(
        [
            st.Page(
                PAGES / f"{name}.py",
                title=name.capitalize(),
                icon=icon,
                url_path=name,
                default=name == "overview",
                help=about,
            )
            for name, icon, about in NAVIGATION
        ]
    )
    if target := st.session_state.pop(_TARGET, None):
        name, parameters = target
        # never None: Streamlit refuses to clear the parameters that belong to widgets
        st.switch_page(path_of(name), query_params=parameters)
    if chosen.url_path != "training":
        st.session_state.pop("playing", None)
    try:
        up = _selection.set(sidebar.draw())
    except VitascopeError as error:
        st.error(str(error))
        return
    try:
        chosen.run()
    finally:
        _selection.reset(up)


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


def go_to(name: str, **parameters: str) -> None:
    """Open another page, with these in its URL beside what the sidebar keeps there.

    It is for callbacks: they run before the frame knows its pages, so the frame does it.
    """
    st.session_state[_TARGET] = name, parameters


def path_of(name: str) -> Path:
    """The file of a page, for `st.switch_page` and `st.page_link`."""
    return PAGES / f"{name}.py"
