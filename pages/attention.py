"""Attention: one image, every layer and head, and the six steps to the amplified picture."""

import numpy as np
import streamlit as st

from core.amplify import RESIZE, amplify
from core.figures import views
from core.model import ViTConfig
from ui import library, others, shell
from ui.show import show_chart, show_panels, side_by_side
from ui.sidebar import Selection


def render(selection: Selection) -> None:
    index = _choose_image(selection)
    image = selection.images.images[index]
    attention = library.attention(selection.run, selection.images, index)  # (L, H, T, T)
    layer, head, gain, resize = _controls(*attention.shape[:2])
    chosen = attention[layer - 1]  # (H, T, T)
    if head is not None:
        chosen = chosen[head - 1 : head]
    config = selection.run.model.config
    steps = amplify(chosen, image, gain=gain, resize=resize, prefix=config.prefix)
    whose = f"layer {layer}, " + ("average of the heads" if head is None else f"head {head}")

    left, right = side_by_side()
    with left:
        figure = views.result(f"Where CLS looks ({whose})", image, steps, gain)
        show_panels(figure, "attention_result", width=192, group=3)
    with right:
        probabilities = np.asarray(selection.probabilities[index])
        label = int(selection.verdicts.labels[index])
        figure = views.probabilities(probabilities, selection.run.classes, label)
        show_chart(figure, "attention_probabilities", alt="Probability of each class, sorted")

    st.caption(
        "Attention says how CLS weighs the patches in this layer; it does not prove that the "
        f"prediction depends on them. Looking at all {config.tokens} tokens alike would give each "
        f"{1 / config.tokens:.4f}; step 4 stretches any difference from that to full contrast, "
        "however small."
    )
    figure = views.amplification(f"The six steps ({whose})", steps, gain)
    show_panels(figure, "attention_steps", width=160)
    title = f"The heads of layer {layer}, on one colour scale"
    figure = views.head_maps(title, attention[layer - 1], config)
    show_panels(figure, "attention_heads", width=120, on_click=_choose_head, selected=head or 0)
    _show_all(attention, config, layer, head)
    others.show(selection, index, layer, head)


def _show_all(attention: np.ndarray, config: ViTConfig, layer: int, head: int | None) -> None:
    layers, heads = attention.shape[:2]

    def choose(panel: int) -> None:
        st.session_state["layer"], st.session_state["head"] = panel // heads + 1, panel % heads + 1

    shared = (
        st.segmented_control(
            "Colours of the overview",
            ["one scale", "each its own"],
            default="one scale",
            required=True,
            key="scale",
            bind="query-params",
            help="One scale shows how strongly each head looks at single patches; its own scale "
            "shows where, however faintly.",
        )
        == "one scale"
    )
    title = f"All {layers} layers (L) and {heads} heads (H): click one to see it above"
    figure = views.all_maps(title, attention, config, shared)
    selected = None if head is None else (layer - 1) * heads + head - 1
    show_panels(figure, "attention_all", width=56, group=heads, on_click=choose, selected=selected)


def _choose_image(selection: Selection) -> int:
    """The image's verdict as title; previous, next and a field for its number."""
    index = _wanted_index(selection)
    title, steps = side_by_side()
    columns = selection.verdicts
    outcome = {True: " :green[✓]", False: " :red[✗]", None: ""}[views.is_right(columns, index)]
    title.title(f"#{index}  {views.verdict_note(columns, index, selection.run.classes)}{outcome}")
    position = np.flatnonzero(selection.indices == index)
    at = int(position[0]) if len(position) else None
    with steps.container(
        horizontal=True, horizontal_alignment="right", vertical_alignment="bottom"
    ):
        _step_button(selection, "Previous", ":material/chevron_left:", -1 if at is None else at - 1)
        _step_button(selection, "Next", ":material/chevron_right:", 0 if at is None else at + 1)
        st.number_input(
            "Image number" if at is None else f"{at + 1:,} of {len(selection.indices):,} chosen",
            min_value=0,
            max_value=len(selection.images) - 1,
            step=1,
            key="index",
            bind="query-params",
            width=160,
        )
    if at is None and len(selection.indices):
        st.caption(
            "This image does not pass the sidebar's filters; Next goes to the first that does."
        )
    return index


def _wanted_index(selection: Selection) -> int:
    """The image that was clicked or linked to, else the first of the chosen ones."""
    count = len(selection.images)
    first = int(selection.indices[0]) if len(selection.indices) else 0
    linked = st.query_params.get("index")
    if "index" in st.session_state:
        index = st.session_state["index"]
        index = index if 0 <= index < count else first  # another set may have fewer
    elif linked is None or (linked.isdecimal() and int(linked) < count):
        index = int(linked or first)
    else:
        index = first
        st.warning(
            f"There is no image {linked}: {selection.images.name} has 0 to {count - 1}.",
            icon=":material/link_off:",
        )
    st.session_state["index"] = index
    return index


def _step_button(selection: Selection, label: str, icon: str, to: int) -> None:
    def step():
        st.session_state["index"] = int(selection.indices[to])

    there = 0 <= to < len(selection.indices)
    st.button(label, icon=icon, on_click=step, disabled=not there)


def _controls(layers: int, heads: int) -> tuple[int, int | None, float, str]:
    """Layer from 1, head from 1 or None for the average, gain, and resize method."""
    # another model may have fewer
    if st.session_state.get("layer", 1) > layers:
        st.session_state["layer"] = layers
    if st.session_state.get("head", "average") not in ["average", *range(1, heads + 1)]:
        st.session_state["head"] = "average"
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        layer = layers
        if layers > 1:
            layer = st.slider(
                "Layer", 1, layers, layers, key="layer", bind="query-params", width=260
            )
        head = st.segmented_control(
            "Head",
            ["average", *range(1, heads + 1)],
            default="average",
            required=True,
            key="head",
            bind="query-params",
        )
        resize = st.segmented_control(
            "Resize",
            list(RESIZE),
            default="bilinear",
            required=True,
            key="resize",
            bind="query-params",
            help="How step 3 fills the pixels between patch centres.",
        )
        gain = st.slider(
            "Gain",
            1.0,
            5.0,
            2.0,
            0.5,
            key="gain",
            bind="query-params",
            width=180,
            help="Step 6 multiplies by this and cuts off at white.",
        )
    return layer, None if head == "average" else head, gain, resize


def _choose_head(panel: int) -> None:
    st.session_state["head"] = panel or "average"


shell.page(render)
