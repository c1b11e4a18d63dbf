"""The one image that a page is about: its verdict as title, the way to the next, its number."""

import numpy as np
import streamlit as st

from core.figures import views
from ui import links
from ui.show import side_by_side
from ui.sidebar import Selection


def choose(selection: Selection) -> int:
    """Position in the set of the image that was clicked, linked to, stepped to, or numbered."""
    title, steps = side_by_side()
    with steps.container(
        horizontal=True, horizontal_alignment="right", vertical_alignment="bottom"
    ):
        walk = st.container(horizontal=True, vertical_alignment="center", width="content")
        st.session_state["index"] = _wanted_index(selection)
        index = st.number_input(
            "Image number",
            min_value=0,
            max_value=len(selection.images) - 1,
            value=None,  # so that the address always says it: which is the first may change
            step=1,
            key="index",
            bind="query-params",
            width=150,
        )
    columns = selection.verdicts
    outcome = {True: " :green[✓]", False: " :red[✗]", None: ""}[views.is_right(columns, index)]
    said = links.plain(views.verdict_note(columns, index, selection.run.classes))
    title.title(f"#{index}  {said}{outcome}")
    position = np.flatnonzero(selection.indices == index)
    at = int(position[0]) if len(position) else None
    with walk:
        _step_button(selection, "Previous", ":material/chevron_left:", -1 if at is None else at - 1)
        if at is not None:
            st.markdown(f"{at + 1:,} of {len(selection.indices):,}", width="content")
        _step_button(selection, "Next", ":material/chevron_right:", 0 if at is None else at + 1)
    if at is None and len(selection.indices):
        st.caption(
            "This image does not pass the sidebar's filters; Next goes to the first that does."
        )
    return index


def number(selection: Selection, key: str = "index", place: int = 0) -> int:
    """An image's number, chosen on its own; at first the `place`-th of those that pass."""
    last, chosen = len(selection.images) - 1, selection.indices
    begin = int(chosen[place % len(chosen)]) if len(chosen) else min(place, last)
    links.fit(key, 0, last)
    if st.session_state.get(key) is None:
        asked = links.asked_number(key)
        st.session_state[key] = begin if asked is None or asked > last else asked
    return st.number_input(
        "Image number", 0, last, None, 1, key=key, bind="query-params", width=150
    )


def _wanted_index(selection: Selection) -> int:
    """The image that was clicked or linked to, else the first of the chosen ones."""
    count = len(selection.images)
    first = int(selection.indices[0]) if len(selection.indices) else 0
    wanted = st.session_state.get("index", links.asked_number("index"))
    if wanted is not None and 0 <= wanted < count:  # another set may have fewer
        return wanted
    if "index" not in st.session_state and (linked := st.query_params.get("index")) is not None:
        st.warning(
            f"There is no image {links.quoted(linked)}: {links.plain(selection.images.name)} has "
            f"0 to {count - 1}.",
            icon=":material/link_off:",
        )
    return first


def _step_button(selection: Selection, label: str, icon: str, to: int) -> None:
    def step():
        st.session_state["index"] = int(selection.indices[to])

    there = 0 <= to < len(selection.indices)
    st.button(label, icon=icon, on_click=step, disabled=not there)
