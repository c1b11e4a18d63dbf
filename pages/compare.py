"""Compare: two to four maps side by side, and where they differ."""

from itertools import combinations

import numpy as np
import streamlit as st

from core.compare import cosine_similarity, moved_share
from core.figures import evidence, views
from core.figures.views import Compared
from ui import comparison, display, library, links, shell
from ui.comparison import EPOCHS, LETTERS, TRAINED
from ui.show import show_panels, side_by_side
from ui.sidebar import Selection


def render(selection: Selection) -> None:
    st.title("What differs?")
    st.markdown(
        "The same picture in two models, one layer against another, a head before and after "
        "training: choose what each column shows. *A map that differs is no verdict on which of "
        "them is right.*"
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        epochs = _choose_kind(selection)
        count = st.segmented_control(
            "Columns", [2, 3, 4], default=2, required=True, key="panels", bind="query-params"
        )
        shared = display.one_scale("Colours")
        look = display.choose("gain", "resize", "colors")
    attributes = EPOCHS if epochs else TRAINED
    same = _choose_same(attributes, epochs)
    chosen = comparison.choose(selection, count, attributes, same)
    compared = comparison.compared(selection, chosen, same)
    figure = views.comparison(
        "Pictures, maps and amplified pictures",
        compared,
        shared=shared,
        gain=look.gain,
        resize=look.resize,
        colors=look.colors,
        unit=evidence.SHARE if comparison.in_shares(chosen) else "attention",
    )
    patches = {one.grid.size for one in compared}
    both = side_by_side() if count == 2 else (st.container(), st.container())
    note = "One colour scale lets you compare strengths; each its own, places."
    if len(patches) > 1:
        note += (
            " These models cut the picture into different numbers of patches: the more there are, "
            "the less falls on each."
        )
    with both[0]:
        show_panels(figure, "compare_maps", width=248, group=count, columns=count, note=note)
    with both[1]:
        _show_difference(compared)


def _choose_kind(selection: Selection) -> bool:
    """Whether to compare epochs of a training; only runs that kept what they saw have any."""
    if selection.run.replay is None:
        return False
    kind = st.segmented_control(
        "Compare",
        ["models, layers, heads", "training epochs"],
        default="models, layers, heads",
        required=True,
        key="compare",
        bind="query-params",
        help="Of the epochs of a training, the run folder keeps what the last layer made of 24 "
        "fixed pictures.",
    )
    return kind == "training epochs"


def _choose_same(attributes: tuple[str, ...], epochs: bool) -> list[str]:
    several = len(library.runs_by_name()) > 1
    differs = "epoch" if epochs else "model" if several else "layer"
    return st.pills(
        "The same for all",
        attributes,
        default=[name for name in attributes if name != differs],
        selection_mode="multi",
        key="same_epochs" if epochs else "same",
        bind="query-params",
    )


def _show_difference(compared: list[Compared]) -> None:
    pairs = {
        f"{LETTERS[j]} − {LETTERS[i]}": (i, j) for i, j in combinations(range(len(compared)), 2)
    }
    pair = next(iter(pairs))
    if len(pairs) > 1:
        links.fit_options("pair", pairs, pair)
        pair = st.segmented_control(
            "Difference of",
            list(pairs),
            default=pair,
            required=True,
            key="pair",
            bind="query-params",
        )
    first, second = (compared[i] for i in pairs[pair])
    show_panels(
        views.difference(first, second),
        "compare_difference",
        width=320,
        note=f"Red: {second.letter} looks there more. Blue: {first.letter} does. Where their "
        "patches are not equally many, a patch's attention is shared equally among its parts.",
    )
    moved = moved_share(first.grid, second.grid)
    with st.container(horizontal=True):
        st.metric(
            "Cosine similarity",
            f"{cosine_similarity(first.grid, second.grid):.3f}",
            help="1: the same map, whatever its strength. 0: no patch in common.",
        )
        st.metric(
            "Lies elsewhere",
            "–" if np.isnan(moved) else f"{moved:.1%}",
            help="The share of a map that would have to move to make it the other (total "
            "variation distance of both, scaled to sum 1).",
        )


shell.page(render)
