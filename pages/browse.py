"""Browse: the images that pass the filters, as a grid; a click opens one."""

import streamlit as st

from core.figures import views
from ui import bundle, display, navigation, pictures, shell
from ui.sidebar import Selection

PAGE_SIZES = (100, 150, 200)


def render(selection: Selection) -> None:
    st.title("Browse")
    st.markdown(
        "Every image with its label and, after the arrow, what the model says and how sure it is. "
        "*Click one to see where the model looks.*"
    )
    if not pictures.some_left(selection):
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _go_to_index(selection)
        size = st.segmented_control(
            "Images a page", PAGE_SIZES, default=100, required=True, key="size", bind="query-params"
        )
        amplified = st.toggle(
            "Show attention",
            key="amplified",
            bind="query-params",
            help="Brightens each picture where the last layer looks (mean of its heads).",
        )
        page = pictures.choose_page("page", -(-len(selection.indices) // size))
        look = display.choose("gain", "resize", "colors")
        bundle.offer(selection, look)
    shown = selection.indices[(page - 1) * size : page * size]
    figure = views.gallery(
        f"Images {(page - 1) * size + 1:,} to {(page - 1) * size + len(shown):,} of "
        f"{len(selection.indices):,} ({selection.images.name})",
        selection.images.images,
        selection.verdicts,
        selection.run.classes,
        shown,
        pictures.last_layer_maps(selection, shown) if amplified else None,
        look.gain,
        look.resize,
    )
    pictures.show_gallery(figure, "browse_grid", shown)


def _go_to_index(selection: Selection) -> None:
    def go():
        if st.session_state["browse_index"] is not None:
            navigation.open_image(st.session_state["browse_index"])

    st.number_input(
        "Open image number",
        min_value=0,
        max_value=len(selection.images) - 1,
        value=None,
        step=1,
        key="browse_index",
        placeholder=f"0 … {len(selection.images) - 1}",
        on_change=go,
        width=170,
    )


shell.page(render)
