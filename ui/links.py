"""The choices that make a picture: kept in the URL, copied as a link, saved beside a figure.

Widgets bring their values to the URL themselves (`bind="query-params"`), as long as they differ
from their defaults. Here stands what all of them are called, and what a link does that asks for
something that is not here.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode

import streamlit as st

from core.errors import InputError
from ui.sidebar import Selection

HERE = Path(__file__).parent / "address"
# What each column of a comparison may choose; the model of the first is the sidebar's.
COLUMN = ("index", "layer", "head", "method", "picture", "epoch")
EVERYWHERE = ("model", "images", "class", "outcome", "order")
# The keys of a page's bound widgets.
OF_PAGE = {
    "overview": (),
    "browse": ("page", "size", "amplified", "gain", "resize", "colors"),
    "attention": (
        *("index", "method", "layer", "head", "query", "target", "closer", "versus", "step"),
        *("fusion", "first_layer", "discard", "scale", "others"),
        *("gain", "resize", "opacity", "colors"),
    ),
    "compare": (
        *("compare", "panels", "same", "same_epochs", "pair", "scale", "gain", "resize", "colors"),
        *COLUMN,
        *(f"{key}_{letter}" for key in ("model", *COLUMN) for letter in "bcd"),
    ),
    "confusion": (
        *("results", "cells", "label", "taken_for", "cell_page", "common", "gain", "colors"),
    ),
    "heads": ("of", "off", "index", "importance", "gain", "resize", "colors"),
    "trust": ("trial", "trials", "layer"),
    "training": ("beside", "over", "smoothing", "published", "epoch", "replay", "picture"),
}
# Where a part of the page runs on its own, what the server knew of its choices when the whole page
# ran may be old.
IN_PARTS = ("confusion", "training")

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
    if page != "attention":
        st.session_state.pop("came_from", None)
    st.session_state["here"] = {
        "page": page,
        "model": {"name": run.name, "fingerprint": run.fingerprint},
        "images": {"name": images.name, "fingerprint": images.fingerprint},
    }


def asked_number(key: str) -> int | None:
    """The whole number that the address names; None where it names none."""
    text = st.query_params.get(key, "")
    return int(text) if text.isdecimal() and len(text) < 10 else None


def fit(key: str, low: int, high: int) -> None:
    """Move a number that was chosen into the range that its widget has now."""
    if st.session_state.get(key) is not None:
        st.session_state[key] = min(max(st.session_state[key], low), high)


def fit_last(key: str, last: int) -> None:
    """As `fit` from 1 to the last; whoever stood at the last that was there before stays at it."""
    state = st.session_state
    before = state.get(f"last {key}")
    state[f"last {key}"] = last
    if before is not None and state.get(key) == before:
        state[key] = last
    fit(key, 1, last)


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
    page = st.session_state["here"]["page"]
    for key, wanted in asked.items():
        if key not in _keys(page) or key not in st.session_state:
            continue
        if key == "index" and page == "attention":
            continue  # it tells of that itself, with the images that there are
        shown = st.session_state[key]
        values = shown if isinstance(shown, list) else [] if shown is None else [shown]
        # an empty value says that nothing is chosen of several
        refused = [v for v in wanted if v and not any(_says(v, value) for value in values)]
        if refused:
            names = " and ".join(map(quoted, refused))
            nothing = "all" if key == "class" else "none"
            instead = ", ".join(quoted(str(value)) for value in values) or nothing
            st.warning(
                f"The link asks for {key} {names}, which is not here; this shows {instead}.",
                icon=":material/link_off:",
            )
    asked.clear()


def plain(text: str) -> str:
    """Words of a file, such as a class's name, for a place where Streamlit reads Markdown."""
    return re.sub(r"([\\`*_\[\]<>$~])", r"\\\1", text)


def quoted(text: str) -> str:
    """Words of a link or a file, for a message: Streamlit reads no Markdown in them."""
    short = text if len(text) <= 60 else f"{text[:59]}…"
    return "`" + short.replace("`", "'").replace("\n", " ") + "`"


def _says(text: str, value) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(text) == value
        except ValueError:
            return False
    return text.lower() == str(value).lower()


def copy_button() -> None:
    """A button that puts the page's address into the clipboard.

    The address leaves out what is as a widget's default is now; but that may depend on what is
    installed, or on the model, so a link says it.
    """
    in_parts = st.session_state["here"]["page"] in IN_PARTS
    sure = (*EVERYWHERE, "index") if in_parts else _keys(st.session_state["here"]["page"])
    pinned = {key: value for key, value in choices().items() if key in sure}
    texts = _texts(pinned).items()
    lists = {key: value if isinstance(value, list) else [str(value)] for key, value in texts}
    _address(key="address", data={"pinned": lists}, width="content")


def settings(key: str, title: str) -> dict:
    """What made a figure: the page, all its choices, a link, and on what data.

    Fingerprints tell whether the sidebar's model and images are, on another machine, the same to
    the last bit.
    """
    made = {"figure": key, "title": title, **st.session_state["here"], "choices": choices()}
    return {**made, "link": address(made)}


def address(made: dict) -> str:
    """The address, relative to any page, that shows what settings say."""
    path = "." if made["page"] == "overview" else made["page"]  # the default page's path is empty
    return f"{path}?{urlencode(_texts(made['choices']), doseq=True)}"


def parse_settings(content: bytes) -> dict:
    """Settings that were saved beside a figure; what they do not know is left out.

    Raises:
        InputError: it is something else.
    """
    try:
        found = json.loads(content)
        page, wanted = found["page"], found["choices"]
        about = {what: dict(found.get(what) or {}) for what in ("model", "images")}
        choices = {key: value for key, value in wanted.items() if key in _keys(page)}
        if page not in OF_PAGE or not all(map(_is_choice, choices.values())):
            raise ValueError
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError("This is not a settings file that Vitascope saved.") from error
    return {"page": page, "choices": choices, **about}


def _is_choice(value) -> bool:
    values = value if isinstance(value, list) else [value]
    return all(isinstance(one, str | int | float | bool) for one in values)


def strangers(found: dict, selection: Selection) -> list[str]:
    """Which of "model" and "images" are called as those of the settings, but are others."""
    return [
        what
        for what, chosen in (("model", selection.run), ("images", selection.images))
        if found[what].get("name") == chosen.name
        and found[what].get("fingerprint") != chosen.fingerprint
    ]


def _texts(values: dict) -> dict:
    """As widgets write them into the URL; nothing of several is said, too."""
    return {
        key: str(value).lower() if isinstance(value, bool) else [""] if value == [] else value
        for key, value in values.items()
    }


def _keys(page: str) -> tuple[str, ...]:
    return (*EVERYWHERE, *OF_PAGE[page])
