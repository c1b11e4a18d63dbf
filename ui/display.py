"""How maps are drawn: choices that pages share."""

from dataclasses import dataclass

import streamlit as st

from core.amplify import RESIZE
from core.figures.palette import MAP_COLORMAPS


@dataclass(frozen=True)
class Display:
    """Gain of the last step, resize method, opacity of a map over its image, colours of maps."""

    gain: float
    resize: str
    opacity: float
    colors: str


def choose() -> Display:
    """The choices in a popover; they stay the same from page to page."""
    with st.popover("Display", icon=":material/palette:"):
        gain = st.slider(
            "Gain",
            1.0,
            5.0,
            2.0,
            0.5,
            key="gain",
            bind="query-params",
            help="The last of the six steps multiplies by this and cuts off at white.",
        )
        resize = st.segmented_control(
            "Resize",
            list(RESIZE),
            default="bilinear",
            required=True,
            key="resize",
            bind="query-params",
            help="How a map of patches fills the pixels between their centres.",
        )
        opacity = st.slider(
            "Opacity of the overlay", 0.0, 1.0, 0.5, 0.05, key="opacity", bind="query-params"
        )
        colors = st.selectbox(
            "Colours",
            MAP_COLORMAPS,
            key="colors",
            bind="query-params",
            help="Equal steps of attention look like equal steps of colour in all of these, also "
            "to colour-blind people (viridis and cividis best).",
        )
    return Display(gain, resize, opacity, colors)
