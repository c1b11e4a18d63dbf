"""What pages do with the chosen images: pick some, page through them, read their maps."""

import numpy as np
import streamlit as st

from core.figures.figure import Panels
from ui import library, links, navigation
from ui.show import show_panels
from ui.sidebar import Selection


def some_left(selection: Selection) -> bool:
    """Whether any image passes the filters; says so if none does."""
    if len(selection.indices):
        return True
    st.info(
        "No image passes these filters. Choose another class or outcome in the sidebar.",
        icon=":material/filter_alt_off:",
    )
    return False


def choose_page(key: str, pages: int) -> int:
    """A page's number, from 1, kept in range when a filter leaves fewer pages."""
    links.fit(key, 1, pages)
    return st.number_input(
        f"Page, of {pages}",
        min_value=1,
        max_value=pages,
        step=1,
        key=key,
        bind="query-params",
        width=130,
    )


def show_gallery(figure: Panels, key: str, indices: np.ndarray) -> None:
    """A `core.figures.views.gallery` of images, by their positions (n,), that a click opens."""
    show_panels(
        figure,
        key,
        width=96,
        on_click=lambda panel: navigation.open_image(indices[panel]),
        keep_place=True,
    )


def one_a_class(selection: Selection) -> np.ndarray:
    """(n,) the first chosen image of each class, in the classes' order."""
    columns = selection.verdicts
    of = np.where(columns.known, columns.labels, columns.predicted)[selection.indices]
    _, first = np.unique(of, return_index=True)
    return selection.indices[first]


def last_layer_maps(selection: Selection, indices: np.ndarray) -> np.ndarray:
    """(n, gh, gw) CLS maps of the last layer, mean of its heads."""
    maps = library.cls_maps(selection.run, selection.images, tuple(indices.tolist()))
    return maps[:, -1].mean(axis=1, dtype=np.float32)
