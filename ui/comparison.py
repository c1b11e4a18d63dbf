"""What stands in the columns of the Compare page: chosen for each, or the same for all."""

from collections.abc import Callable

import streamlit as st

from core.checkpoint import Run
from core.explain import METHODS
from core.figures import views
from core.figures.views import Compared
from core.replay import frame_of, kept_frame
from core.selection import verdicts
from ui import library, links
from ui.replay import fixed_images
from ui.sidebar import Selection

LETTERS = "ABCD"
TRAINED = ("model", "image", "layer", "head", "method")
EPOCHS = ("model", "picture", "epoch", "head", "method")


def choose(
    selection: Selection, count: int, attributes: tuple[str, ...], same: list[str]
) -> list[dict]:
    """What each of `count` panels shows, as a dict by attribute.

    Args:
        same: attributes that are chosen once, for all; the others stand in a column a panel.
    """
    common = {"model": selection.run}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        for name in attributes:
            if name in same and name != "model":
                common[name] = _CHOOSERS[name](0, selection, common["model"], count)
    differing = [name for name in attributes if name not in same]
    chosen = [dict(common) for _ in range(count)]
    if differing:
        grid = st.grid(count, min_column_width=150, gap="medium")
        for i, values in enumerate(chosen):
            with grid.cell():
                st.markdown(f"**{LETTERS[i]}**")
                for name in differing:
                    values[name] = _CHOOSERS[name](i, selection, values["model"], count)
    return chosen


def _key(name: str, i: int) -> str:
    return name if i == 0 else f"{name}_{LETTERS[i].lower()}"


def _model(i: int, selection: Selection, run: Run, count: int) -> Run:
    if i == 0:
        st.caption(f"Model: {run.name}, as in the sidebar")
        return run
    paths = library.runs_by_name()
    names = list(paths)
    key, other = _key("model", i), names.index(selection.run.name) + i
    links.fit_options(key, names, names[other % len(names)])
    name = st.selectbox("Model", names, other % len(names), key=key, bind="query-params")
    return library.open_run(paths[name], name)


def _image(i: int, selection: Selection, run: Run, count: int) -> int:
    key, last = _key("index", i), len(selection.images) - 1
    chosen = selection.indices
    default = int(chosen[i % len(chosen)]) if len(chosen) else min(i, last)
    links.fit(key, 0, last)
    return st.number_input(
        "Image number", 0, last, default, 1, key=key, bind="query-params", width=150
    )


def _layer(i: int, selection: Selection, run: Run, count: int) -> int:
    """From 1."""
    layers = run.model.config.layers
    if layers == 1:
        return 1
    key = _key("layer", i)
    default = max(1, layers - i * layers // (count - 1))
    links.fit(key, 1, layers)
    return st.slider("Layer", 1, layers, default, key=key, bind="query-params", width=200)


def _head(i: int, selection: Selection, run: Run, count: int) -> int | None:
    """From 1; None is the average."""
    heads = run.model.config.heads
    options, key = ["average", *range(1, heads + 1)], _key("head", i)
    links.fit_options(key, options, options[i % len(options)])
    head = st.selectbox("Head", options, i % len(options), key=key, bind="query-params", width=150)
    return None if head == "average" else head


def _method(i: int, selection: Selection, run: Run, count: int) -> str:
    key = _key("method", i)
    return st.selectbox(
        "Method",
        METHODS,
        i % len(METHODS),
        key=key,
        bind="query-params",
        width=150,
        help="Attention: one layer. Rollout: all layers multiplied, so layer and head do not "
        "matter (Abnar & Zuidema 2020).",
    )


def _picture(i: int, selection: Selection, run: Run, count: int) -> str:
    names = list(_fixed_pictures(selection, run))
    key = _key("picture", i)
    links.fit_options(key, names, names[i % len(names)])
    return st.selectbox("Picture", names, i % len(names), key=key, bind="query-params", width=150)


def _epoch(i: int, selection: Selection, run: Run, count: int) -> int:
    first, last = int(run.replay["epoch"][0]), int(run.replay["epoch"][-1])
    if first == last:
        return first
    key = _key("epoch", i)
    kept = kept_frame(run.replay, run.kept_epoch) or last
    default = max(first, kept - i * (kept - first) // (count - 1))
    links.fit(key, first, last)
    return st.slider("Epoch", first, last, default, key=key, bind="query-params", width=200)


_CHOOSERS: dict[str, Callable] = {
    "model": _model,
    "image": _image,
    "layer": _layer,
    "head": _head,
    "method": _method,
    "picture": _picture,
    "epoch": _epoch,
}


def compared(selection: Selection, chosen: list[dict], same: list[str]) -> list[Compared]:
    """The maps that were chosen."""
    look_up = _of_epoch if "epoch" in chosen[0] else _of_model
    return [
        look_up(selection, values, f"{letter}  {_words(values, same)}".strip())
        for letter, values in zip(LETTERS, chosen)
    ]


def _words(values: dict, same: list[str]) -> str:
    """What tells a panel from the others."""
    words = []
    for name, value in values.items():
        if name in same:
            continue
        if name == "model":
            words.append(value.name)
        elif name == "head":
            words.append("average of the heads" if value is None else f"head {value}")
        elif name in ("method", "picture"):
            words.append(value)
        else:
            words.append(f"{name} {value}")
    return ", ".join(words)


def _of_model(selection: Selection, values: dict, name: str) -> Compared:
    run, index = values["model"], values["image"]
    config = run.model.config
    images = selection.open_at(config.image_size)
    layer, head = min(values["layer"], config.layers), values["head"]
    if head and head > config.heads:
        head = None
    if values["method"] == "rollout":
        layer, head = config.layers, None  # they make no difference to it
    elif layer != values["layer"] or head != values["head"]:
        name += f" (layer {layer}, " + (f"head {head})" if head else "average of the heads)")
    grid = library.explanation(
        run, images, index, values["method"], layer - 1, None if head is None else head - 1
    )
    said = library.verdict(run, images, index)
    note = views.verdict_note(said, 0, run.classes)
    return Compared(name, images.images[index], grid, note, views.is_right(said, 0))


def _of_epoch(selection: Selection, values: dict, name: str) -> Compared:
    run, head = values["model"], values["head"]
    epoch = kept_frame(run.replay, values["epoch"]) or int(run.replay["epoch"][0])
    if epoch != values["epoch"]:
        name += f" (epoch {epoch})"
    source, place = _fixed_pictures(selection, run)[values["picture"]]
    images = fixed_images(selection, run, source)
    frame = frame_of(run.replay, epoch, source)
    if head and head > run.model.config.heads:
        head, name = None, f"{name} (average of the heads)"
    grid = frame.maps(values["method"], None if head is None else head - 1)[place]
    index = int(frame.index[place])
    said = verdicts(
        images.labels_in(run.classes)[index : index + 1], frame.probabilities[place : place + 1]
    )
    note = views.verdict_note(said, 0, run.classes)
    return Compared(name, images.images[index], grid, note, views.is_right(said, 0))


def _fixed_pictures(selection: Selection, run: Run) -> dict[str, tuple[str, int]]:
    """Source and place of a run's fixed images by their names, as far as their pixels are here."""
    found = {}
    for source, words in (("samples", "scene"), ("test", "test image")):
        if fixed_images(selection, run, source):
            count = (run.replay["source"] == source).sum()
            found |= {f"{words} {i + 1}": (source, i) for i in range(count)}
    return found
