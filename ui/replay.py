"""What the fixed images of a run's replay looked like to it after an epoch, beside other runs."""

from dataclasses import dataclass

import numpy as np
import streamlit as st

from core.checkpoint import Run
from core.data import ImageSet
from core.figures import views
from core.replay import kept_frame
from ui import library, links
from ui.show import show_bars, show_panels
from ui.sidebar import Selection


@dataclass(frozen=True, eq=False)
class _Seen:
    """The fixed images of one source, to one run after an epoch.

    Attributes:
        source: "samples" or "test".
        pictures: (n, H, W, 3) uint8.
        labels: (n,) in the run's classes, -1 where unknown.
    """

    run: Run
    epoch: int
    source: str
    pictures: np.ndarray
    labels: np.ndarray

    @property
    def names(self) -> list[str]:
        return picture_names(self.source, len(self.pictures))


def picture_names(source: str, count: int) -> list[str]:
    """What the fixed images of a source are called."""
    kind = {"samples": "scene", "test": "test image"}[source]
    return [f"{kind} {i + 1}" for i in range(count)]


def show(selection: Selection, runs: list[Run], epoch: int) -> None:
    """The fixed images as each run saw them at an epoch, as far as their pixels are here."""
    seen = _seen(selection, runs, epoch)
    if not seen:
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        method = st.segmented_control(
            "Map",
            ["attention", "rollout"],
            default="attention",
            required=True,
            key="replay",
            bind="query-params",
            help="Attention: the last layer, mean of its heads. Rollout: all layers multiplied.",
        )
        names = list(dict.fromkeys(name for one in seen for name in one.names))
        links.fit_options("picture", names, names[0])
        name = st.selectbox(
            "Probabilities of", names, key="picture", bind="query-params", width=260
        )
    if len(runs) > 1:
        st.caption("All runs at the same epoch; one that ended before at its last.")
    _show_maps(seen, method)
    _show_probabilities([one for one in seen if name in one.names], name)
    if all(one.source == "samples" for one in seen):
        name = runs[0].test_set.get("name", "the test set")
        st.caption(f"The other fixed images are of {name}; they show when it is chosen as Images.")


def _seen(selection: Selection, runs: list[Run], epoch: int) -> list[_Seen]:
    seen = []
    for source in ("samples", "test"):
        for run in runs:
            frame = kept_frame(run.replay, epoch)
            images = fixed_images(selection, run, source)
            if frame and images:
                index = run.replay["index"][run.replay["source"] == source]
                labels = images.labels_in(run.classes)[index]
                seen.append(_Seen(run, frame, source, images.images[index], labels))
    return seen


def fixed_images(selection: Selection, run: Run, source: str) -> ImageSet | None:
    """The set that a run's fixed images of a source belong to, if its pixels are here."""
    if source == "samples":
        return library.open_images("samples", run.model.config.image_size)
    return selection.images if library.is_test_set(run, selection.images) else None


def _show_maps(seen: list[_Seen], method: str) -> None:
    for one in seen:
        figure = views.replay_maps(one.run, one.epoch, one.source, one.pictures, one.labels, method)
        show_panels(figure, f"training_replay_{one.source}_{one.run.name}", width=72, group=2)


def _show_probabilities(seen: list[_Seen], name: str) -> None:
    st.markdown(f"**Probability of each class: {name}** (✓ the label)")
    grid = st.grid(3 if len(seen) == 3 else 2, min_column_width=260, gap="medium")
    for n, one in enumerate(seen):
        place = one.names.index(name)
        with grid.cell():
            figure = views.replay_probabilities(
                one.run, one.epoch, one.source, place, int(one.labels[place])
            )
            show_bars(figure, f"training_probabilities_{n}")
