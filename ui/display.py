"""How maps are drawn: choices that pages share."""

from dataclasses import dataclass

import streamlit as st

from core.amplify import RESIZE
from core.figures.palette import MAP_COLORMAPS, MAP_COLORS


@dataclass(frozen=True)
class Display:
    """Gain of the last step, resize method, opacity of a map over its image, colours of maps."""

    gain: float = 2.0
    resize: str = "bilinear"
    opacity: float = 0.5
    colors: str = MAP_COLORS


def choose(*wanted: str) -> Display:
    """The wanted choices in a popover; they stay the same from page to page."""
    with st.popover("Display", icon=":material/palette:"):
        return Display(**{name: _CHOOSERS[name]() for name in wanted})


def shown(*wanted: str) -> Display:
    """The same choices where another place of the page draws them."""
    state = st.session_state
    return Display(**{name: state[name] for name in wanted if state.get(name) is not None})


def one_scale(label: str, help: str | None = None) -> bool:
    """Whether all maps of a figure share one colour scale; the choice is one for all pages."""
    scale = st.segmented_control(
        label,
        ["one scale", "each its own"],
        default="one scale",
        required=True,
        key="scale",
        bind="query-params",
        help=help,
    )
    return scale == "one scale"


def _gain() -> float:
    return st.slider(
        "Gain",
        1.0,
        5.0,
        Display.gain,
        0.5,
        key="gain",
        bind="query-params",
        help="The last of the six steps multiplies by this and cuts off at white.",
    )


def _resize() -> str:
    return st.segmented_control(
        "Resize",
        list(RESIZE),
        default=Display.resize,
        required=True,
        key="resize",
        bind="query-params",
        help="How a map of patches fills the pixels between their centres.",
    )


def _opacity() -> float:
    return st.slider(
        "Opacity of the overlay",
        0.0,
        1.0,
        Display.opacity,
        0.05,
        key="opacity",
        bind="query-params",
    )


def _colors() -> str:
    return st.selectbox(
        "Colours",
        MAP_COLORMAPS,
        key="colors",
        bind="query-params",
        help="Equal steps of attention look like equal steps of colour in all of these, also to "
        "colour-blind people (viridis and cividis best).",
    )


_CHOOSERS = {"gain": _gain, "resize": _resize, "opacity": _opacity, "colors": _colors}
