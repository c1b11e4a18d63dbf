"""What the fixed images of a run's replay looked like to it after an epoch, beside other runs."""

import streamlit as st

from core.checkpoint import Run
from core.data import ImageSet
from core.figures import views
from ui import library
from ui.show import show_chart, show_panels
from ui.sidebar import Selection


def show(selection: Selection, runs: list[Run], epoch: int) -> None:
    """The fixed images as each run saw them at an epoch, as far as their pixels are here."""
    replays = [(run, seen) for run in runs if (seen := views.replayed_epoch(run, epoch))]
    if not replays:
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        method = st.segmented_control(
            "Map",
            ["attention", "rollout"],
            default="attention",
            required=True,
            key="replay",
            help="Attention: the last layer, mean of its heads. Rollout: all layers multiplied.",
        )
        pictures = st.container(width=260)
    if len(runs) > 1:
        st.caption("All runs at the same epoch; one that ended before at its last.")
    shown = {}  # the fixed images that can be chosen, with the runs that saw them
    for source in ("samples", "test"):
        for n, (run, seen) in enumerate(replays):
            images = _fixed_images(selection, run, source)
            if images is None:
                continue
            index = run.replay["index"][run.replay["source"] == source]
            labels = images.labels_in(run.classes)[index]
            figure = views.replay_maps(run, seen, source, images.images[index], labels, method)
            key = f"training_replay_{source}" + (f"_{n}" if n else "")
            show_panels(figure, key, width=72, group=2)
            for i, label in enumerate(labels.tolist()):
                name = f"{'scene' if source == 'samples' else 'test image'} {i + 1}"
                shown.setdefault(name, []).append((run, seen, source, i, label))
    name = pictures.selectbox("Probabilities of", list(shown), key="picture")
    st.markdown(f"**Probability of each class: {name}** (✓ the label)")
    columns = 3 if len(shown[name]) == 3 else 2
    grid = st.grid(columns, min_column_width=260, gap="medium")
    for n, seen_by in enumerate(shown[name]):
        with grid.cell():
            figure = views.replay_probabilities(*seen_by)
            show_chart(figure, f"training_probabilities_{n}", alt=f"{name}: {figure.title}")
    if not any(one[2] == "test" for seen_by in shown.values() for one in seen_by):
        name = runs[0].test_set.get("name", "the test set")
        st.caption(f"The other fixed images are of {name}; they show when it is chosen as Images.")


def _fixed_images(selection: Selection, run: Run, source: str) -> ImageSet | None:
    if source == "samples":
        return library.open_images("samples", run.model.config.image_size)
    return selection.images if library.is_test_set(run, selection.images) else None
