"""The sidebar: which model, which images, which of them, in which order. Kept in the URL."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import streamlit as st

from core.checkpoint import Run
from core.data import ImageSet, download_cifar10, has_cifar10, source_name
from core.errors import DataError, VitascopeError
from core.selection import ORDERS, OUTCOMES, Verdicts, select
from ui import library
from ui.settings import settings

YOUR_PICTURES = "Your pictures"


@dataclass(frozen=True, eq=False)
class Selection:
    """What the sidebar says, and what follows from it.

    Attributes:
        run: the chosen model with all that its run folder holds.
        images: the chosen set.
        verdicts: what the model says of every image of the set.
        indices: (n,) positions in the set of the images that pass the filters, in order.
        open_at: the chosen set with pictures of another size, for another model.
    """

    run: Run
    images: ImageSet
    verdicts: Verdicts
    indices: np.ndarray
    open_at: Callable[[int], ImageSet]

    @cached_property
    def probabilities(self) -> np.ndarray:
        """(N, classes) float32"""
        return library.probabilities(self.run, self.images)

    @cached_property
    def cls_rows(self) -> np.ndarray:
        """(N, L, H, gh*gw) float16; the first time this takes a while, and says so."""
        return library.extraction(self.run, self.images).cls_rows

    @property
    def has_labels(self) -> bool:
        return bool(self.verdicts.known.any())


def draw() -> Selection:
    """Draw the sidebar; stops the page with one sentence where nothing can be shown."""
    with st.sidebar:
        run = _choose_run()
        images, open_at = _choose_images(run)
        offer_cifar10(key="sidebar_download")
        classes = _choose_classes(run)
        known = bool((images.labels_in(run.classes) >= 0).any())
        outcome = st.segmented_control(
            "Outcome",
            OUTCOMES,
            default="all",
            required=True,
            key="outcome",
            bind="query-params",
            disabled=not known,
            help="Correct: the most probable class is the label."
            if known
            else "These images have no labels, so nobody knows what is right.",
        )
        order = st.selectbox(
            "Order",
            ORDERS,
            key="order",
            bind="query-params",
            help="Most wrong: the prediction beats the true class by most. Attention entropy: the "
            "last layer looks most widely first.",
        )
        columns = library.verdicts_of(run, images, with_entropy=order == "attention entropy")
        indices = select(
            columns,
            classes=[run.classes.index(name) for name in classes],
            outcome=outcome if known else "all",
            order=order,
        )
        st.caption(f"**{len(indices):,}** of {len(images):,} images")
    return Selection(run, images, columns, indices, open_at)


def _choose_run() -> Run:
    for entry in library.runs():
        if entry.problem:
            st.warning(entry.problem, icon=":material/broken_image:")
    paths = library.runs_by_name()
    if not paths:
        st.error("There is no model here. Train one with `python -m core.train --help`.")
        st.stop()
    name = st.selectbox("Model", list(paths), key="model", bind="query-params")
    try:
        return library.open_run(paths[name], name)
    except VitascopeError as error:
        st.error(str(error))
        st.stop()


def _choose_images(run: Run) -> tuple[ImageSet, Callable[[int], ImageSet]]:
    """The chosen set at the size that the model takes, and what opens it at another."""
    found, problems = library.sources()
    for problem in problems:
        st.warning(problem, icon=":material/folder_off:")
    names = library.by_unique_name([(source_name(source), source) for source in found])
    uploads = st.session_state.get("uploads")
    options = [*names, YOUR_PICTURES] if uploads else list(names)
    name = st.selectbox("Images", options, key="images", bind="query-params")

    def open_at(size: int) -> ImageSet:
        if name == YOUR_PICTURES:
            return library.open_uploads(uploads, size)
        return library.open_images(source, size)

    source = names.get(name)
    try:
        images = open_at(run.model.config.image_size)
    except DataError as error:
        st.error(f"{error} The sample scenes are shown instead.")
        name, source = "Sample scenes", "samples"
        images = open_at(run.model.config.image_size)
    with st.popover("Your pictures", icon=":material/upload:", width="stretch"):
        st.file_uploader(
            "PNG, JPEG or WebP; the model sees the middle square. They stay on the machine that "
            "runs this dashboard.",
            type=["png", "jpg", "jpeg", "webp"],
            accept_multiple_files=True,
            key="uploads",
            on_change=_show_uploads,
        )
    if images.skipped:
        files = "1 file" if len(images.skipped) == 1 else f"{len(images.skipped)} files"
        with st.expander(f"{files} skipped", icon=":material/broken_image:"):
            st.caption("These could not be read as pictures:")
            st.code("\n".join(images.skipped[:50]), language=None)
    unknown = [name for name in images.classes if name not in run.classes]
    if unknown:
        st.caption(
            f":material/info: {run.name} does not know the class {', '.join(unknown)}; such images "
            "are shown without right or wrong."
        )
    return images, open_at


def _show_uploads() -> None:
    if st.session_state["uploads"]:
        st.session_state["images"] = YOUR_PICTURES
    elif st.session_state.get("images") == YOUR_PICTURES:
        del st.session_state["images"]


def _choose_classes(run: Run) -> list[str]:
    return st.multiselect(
        "Classes",
        list(run.classes),
        key="class",
        bind="query-params",
        placeholder="all classes",
    )


def offer_cifar10(key: str) -> None:
    """A button that gets CIFAR-10, for those who brought no images and have not got it yet."""
    if has_cifar10() or settings().data:
        return
    if st.button(
        "Get CIFAR-10 (170 MB)",
        icon=":material/download:",
        key=key,
        width="stretch",
        help="Downloads the original 60,000 images once, checks them, and keeps them for later.",
    ):
        bar = st.progress(0.0, "Connecting …")

        def progress(done, total):
            if total:
                bar.progress(done / total, f"{done / 1e6:.0f} of {total / 1e6:.0f} MB")

        try:
            download_cifar10(progress)
        except VitascopeError as error:
            bar.empty()
            st.error(str(error))
        else:
            library.sources.clear()
            st.rerun()
