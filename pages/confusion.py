"""Confusion: what is taken for what, how often, and the images behind every cell."""

import numpy as np
import streamlit as st

from core import evaluate
from core.data import source_name
from core.figures import views
from ui import groups, library, links, shell, sidebar
from ui.show import show_chart, side_by_side
from ui.sidebar import Selection

CELL = {"label": "Images of", "taken_for": "taken for"}


def render(selection: Selection) -> None:
    st.title("What is taken for what?")
    st.markdown(
        "Rows are what a picture shows, columns what the model says; off the diagonal are its "
        "mistakes. *Click a cell to see the images behind it.* (All images count here, also those "
        "that the sidebar filters out.)"
    )
    results = _choose_results(selection)
    if results is None:
        st.info("These images have no labels, and the model brings no test results.")
        return
    labels, probabilities, have_pixels = results
    if not have_pixels:
        name = selection.run.test_set.get("name", "its test set")
        st.markdown(
            f":material/info: This is how **{links.plain(selection.run.name)}** did on "
            f"**{links.plain(name)}**; the images chosen in the sidebar are not those."
        )
    classes, predicted = selection.run.classes, probabilities.argmax(axis=1)
    matrix = evaluate.confusion_matrix(labels, predicted, len(classes))
    # a fragment, so that a click on a cell does not draw anew what is the same for all cells
    st.fragment(_show_matrix)(selection, labels, predicted, matrix, have_pixels)
    _show_measures(classes, matrix, labels, probabilities)
    if have_pixels:
        groups.show_common(selection)


def _show_matrix(
    selection: Selection,
    labels: np.ndarray,
    predicted: np.ndarray,
    matrix: np.ndarray,
    have_pixels: bool,
) -> None:
    """The matrix, and the images of the cell that is chosen."""
    classes = selection.run.classes
    left, right = side_by_side()
    with left:
        shares = (
            st.segmented_control(
                "Show",
                ["counts", "row shares"],
                default="counts",
                required=True,
                key="cells",
                bind="query-params",
            )
            == "row shares"
        )
        share = matrix.trace() / len(labels)
        figure = views.confusion(matrix, classes, shares)
        alt = f"Confusion matrix of {len(labels):,} images, {share:.1%} on the diagonal"
        show_chart(
            figure,
            "confusion_matrix",
            alt=alt,
            on_click=lambda cell: _choose_cell(cell, classes),
            note="Off the diagonal are mistakes; that two classes are confused does not say why.",
        )
    with right:
        with st.container(horizontal=True):
            st.metric("Accuracy", f"{share:.2%}", help=f"of {len(labels):,} images")
            st.metric("Mistakes", f"{(labels != predicted).sum():,}")
        st.markdown("**The commonest mistakes**")
        _show_table(evaluate.top_confusions(matrix, classes), "share")
    _show_cell(selection, labels, predicted, have_pixels)


def _show_measures(
    classes: tuple[str, ...], matrix: np.ndarray, labels: np.ndarray, probabilities: np.ndarray
) -> None:
    """Precision, recall and F1 of every class, and calibration."""
    left, right = side_by_side()
    with left:
        st.markdown("**Class by class**")
        _show_table(evaluate.per_class(matrix, classes), "precision", "recall", "f1")
        st.caption(
            "Precision: of the images called so, how many are. Recall: of the images that are so, "
            "how many are called so. F1: their harmonic mean."
        )
    with right:
        figure = views.reliability(*evaluate.calibration(labels, probabilities))
        show_chart(
            figure,
            "confusion_calibration",
            alt=figure.title,
            note="Below the dashed line the model is surer than it is right.",
        )


def _choose_results(selection: Selection) -> tuple[np.ndarray, np.ndarray, bool] | None:
    """Labels (n,), probabilities (n, classes), and whether the sidebar's images are theirs.

    These are the sidebar's images where the model knows their labels, or the run's own test set,
    whose results come with it even where its images are not here.
    """
    run, columns = selection.run, selection.verdicts
    tested = evaluate.test_results(run)
    of_sidebar = f"{selection.images.name} ({columns.known.sum():,})"
    options = [of_sidebar] if selection.has_labels else []
    if tested is not None and not library.is_test_set(run, selection.images):
        options.append(f"{run.test_set.get('name', 'Its test set')} ({len(tested[0]):,})")
    if not options:
        return None
    choice = options[0]
    if len(options) > 1:
        choice = st.segmented_control(
            "Results on",
            options,
            default=choice,
            required=True,
            key="results",
            bind="query-params",
        )
    if choice == of_sidebar:
        # unknown labels would be a row of their own
        labels = columns.labels[columns.known]
        return labels, np.asarray(selection.probabilities)[columns.known], True
    return *tested, False


def _choose_cell(cell: tuple[int, int], classes: tuple[str, ...]) -> None:
    for key, position in zip(CELL, cell):
        st.session_state[key] = classes[int(position)]


def _show_cell(selection, labels, predicted, have_pixels: bool) -> None:
    classes = selection.run.classes
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = []
        for key, words in CELL.items():
            links.fit_options(key, classes, None)
            chosen.append(
                st.selectbox(
                    words,
                    classes,
                    index=None,
                    key=key,
                    bind="query-params",
                    placeholder="any cell above, or a class",
                    width=240,
                )
            )
    if None in chosen:
        return
    label, prediction = map(classes.index, chosen)
    found = np.flatnonzero((labels == label) & (predicted == prediction))
    names = f"{classes[label]} → {classes[prediction]}"
    st.header(f"{links.plain(names)}: {len(found):,} images")
    if not len(found):
        st.caption("No image was ever taken so.")
        return
    if not have_pixels:
        name = selection.run.test_set.get("name", "its test set")
        st.info(
            f"These results came with the model. To see the pictures, choose {name} as Images; "
            "where it is not listed, start the dashboard with `-- --data PATH`.",
            icon=":material/hide_image:",
        )
        if name == source_name("cifar10:test"):
            sidebar.offer_cifar10("confusion_download")
        return
    groups.show_cell(selection, np.flatnonzero(selection.verdicts.known)[found])


def _show_table(table, *shares: str) -> None:
    """A table whose columns of shares are drawn as bars with percentages."""
    bars = {
        name: st.column_config.ProgressColumn(
            name, format="percent", min_value=0, max_value=1, width="small"
        )
        for name in shares
    }
    st.dataframe(table, hide_index=True, column_config=bars)


shell.page(render)
