"""The choices that make a picture: kept in the URL, copied as a link, saved beside a figure.

Widgets bring their values to the URL themselves (`bind="query-params"`), as long as they differ
from their defaults. Here stands what all of them are called, and what a link does that asks for
something that is not here.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode

import streamlit as st

from core.errors import InputError
from ui.sidebar import Selection

HERE = Path(__file__).parent / "address"
DISPLAY = ("gain", "resize", "opacity", "colors")
# What each column of a comparison may choose; the model of the first is the sidebar's.
COLUMN = ("index", "layer", "head", "method", "picture", "epoch")
EVERYWHERE = ("model", "images", "class", "outcome", "order")
# The keys of a page's bound widgets.
OF_PAGE = {
    "overview": (),
    "browse": ("page", "size", "amplified", *DISPLAY),
    "attention": (*("index", "layer", "head", "query", "scale", "others", *DISPLAY),),
    "compare": (
        *("compare", "panels", "same", "same_epochs", "pair", "scale", *DISPLAY),
        *COLUMN,
        *(f"{key}_{letter}" for key in ("model", *COLUMN) for letter in "bcd"),
    ),
    "confusion": ("results", "cells", "label", "taken_for", "cell_page", "common", *DISPLAY),
    "training": ("beside", "over", "smoothing", "published", "epoch", "replay", "picture"),
}
# What a link always says: defaults of these depend on what else is installed or filtered, and the
# address loses the sidebar's for a moment when somebody is quick to go on from a page.
PINNED = (*EVERYWHERE, "index", "same", "model_b", "model_c", "model_d")

_address = st.components.v2.component(
    "vitascope_address",
    html='<button type="button"></button><span role="status"></span>\n',
    css=(HERE / "address.css").read_text("utf-8"),
    js=(HERE / "address.js").read_text("utf-8"),
)


def arrive() -> None:
    """Remember what a link asks for, before any widget drops what it does not know."""
    if "asked" not in st.session_state:
        asked = {key: st.query_params.get_all(key) for key in st.query_params}
        st.session_state["asked"] = asked


def enter(page: str, selection: Selection) -> None:
    """Remember where we are, for figures that are drawn by a fragment on its own."""
    run, images = selection.run, selection.images
    st.session_state["here"] = {
        "page": page,
        "model": {"name": run.name, "fingerprint": run.fingerprint},
        "images": {"name": images.name, "fingerprint": images.fingerprint},
    }


def fit(key: str, low: int, high: int) -> None:
    """Move a number that was chosen into the range that its widget has now."""
    if key in st.session_state:
        st.session_state[key] = min(max(st.session_state[key], low), high)


def fit_options(key: str, options: Sequence, default) -> None:
    """Replace a choice that is not among the options that its widget has now."""
    if key in st.session_state and st.session_state[key] not in options:
        st.session_state[key] = default


def choices() -> dict:
    """The values of all widgets that make the page what it is, by their name in the URL."""
    state = st.session_state
    return {key: state[key] for key in _keys(state["here"]["page"]) if state.get(key) is not None}


def note_refused() -> None:
    """Say which values of a link are not shown because they are not here; once a visit."""
    asked = st.session_state["asked"]
    for key, wanted in asked.items():
        shown = st.session_state.get(key)
        if key == "index" or key not in _keys(st.session_state["here"]["page"]) or shown is None:
            continue  # the page tells of an index itself, with those that there are
        values = shown if isinstance(shown, list) else [shown]
        refused = [value for value in wanted if not any(_says(value, v) for v in values)]
        if refused:
            names = " and ".join(f"“{value}”" for value in refused)
            instead = ", ".join(map(str, values)) or "all"
            st.warning(
                f"The link asks for {key} {names}, which is not here; this shows {instead}.",
                icon=":material/link_off:",
            )
    asked.clear()


def _says(text: str, value) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(text) == value
        except ValueError:
            return False
    return text.lower() == str(value).lower()


def copy_button() -> None:
    """A button that puts the page's address into the clipboard."""
    pinned = {key: value for key, value in choices().items() if key in PINNED}
    texts = {
        key: value if isinstance(value, list) else [str(value)] for key, value in pinned.items()
    }
    _address(key="address", data={"pinned": texts})


def settings(key: str, title: str) -> dict:
    """What made a figure: the page, all its choices, a link, and on what data.

    Fingerprints tell whether another machine's model and images are the same to the last bit.
    """
    made = {"figure": key, "title": title, **st.session_state["here"], "choices": choices()}
    return {**made, "link": address(made)}


def address(made: dict) -> str:
    """The address, relative to any page, that shows what settings say."""
    texts = {
        key: str(v).lower() if isinstance(v, bool) else v for key, v in made["choices"].items()
    }
    path = "." if made["page"] == "overview" else made["page"]  # the default page's path is empty
    return f"{path}?{urlencode(texts, doseq=True)}"


def parse_settings(content: bytes) -> dict:
    """Settings that were saved beside a figure.

    Raises:
        InputError: it is something else.
    """
    try:
        found = json.loads(content)
        page, wanted = found["page"], dict(found["choices"])
        if page not in OF_PAGE:
            raise KeyError(page)
    except (ValueError, TypeError, KeyError) as error:
        raise InputError("This is not a settings file that Vitascope saved.") from error
    found["choices"] = {key: value for key, value in wanted.items() if key in _keys(page)}
    return found


def strangers(found: dict, selection: Selection) -> list[str]:
    """Which of "model" and "images" are called as those of the settings, but are others."""
    strange = []
    for what, chosen in (("model", selection.run), ("images", selection.images)):
        made_with = found.get(what) or {}
        same_name = made_with.get("name") == chosen.name
        if same_name and made_with.get("fingerprint") != chosen.fingerprint:
            strange.append(what)
    return strange


def _keys(page: str) -> tuple[str, ...]:
    return (*EVERYWHERE, *OF_PAGE[page])
