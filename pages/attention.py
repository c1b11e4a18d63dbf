"""Attention: one image, every layer, head and query, the six steps, and which map to believe."""

import numpy as np
import streamlit as st

from core.amplify import amplify
from core.attention import token_names
from core.figures import views
from core.model import ViTConfig
from ui import display, evidence, library, navigation, one_image, one_map, others, shell
from ui.display import Display
from ui.one_map import OneMap
from ui.show import show_bars, show_panels, side_by_side
from ui.sidebar import Selection


def render(selection: Selection) -> None:
    navigation.way_back()
    index = one_image.choose(selection)
    config = selection.run.model.config
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        one = one_map.choose(selection.run, int(selection.verdicts.predicted[index]))
        look = display.choose("gain", "resize", "opacity", "colors")
    _show_one(selection, index, one, look)
    closer = st.segmented_control(
        "Look closer at",
        ["layers and heads", "methods"],
        default="layers and heads",
        required=True,
        key="closer",
        bind="query-params",
        help="Layers and heads: where each of them looks. Methods: other maps beside attention, "
        "and which of them to believe.",
    )
    if closer == "methods":
        evidence.show(selection, index, one, look)
    else:
        attention = library.attention(selection.run, selection.images, index)
        _show_heads(attention, config, one, look)
        _show_all(attention, config, one, look)
    others.show(selection, index, one.layer, one.head)


def _show_one(selection: Selection, index: int, one: OneMap, look: Display) -> None:
    """The chosen map beside the picture and the answer, and its steps to the amplified picture."""
    image, config = selection.images.images[index], selection.run.model.config
    grid, gain, resize = _map(selection, index, one), look.gain, look.resize
    steps = amplify(grid, image, gain=gain, resize=resize, prefix=config.prefix, query=one.query)
    patch = one.query - config.prefix if one.is_attention and one.query >= config.prefix else None
    left, right = side_by_side()
    with left:
        show_panels(
            views.result(
                one.title(config), image, steps, gain, look.opacity, look.colors, patch, one.method
            ),
            "attention_result",
            width=236,
            group=2,
            note=one.note(config),
            **(_picking(config, patch) if one.is_attention else {}),
        )
    with right:
        probabilities = np.asarray(selection.probabilities[index])
        label = int(selection.verdicts.labels[index])
        figure = views.probabilities(probabilities, selection.run.classes, label)
        show_bars(figure, "attention_probabilities")
    token = one.token(config)
    if one.is_attention:
        title, query = f"The six steps ({one.whose})", token
        note = (
            f"Attention says how {token} weighs the patches in this layer; it does not prove that "
            "the prediction depends on them. Looking at all "
            f"{config.tokens} tokens alike would give each {1 / config.tokens:.4f}; step 4 "
            "stretches any difference from that to full contrast, however small."
        )
    else:
        title, query = f"The steps from 2 on ({one.title(config)})", None
        note = "Step 4 stretches any difference between patches to full contrast, however small."
    figure = views.amplification(title, steps, gain, query, look.colors, one.method)
    show_panels(figure, "attention_steps", width=160, note=note)


def _picking(config: ViTConfig, patch: int | None) -> dict:
    """What makes the patches of attention's panels buttons; of other maps, no patch looks."""
    return {
        "grid": config.grid,
        "on_pick": lambda patch: _pick(patch, config),
        "picked": patch,
        "hint": "Click a patch, or go there with Tab and the arrow keys, to see where *it* looks; "
        "click it again to return to CLS.",
    }


def _map(selection: Selection, index: int, one: OneMap) -> np.ndarray:
    """Attention (heads, T, T) of the chosen heads, or the map (gh, gw) of another method."""
    if one.is_attention:
        layer = library.attention(selection.run, selection.images, index)[one.layer - 1]
        return layer if one.head is None else layer[one.head - 1 : one.head]
    head = None if one.head is None else one.head - 1
    return library.explanation(
        selection.run,
        selection.images,
        index,
        one.method,
        one.layer - 1,
        head,
        one.target,
        **one.rollout,
    )


def _show_heads(attention: np.ndarray, config: ViTConfig, one: OneMap, look: Display) -> None:
    title = (
        f"Where {one.token(config)} looks in each head of layer {one.layer}, on one colour scale"
    )
    figure = views.head_maps(title, attention[one.layer - 1], config, one.query, look.colors)
    show_panels(
        figure,
        "attention_heads",
        width=120,
        on_click=_choose_head,
        selected=one.head or 0,
        note="Heads look at different things at once; their average may be what none of them does.",
    )


def _show_all(attention: np.ndarray, config: ViTConfig, one: OneMap, look: Display) -> None:
    layers, heads = attention.shape[:2]

    def choose(panel: int) -> None:
        st.session_state["layer"] = panel // heads + 1
        _choose_head(panel % heads + 1)

    shared = display.one_scale(
        "Colours of the overview",
        "One scale shows how strongly each head looks at single patches; its own scale shows "
        "where, however faintly.",
    )
    title = f"All {layers} layers (L) and {heads} heads (H)"
    figure = views.all_maps(title, attention, config, shared, one.query, look.colors)
    selected = None if one.head is None else (one.layer - 1) * heads + one.head - 1
    show_panels(
        figure,
        "attention_all",
        width=56,
        group=heads,
        on_click=choose,
        selected=selected,
        note="A pale map on one scale looks everywhere alike, or mostly at CLS itself.",
        hint="Click one to see it above.",
    )


def _choose_head(panel: int) -> None:
    """Make a head's attention, or with 0 the average's, the map above."""
    st.session_state["head"] = panel or "average"
    st.session_state["method"] = "attention"


def _pick(patch: int, config: ViTConfig) -> None:
    """Look from a patch; from CLS again if it is the one that looks already."""
    names = token_names(config)
    name = names[config.prefix + patch]
    st.session_state["query"] = names[0] if st.session_state["query"] == name else name


shell.page(render)
