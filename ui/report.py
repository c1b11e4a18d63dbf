"""Figures that a visitor collects for one HTML report; and the way back from their settings."""

import streamlit as st

from core.errors import InputError
from core.figures.figure import Figure
from ui import links
from ui.sidebar import Selection


def add(figure: Figure, note: str, settings: dict) -> None:
    """Collect a figure; it is kept for as long as the browser's visit lasts."""
    if any(other == settings for _, _, other in _entries()):
        st.toast(f"“{links.plain(figure.title)}” is in the report already.")
        return
    _entries().append((figure, note, settings))
    st.toast(f"“{links.plain(figure.title)}” is in the report.", icon=":material/note_add:")


def _entries() -> list[tuple[Figure, str, dict]]:
    return st.session_state.setdefault("report", [])


def show(selection: Selection) -> None:
    """A button to the collected figures, where settings of a figure can be opened, too."""
    if st.button("Figures", icon=":material/description:"):
        _show_figures(selection)


@st.dialog("Figures")
def _show_figures(selection: Selection) -> None:
    st.markdown("**Report**")
    if _entries():
        _show_entries()
    else:
        st.caption("Export → *Add to report* at a figure collects it here, for one HTML file.")
    st.markdown("**Open a figure's settings**")
    uploaded = st.file_uploader(
        "The JSON that was exported with a figure; it opens the page as it was, in a new tab.",
        type="json",
        key="settings",
    )
    if uploaded:
        _open(uploaded.getvalue(), selection)


def _show_entries() -> None:
    entries = _entries()

    def remove(entry: tuple) -> None:
        entries[:] = [other for other in entries if other is not entry]

    for i, entry in enumerate(entries):
        with st.container(
            horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
        ):
            st.markdown(f"{i + 1}. {links.plain(entry[0].title)}", width="content")
            st.button(
                "Remove",
                icon=":material/close:",
                key=f"remove_{i}",
                type="tertiary",
                on_click=remove,
                args=(entry,),
            )
    title = st.text_input("Title", "What the model looks at", key="report_title")
    st.download_button(
        "Download the report",
        lambda: _written(title, entries),
        file_name="vitascope-report.html",
        mime="text/html",
        icon=":material/download:",
        type="primary",
        width="stretch",
        on_click="ignore",
    )


def _written(title: str, entries: list[tuple[Figure, str, dict]]) -> bytes:
    from core.figures import report  # matplotlib's printing half is only loaded to print

    return report.render(
        title,
        [
            report.Entry(figure, f"{note}\n{_source(settings)}".strip(), settings)
            for figure, note, settings in entries
        ],
    )


def _source(settings: dict) -> str:
    """Of which model, images and image a figure is."""
    index = settings["choices"].get("index")
    image = "" if index is None else f", image {index}"
    return f"{settings['model']['name']} on {settings['images']['name']}{image}."


def _open(content: bytes, selection: Selection) -> None:
    try:
        found = links.parse_settings(content)
    except InputError as error:
        st.error(str(error))
        return
    for what in links.strangers(found, selection):
        st.caption(f":material/info: The {what} of that name is not the one that made the figure.")
    # in a new tab, so that nothing that is being looked at is lost
    st.link_button("Open", links.address(found), icon=":material/open_in_new:", width="stretch")
