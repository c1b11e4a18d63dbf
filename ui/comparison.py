"""What stands in the columns of the Compare page: chosen for each, or the same for all."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import streamlit as st

from core.checkpoint import Run
from core.compare import share_of_map
from core.errors import InputError
from core.explain import METHODS, OF_ATTENTION
from core.figures import views
from core.figures.views import Compared
from core.replay import frame_of, kept_frame
from core.selection import verdicts
from ui import library, links, one_image
from ui.replay import fixed_images, picture_names
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
    offered = library.runs_by_name()
    if "epoch" in attributes:  # only of runs that kept what they saw
        offered = {n: path for n, path in offered.items() if (path / "replay.npz").is_file()}
    choosers = _choosers(selection, offered, "epoch" in attributes)
    common = {"model": selection.run}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        for name in attributes:
            if name in same and name != "model":
                common[name] = choosers[name](0, common["model"])
    differing = [name for name in attributes if name not in same]
    chosen = [dict(common) for _ in range(count)]
    if differing:
        grid = st.grid(count, min_column_width=150, gap="medium")
        for i, values in enumerate(chosen):
            with grid.cell():
                st.markdown(f"**{LETTERS[i]}**")
                for name in differing:
                    values[name] = choosers[name](i, values["model"])
    return chosen


def _key(name: str, i: int) -> str:
    return name if i == 0 else f"{name}_{LETTERS[i].lower()}"


def _share(i: int, first: int, last: int) -> int:
    """Where a column begins: A at the last, B at the first, C in the middle, D at the quarter."""
    return (last, first, (first + last) // 2, (3 * first + last) // 4)[i]


def _choosers(
    selection: Selection, offered: dict[str, Path], offers_epochs: bool
) -> dict[str, Callable]:
    """By attribute, what draws the choice for column i (of a run) and returns it.

    `offered` are the runs that a column may have, by name; only those that are chosen are opened.
    Of epochs, run folders keep maps of attention alone.
    Where the beginning depends on more than the column and its run, the widget's own default is
    None: so the address always says the choice.
    """

    def one_of(label: str, key: str, options: list, begin, **looks):
        links.fit_options(key, options, begin)
        st.session_state.setdefault(key, begin)
        return st.selectbox(label, options, None, key=key, bind="query-params", **looks)

    def model(i: int, run: Run) -> Run:
        if i == 0:
            st.caption(f"Model: {links.plain(run.name)}, as in the sidebar")
            return run
        names = list(offered)
        begin = names[(names.index(run.name) + i) % len(names)]
        name = one_of("Model", _key("model", i), names, begin)
        return library.open_run(offered[name], name)

    def image(i: int, run: Run) -> int:
        return one_image.number(selection, _key("index", i), i)

    def layer(i: int, run: Run) -> int:
        layers, key = run.model.config.layers, _key("layer", i)
        if layers == 1:
            return 1
        links.fit_last(key, layers) if i == 0 else links.fit(key, 1, layers)
        begin = _share(i, 1, layers)
        return st.slider("Layer", 1, layers, begin, key=key, bind="query-params", width=200)

    def head(i: int, run: Run) -> int | None:
        options, key = ["average", *range(1, run.model.config.heads + 1)], _key("head", i)
        begin = i % len(options)
        links.fit_options(key, options, options[begin])
        head = st.selectbox("Head", options, begin, key=key, bind="query-params", width=150)
        return None if head == "average" else head

    def method(i: int, run: Run) -> str:
        methods = OF_ATTENTION if offers_epochs else METHODS
        begin = methods[i % len(methods)]
        links.fit_options(_key("method", i), methods, begin)
        return st.selectbox(
            "Method",
            methods,
            methods.index(begin),
            key=_key("method", i),
            bind="query-params",
            width=150,
            help="Attention: one layer. Rollout: all layers multiplied (Abnar & Zuidema 2020). "
            "Relevance: weighted by the prediction's gradient (Chefer et al. 2021). Grad-CAM: one "
            "layer's features, weighted so (Selvaraju et al. 2017).",
        )

    def picture(i: int, run: Run) -> str:
        names = list(_fixed_pictures(selection, run))
        return one_of("Picture", _key("picture", i), names, names[i % len(names)], width=150)

    def epoch(i: int, run: Run) -> int:
        first, last = int(run.replay["epoch"][0]), int(run.replay["epoch"][-1])
        if first == last:
            return first
        key, kept = _key("epoch", i), kept_frame(run.replay, run.kept_epoch) or last
        links.fit(key, first, last)
        begin = _share(i, first, kept)
        return st.slider("Epoch", first, last, begin, key=key, bind="query-params", width=200)

    return {
        "model": model,
        "image": image,
        "layer": layer,
        "head": head,
        "method": method,
        "picture": picture,
        "epoch": epoch,
    }


def compared(selection: Selection, chosen: list[dict], same: list[str]) -> list[Compared]:
    """The maps that were chosen; of methods whose units differ, each scaled to sum 1."""
    look_up = _of_epoch if "epoch" in chosen[0] else _of_model
    found = [
        look_up(selection, values, letter, _words(values, same))
        for letter, values in zip(LETTERS, chosen)
    ]
    if in_shares(chosen):
        found = [replace(one, grid=share_of_map(one.grid)) for one in found]
    return found


def in_shares(chosen: list[dict]) -> bool:
    """Whether the chosen maps have no unit in common but shares of the map."""
    return any(values["method"] not in OF_ATTENTION for values in chosen)


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


def _of_model(selection: Selection, values: dict, letter: str, name: str) -> Compared:
    run, index = values["model"], values["image"]
    config = run.model.config
    images = selection.open_at(config.image_size)
    layer, head = min(values["layer"], config.layers), values["head"]
    if head and head > config.heads:
        head = None
    if values["method"] in ("rollout", "relevance"):
        layer, head = config.layers, None  # they make no difference to it
    elif values["method"] == "gradcam":
        head = None  # nor does this
    elif layer != values["layer"] or head != values["head"]:
        name += f" (layer {layer}, " + (f"head {head})" if head else "average of the heads)")
    name = name.strip()
    grid = library.explanation(
        run, images, index, values["method"], layer - 1, None if head is None else head - 1
    )
    known = run.fingerprint == selection.run.fingerprint and images is selection.images
    said, at = (selection.verdicts, index) if known else (library.verdict(run, images, index), 0)
    note = views.verdict_note(said, at, run.classes)
    return Compared(letter, name, images.images[index], grid, note, views.is_right(said, at))


def _of_epoch(selection: Selection, values: dict, letter: str, name: str) -> Compared:
    run, head = values["model"], values["head"]
    epoch = kept_frame(run.replay, values["epoch"]) or int(run.replay["epoch"][0])
    if epoch != values["epoch"]:
        name += f" (epoch {epoch})"
    fixed = _fixed_pictures(selection, run)
    if values["picture"] not in fixed:
        raise InputError(
            f"The {values['picture']} of {run.name} is of images that are not chosen; choose a "
            "scene, or another picture for each column."
        )
    source, place = fixed[values["picture"]]
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
    return Compared(letter, name, images.images[index], grid, note, views.is_right(said, 0))


def _fixed_pictures(selection: Selection, run: Run) -> dict[str, tuple[str, int]]:
    """Source and place of a run's fixed images by their names, as far as their pixels are here."""
    found = {}
    for source in ("samples", "test"):
        if fixed_images(selection, run, source):
            names = picture_names(source, (run.replay["source"] == source).sum())
            found |= {name: (source, i) for i, name in enumerate(names)}
    return found
