"""Attention: one image, every layer, head and query, and the six steps to the amplified picture."""

import numpy as np
import streamlit as st

from core.amplify import amplify
from core.attention import token_names
from core.figures import views
from core.model import ViTConfig
from ui import display, library, links, navigation, one_image, others, shell
from ui.display import Display
from ui.show import show_bars, show_panels, side_by_side
from ui.sidebar import Selection


def render(selection: Selection) -> None:
    navigation.way_back()
    index = one_image.choose(selection)
    image = selection.images.images[index]
    attention = library.attention(selection.run, selection.images, index)  # (L, H, T, T)
    config = selection.run.model.config
    layer, head, query, look = _controls(config)
    chosen = attention[layer - 1]  # (H, T, T)
    if head is not None:
        chosen = chosen[head - 1 : head]
    steps = amplify(
        chosen, image, gain=look.gain, resize=look.resize, prefix=config.prefix, query=query
    )
    token = token_names(config)[query]
    whose = f"layer {layer}, " + ("average of the heads" if head is None else f"head {head}")

    left, right = side_by_side()
    with left:
        patch = query - config.prefix if query >= config.prefix else None
        show_panels(
            views.result(
                f"Where {token} looks ({whose})",
                image,
                steps,
                look.gain,
                look.opacity,
                look.colors,
                patch,
            ),
            "attention_result",
            width=236,
            group=2,
            grid=config.grid,
            on_pick=lambda patch: _pick(patch, config),
            picked=patch,
            hint="Click a patch, or go there with Tab and the arrow keys, to see where *it* looks; "
            "click it again to return to CLS.",
            note=f"Bright patches are those that {token} weighs most in this layer: what it looks "
            "at, not what it makes of it.",
        )
    with right:
        probabilities = np.asarray(selection.probabilities[index])
        label = int(selection.verdicts.labels[index])
        figure = views.probabilities(probabilities, selection.run.classes, label)
        show_bars(figure, "attention_probabilities")

    figure = views.amplification(f"The six steps ({whose})", steps, look.gain, token, look.colors)
    show_panels(
        figure,
        "attention_steps",
        width=160,
        note=f"Attention says how {token} weighs the patches in this layer; it does not prove that "
        f"the prediction depends on them. Looking at all {config.tokens} tokens alike would give "
        f"each {1 / config.tokens:.4f}; step 4 stretches any difference from that to full "
        "contrast, however small.",
    )
    title = f"Where {token} looks in each head of layer {layer}, on one colour scale"
    figure = views.head_maps(title, attention[layer - 1], config, query, look.colors)
    show_panels(
        figure,
        "attention_heads",
        width=120,
        on_click=_choose_head,
        selected=head or 0,
        note="Heads look at different things at once; their average may be what none of them does.",
    )
    _show_all(attention, config, layer, head, query, look)
    others.show(selection, index, layer, head)


def _show_all(
    attention: np.ndarray,
    config: ViTConfig,
    layer: int,
    head: int | None,
    query: int,
    look: Display,
) -> None:
    layers, heads = attention.shape[:2]

    def choose(panel: int) -> None:
        st.session_state["layer"], st.session_state["head"] = panel // heads + 1, panel % heads + 1

    shared = display.one_scale(
        "Colours of the overview",
        "One scale shows how strongly each head looks at single patches; its own scale shows "
        "where, however faintly.",
    )
    title = f"All {layers} layers (L) and {heads} heads (H)"
    figure = views.all_maps(title, attention, config, shared, query, look.colors)
    selected = None if head is None else (layer - 1) * heads + head - 1
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


def _controls(config: ViTConfig) -> tuple[int, int | None, int, Display]:
    """Layer from 1, head from 1 or None for the average, query token from 0, and display."""
    tokens = token_names(config)
    heads = ["average", *range(1, config.heads + 1)]
    # another model may have more or fewer
    links.fit_last("layer", config.layers)
    links.fit_options("head", heads, heads[0])
    links.fit_options("query", tokens, tokens[0])
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        layer = config.layers
        if layer > 1:
            layer = st.slider("Layer", 1, layer, layer, key="layer", bind="query-params", width=260)
        head = st.segmented_control(
            "Head", heads, default="average", required=True, key="head", bind="query-params"
        )
        query = st.selectbox(
            "Looks from",
            tokens,
            key="query",
            bind="query-params",
            width=150,
            help="The token whose attention is shown. CLS is the one that decides in the end.",
        )
        look = display.choose("gain", "resize", "opacity", "colors")
    return layer, None if head == "average" else head, tokens.index(query), look


def _choose_head(panel: int) -> None:
    st.session_state["head"] = panel or "average"


def _pick(patch: int, config: ViTConfig) -> None:
    """Look from a patch; from CLS again if it is the one that looks already."""
    names = token_names(config)
    name = names[config.prefix + patch]
    st.session_state["query"] = names[0] if st.session_state["query"] == name else name


shell.page(render)
