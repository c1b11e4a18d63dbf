"""The dashboard's pages, and the ways from one to another."""

from pathlib import Path

import streamlit as st

PAGES = Path(__file__).parent.parent / "pages"
# file name, icon, what its tooltip says; titles are the file names, capitalised
NAVIGATION = (
    ("overview", ":material/visibility:", "What this model looks at, in one picture a class."),
    ("browse", ":material/grid_view:", "All images with label and prediction; click one."),
    ("attention", ":material/center_focus_strong:", "One image: every layer, head and step."),
    ("compare", ":material/compare:", "Images, models, layers, heads or epochs side by side."),
    ("confusion", ":material/grid_on:", "What is taken for what, and the images behind it."),
    ("heads", ":material/hub:", "What each head does, and what it is worth."),
    ("trust", ":material/fact_check:", "Which map says what the model depends on, measured."),
    ("training", ":material/show_chart:", "How the model became what it is, epoch by epoch."),
)

WITH_INDEX = ("attention", "compare", "heads")  # have a widget for an image's number


def path_of(name: str) -> Path:
    """The file of a page, for `st.switch_page` and `st.page_link`."""
    return PAGES / f"{name}.py"


def go_to(name: str, **parameters: str) -> None:
    """Open another page, with these in its URL beside what the sidebar keeps there.

    It is for callbacks: they run before the frame knows its pages, so the frame does it.
    """
    st.session_state["target_page"] = name, parameters
    st.rerun()  # the frame, too, where the callback is of a fragment


def follow() -> None:
    """Open the page that `go_to` named, if it did."""
    if target := st.session_state.pop("target_page", None):
        name, parameters = target
        # never None: Streamlit refuses to clear the parameters that belong to widgets
        st.switch_page(path_of(name), query_params=parameters)


def open_image(index: int, **choices) -> None:
    """Show an image on the Attention page, which then offers the way back.

    Args:
        choices: of that page's widgets, by their keys.
    """
    here = st.session_state["here"]["page"]
    if here != "attention":
        st.session_state["came_from"] = here
    st.session_state.update(index=int(index), **choices)
    # Streamlit refuses to set the parameters that belong to widgets of the page that is left
    parameters = {} if here in WITH_INDEX else {"index": str(index)}
    go_to("attention", **parameters)


def way_back() -> None:
    """A link to the page from where an image was opened; it is as it was left.

    Whoever went elsewhere meanwhile is not offered it any more.
    """
    if name := st.session_state.get("came_from"):
        icon = ":material/arrow_back:"
        st.page_link(path_of(name), label=f"Back to {name.capitalize()}", icon=icon)
