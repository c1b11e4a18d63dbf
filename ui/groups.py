"""Groups of images: those of a cell of the confusion matrix, and what groups have in common."""

import numpy as np
import streamlit as st

from core.figures import views
from ui import display, library, pictures
from ui.show import show_panels
from ui.sidebar import Selection

SHOWN = 60  # images of a cell at once
MEANS = (
    "A mean shows what is common, such as an object in the middle, and hides what single images "
    "do; a mean map that is nearly even does not say that every map is."
)


def show_cell(selection: Selection, positions: np.ndarray) -> None:
    """The images of one cell, by their positions (n,) in the set, and their means."""
    page = 1
    if len(positions) > SHOWN:
        page = pictures.choose_page("cell_page", -(-len(positions) // SHOWN))
    shown = positions[(page - 1) * SHOWN : page * SHOWN]
    title = f"Images {(page - 1) * SHOWN + 1} to {(page - 1) * SHOWN + len(shown)} of them"
    figure = views.gallery(
        title, selection.images.images, selection.verdicts, selection.run.classes, shown
    )
    pictures.show_gallery(figure, "confusion_images", shown)
    look = display.shown("gain", "colors")
    mean = library.mean(selection.run, selection.images, positions, look.gain)
    figure = views.mean_pictures(
        f"What these {len(positions):,} have in common", {"mean image": mean}, look.colors
    )
    show_panels(figure, "confusion_mean", width=128, group=3, note=MEANS)


def show_common(selection: Selection) -> None:
    """Mean pictures and maps of each class, or of what is right against what is wrong."""
    st.header("What groups have in common")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        kind = st.segmented_control(
            "Mean over",
            ["each class", "right against wrong"],
            default="each class",
            required=True,
            key="common",
            bind="query-params",
        )
        look = display.choose("gain", "colors")
    columns = selection.verdicts
    if kind == "each class":
        groups = {
            name: np.flatnonzero(columns.labels == i)
            for i, name in enumerate(selection.run.classes)
        }
    else:
        groups = {
            "right": np.flatnonzero(columns.correct),
            "wrong": np.flatnonzero(columns.known & ~columns.correct),
        }
    means = {
        name: library.mean(selection.run, selection.images, positions, look.gain)
        for name, positions in groups.items()
        if len(positions)
    }
    figure = views.mean_pictures(
        f"Means of {kind}: picture, attention (last layer, all heads), amplified",
        means,
        look.colors,
    )
    show_panels(
        figure,
        "confusion_common",
        width=104,
        group=3,
        note=MEANS,
    )
