"""Heads switched off: what becomes of one image's answer, and of a whole set's."""

import numpy as np
import streamlit as st

from core.checkpoint import Run
from core.evaluate import confusion_matrix, predict
from core.figures import heads as figures
from core.figures import views
from core.figures.figure import Panel, Panels
from core.knockout import accuracy_change, keep_all_but, one_off, predict_without_each
from core.model import ViTConfig
from ui import jobs, one_image, some_images, words
from ui.show import show_bars, show_chart, show_panels, side_by_side
from ui.sidebar import Selection

SOME = 1000  # images that tell heads apart in a minute or a few


def names(config: ViTConfig) -> dict[str, tuple[int, int | None]]:
    """What can be switched off, by name: layer and head, counted from 0; None is all heads."""
    found = {f"layer {layer + 1}": (layer, None) for layer in range(config.layers)}
    for layer, head in np.ndindex(config.layers, config.heads):
        found[f"L{layer + 1} H{head + 1}"] = layer, head
    return found


def show(selection: Selection) -> None:
    st.header("Switch heads off")
    config = selection.run.model.config
    offered = names(config)
    if "off" in st.session_state:  # another model may have fewer
        st.session_state["off"] = [name for name in st.session_state["off"] if name in offered]
    off = st.multiselect(
        "Switched off",
        list(offered),
        key="off",
        bind="query-params",
        placeholder="layers and heads: type L3, or click a cell below",
    )
    chosen = [offered[name] for name in off]
    keep = keep_all_but(
        config,
        [layer for layer, head in chosen if head is None],
        [(layer, head) for layer, head in chosen if head is not None],
    )
    _show_image(selection, keep, off)
    if not selection.has_labels:
        st.caption(
            "These images have no labels, so nobody knows what the heads are worth for them."
        )
        return
    if off:
        _show_set(selection, keep, off)
    _show_importance(selection)


def _show_image(selection: Selection, keep, off: list[str]) -> None:
    """One image's answer with all heads and without some."""
    run, classes = selection.run, selection.run.classes
    picture, before, after = st.columns([1, 2, 2], gap="large")
    with picture:
        index = one_image.number(selection)
        image = selection.images.images[index]
        label = int(selection.verdicts.labels[index])
        note = views.verdict_note(selection.verdicts, index, classes)
        panel = Panel("image", "", image, note=note, alt=f"#{index}")
        panel = Panels(f"Image {index}", [panel], 1, size=image.shape[:2])
        show_panels(panel, "heads_image", width=150)
    chances = np.asarray(selection.probabilities[index])
    with before:
        title = "With all heads"
        show_bars(views.probabilities(chances, classes, label, title), "heads_before")
    with after:
        without = predict(run.model, selection.images.images[index : index + 1], keep=keep)[0]
        title = "Without " + (", ".join(off) if off else "any: choose some above")
        show_bars(views.probabilities(without, classes, label, title), "heads_after")
    st.caption(words.KNOCKOUT)


def _show_set(selection: Selection, keep, off: list[str]) -> None:
    """What the choice costs over the whole set."""
    run, images, known = selection.run, selection.images, selection.verdicts.known
    found = jobs.result(
        "The predictions",
        (run.fingerprint, images.fingerprint, tuple(sorted(off))),
        lambda progress: {
            "predicted": predict_without_each(
                run.model, images.images, keep[None], progress=progress
            )
        },
        label=f"Measure it on all {len(images):,} images",
        total=len(images),
    )
    if found is None:
        return
    labels, before = selection.verdicts.labels[known], selection.verdicts.predicted[known]
    after = found["predicted"][0][known]
    change, half = accuracy_change(labels, before, after)
    left, right = side_by_side()
    with left, st.container(horizontal=True):
        st.metric("Accuracy with all heads", f"{(before == labels).mean():.1%}")
        st.metric(
            "Without them",
            f"{(after == labels).mean():.1%}",
            f"{100 * change:+.1f} ± {100 * half:.1f} points",
            help="± is 1.96 standard errors of the differences image by image.",
        )
        st.metric("Other answers", f"{(before != after).mean():.1%}", help="of the images")
    with right:
        matrices = (
            confusion_matrix(labels, predicted, len(run.classes)) for predicted in (before, after)
        )
        figure = figures.confusion_change(*matrices, run.classes)
        show_chart(
            figure,
            "heads_confusion",
            alt=f"{figure.title}: {len(labels):,} images",
            note="Red: more images than with all heads; blue: fewer.",
        )


def _show_importance(selection: Selection) -> None:
    """Every head off alone, and every layer: a table to click."""
    run, config = selection.run, selection.run.model.config
    st.subheader("Each head alone")
    sample = some_images.choose(selection.images, "importance", (SOME,))
    found = jobs.result(
        "The table",
        (run.fingerprint, sample.fingerprint, "each head"),
        lambda progress: _without_each(run, sample, progress),
        label=f"Switch off each of {config.layers * config.heads} heads in turn",
        total=len(sample),
    )
    if found is None:
        return
    labels = sample.labels_in(run.classes)
    known = labels >= 0
    before, after = found["before"][known], found["after"][:, known]
    change, half = accuracy_change(labels[known], before, after)
    figure = figures.importance(change, config.heads)
    worst = int(change[: config.layers * config.heads].argmin())
    layer, head = divmod(worst, config.heads)

    def toggle(cell: tuple[int, int]) -> None:
        row, column = (int(place) for place in cell)
        name = f"L{row + 1} H{column + 1}" if column < config.heads else f"layer {row + 1}"
        off = st.session_state.get("off", [])
        kept = [one for one in off if one != name]
        st.session_state["off"] = kept if name in off else [*off, name]

    show_chart(
        figure,
        "heads_importance",
        alt=f"Change of accuracy without each head: most for layer {layer + 1}, head {head + 1}",
        on_click=toggle,
        note=f"On {known.sum():,} images a change is sure to about ± {100 * half.max():.1f} "
        "points (95 %): smaller ones may be chance. Heads that stand in for each other each look "
        "worthless here. Blue: worse without it; red: better. Click a cell to switch it off above, "
        "or on again.",
    )


def _without_each(run: Run, sample, progress) -> dict[str, np.ndarray]:
    """Predictions with all heads (n,), and without each head and layer (L*H + L, n)."""
    keeps = one_off(run.model.config)
    before = predict(run.model, sample.images).argmax(axis=1)
    after = predict_without_each(run.model, sample.images, keeps, progress=progress)
    return {"before": before, "after": after}
