"""What the heads do over the images that pass the filters, and which images move one of them."""

import math

import numpy as np
import streamlit as st

from core.figures import heads as figures
from core.figures import views
from core.heads import attention_distance, patch_filters, position_similarity
from ui import display, library, links, navigation, words
from ui.display import Display
from ui.show import show_chart, show_panels, side_by_side
from ui.sidebar import Selection

SHOWN = 12  # images that a head is moved by most, and least


def show(selection: Selection) -> None:
    """Distance, entropy and the other measures against depth, and the chosen head."""
    run, config = selection.run, selection.run.model.config
    measures = library.head_measures(run, selection.images)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        layer, head = _choose_head(config)
        look = display.choose("gain", "resize", "colors")
    positions = selection.indices
    means = {
        name: np.asarray(values[positions]).mean(axis=0) for name, values in vars(measures).items()
    }
    even = np.full((config.tokens, config.tokens), 1 / config.tokens)
    uniform = attention_distance(even, config.grid, config.patch_size).item()
    references = {
        "distance": (uniform, "all patches alike"),
        "entropy": (math.log(config.tokens), "all tokens alike"),
        "cls_to_cls": (1 / config.tokens, "all tokens alike"),
    }
    grid = st.grid(2, min_column_width=440, gap="large")
    for name, values in means.items():
        figure = figures.by_depth(name, values, references.get(name), (layer, head))
        with grid.cell():
            show_chart(
                figure,
                f"heads_{name}",
                alt=f"{figure.title} of {config.layers} × {config.heads} heads, by layer",
                note=words.HEADS[name],
                on_click=lambda point: _click(point, config.heads),
            )
    _show_moved(selection, measures.strength, layer, head, look)
    _show_agreement(selection, layer)


def _choose_head(config) -> tuple[int, int]:
    """Layer and head, counted from 0."""
    names = [f"L{i + 1} H{j + 1}" for i, j in np.ndindex(config.layers, config.heads)]
    last = names[-config.heads]
    links.fit_options("of", names, last)
    st.session_state.setdefault("of", last)
    name = st.selectbox(
        "Head",
        names,
        None,
        key="of",
        bind="query-params",
        width=150,
        help="Layer and head; or click a dot.",
    )
    return divmod(names.index(name), config.heads)


def _click(point: tuple[int, int], heads: int) -> None:
    line, place = point
    if line == 0:  # others are the mean, and references
        layer, head = divmod(int(place), heads)
        st.session_state["of"] = f"L{layer + 1} H{head + 1}"


def _show_moved(
    selection: Selection, strength: np.ndarray, layer: int, head: int, look: Display
) -> None:
    positions = selection.indices
    order = positions[np.argsort(-strength[positions, layer, head], kind="stable")]
    name = f"layer {layer + 1}, head {head + 1}"
    ends = {
        "most": order[:SHOWN],
        "least": order[::-1][: min(SHOWN, max(len(order) - SHOWN, 0))],
    }
    for place, (extent, chosen) in zip(side_by_side(), ends.items()):
        if not len(chosen):
            continue
        maps = library.cls_maps(selection.run, selection.images, tuple(chosen.tolist()))
        figure = views.gallery(
            f"Images that move {name} {extent}",
            selection.images.images,
            selection.verdicts,
            selection.run.classes,
            chosen,
            maps[:, layer, head],
            look.gain,
            look.resize,
        )

        def choose(panel: int, chosen=chosen) -> None:
            navigation.open_image(chosen[panel], method="attention", layer=layer + 1, head=head + 1)

        with place:
            show_panels(
                figure,
                f"heads_{extent}",
                width=84,
                on_click=choose,
                keep_place=True,
                note=f"By the length of what the head hands to CLS; each amplified by where {name} "
                "looks from CLS.",
            )


def _show_agreement(selection: Selection, layer: int) -> None:
    config = selection.run.model.config
    values = library.agreement(selection.run, selection.images, selection.indices)
    left, right = side_by_side()
    for place, key, figure, note in (
        (
            left,
            "heads_agreement",
            figures.agreement(values, config.heads, layer + 1),
            words.AGREEMENT,
        ),
        (
            right,
            "heads_agreement_all",
            figures.agreement(values, config.heads),
            "Squares of dark cells along the diagonal are layers whose heads look alike.",
        ),
    ):
        with place:
            show_chart(
                figure,
                key,
                alt=f"{figure.title}: cosine of CLS maps, mean over the images",
                note=note,
            )


def show_embeddings(selection: Selection) -> None:
    """What stands for places and patches before any layer."""
    st.header("Before the first layer")
    model = selection.run.model
    columns = model.config.grid[1]
    left, right = side_by_side()
    with left:
        show_panels(
            figures.positions(position_similarity(model), display.shown("colors").colors),
            "heads_positions",
            width=min(72, 320 // columns),
            columns=columns,
            note=words.POSITIONS[model.config.positions],
        )
    with right:
        show_panels(
            figures.filters(*patch_filters(model)), "heads_filters", width=52, note=words.FILTERS
        )
