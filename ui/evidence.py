"""Maps of one image by every method, and what the model says when they are put to the test."""

import numpy as np
import streamlit as st

from core.explain import METHODS, OF_ATTENTION
from core.faithfulness import area, on_object, pictures_at
from core.figures import evidence
from core.occlusion import rank_correlation
from ui import display, library, links, words
from ui.display import Display
from ui.one_map import PREDICTED, OneMap
from ui.show import show_chart, show_panels, side_by_side
from ui.sidebar import Selection

NOBODY = "no other"
# random orders that a curve is held against: fewer where a picture has many patches to take away
ORDERS, OF_MANY = 10, 4
MANY = 36


def show(selection: Selection, index: int, one: OneMap, look: Display) -> None:
    """The maps side by side, occlusion, and the curves of deletion and insertion."""
    run = selection.run
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        shared = display.one_scale("Colours of the maps")
        versus = _choose_versus(run.classes, one)
    targets = [one.target] + ([] if versus is None else [run.classes.index(versus)])
    with st.spinner("Asking the model …", show_time=True):
        _show_maps(selection, index, one, targets, look, shared)
        predicted = int(selection.verdicts.predicted[index])
        maps = _maps(selection, index, one, [predicted])
        by_method = {method: grid for (method, _), grid in maps.items()}
        _show_curves(selection, index, one, by_method, run.classes[predicted])
    with st.expander("How to read this", icon=":material/menu_book:"):
        st.markdown(words.READ_METHODS)


def _choose_versus(classes: tuple[str, ...], one: OneMap) -> str | None:
    others = [NOBODY, *(name for name in classes if name != one.class_name)]
    links.fit_options("versus", others, NOBODY)
    versus = st.selectbox(
        "Beside it",
        others,
        key="versus",
        bind="query-params",
        width=170,
        help=f"Why {links.plain(one.class_name)}? Why not another class? Its maps come beside.",
    )
    return None if versus == NOBODY else versus


def _maps(
    selection: Selection, index: int, one: OneMap, targets: list[int]
) -> dict[tuple[str, int | None], np.ndarray]:
    """Maps (gh, gw) by method and class; attention and rollout know no class."""
    wanted = [(method, None) for method in OF_ATTENTION]
    wanted += [(method, of) for of in targets for method in METHODS if method not in OF_ATTENTION]
    head = None if one.head is None else one.head - 1
    return {
        (method, of): library.explanation(
            selection.run,
            selection.images,
            index,
            method,
            one.layer - 1,
            head,
            of,
            **one.rollout,
        )
        for method, of in wanted
    }


def _show_maps(
    selection: Selection,
    index: int,
    one: OneMap,
    targets: list[int],
    look: Display,
    shared: bool,
) -> None:
    run, images = selection.run, selection.images
    found = _maps(selection, index, one, targets)
    drops = {of: library.occluded(run, images, index, of) for of in targets}
    names = {
        (method, of): method if of is None or len(targets) == 1 else f"{method}, {run.classes[of]}"
        for method, of in found
    }
    notes = {}
    for (method, of), grid in found.items():
        against = drops[targets[0] if of is None else of]
        rank = rank_correlation(grid[None], against[None])[0]
        notes[names[method, of]] = "ρ –" if np.isnan(rank) else f"ρ {rank:+.2f}"
        if images.masks is not None:
            share = on_object(grid[None], images.masks[index : index + 1])[0]
            notes[names[method, of]] += f" · {share:.0%} on the object"
    classes = " and ".join(run.classes[of] for of in targets)
    figure = evidence.method_maps(
        f"Maps by each method; relevance and Grad-CAM for {classes} ({one.whose})",
        {names[key]: grid for key, grid in found.items()},
        images.images[index],
        shared=shared,
        gain=look.gain,
        resize=look.resize,
        colors=look.colors,
        notes=notes,
    )
    keys = list(found)

    def choose(panel: int) -> None:
        method, of = keys[panel // 2]
        st.session_state["method"] = method
        if of is not None:
            predicted = int(selection.verdicts.predicted[index])
            st.session_state["target"] = PREDICTED if of == predicted else run.classes[of]
            if of != targets[0]:  # the two change places
                st.session_state["versus"] = run.classes[targets[0]]

    note = words.SIDE_BY_SIDE
    if images.masks is not None:
        share = images.masks[index].mean()
        note += f" The object covers {share:.0%} of the picture, which an even map would get."
    show_panels(
        figure,
        "attention_methods",
        width=140,
        group=2,
        on_click=choose,
        selected=next((2 * i for i, (method, _) in enumerate(keys) if method == one.method), None),
        note=note,
        hint="Click one to see it above, with its steps.",
    )
    most = max(float(np.abs(drop).max()) for drop in drops.values())
    cells = side_by_side() if len(targets) > 1 else (st.container(),)
    for cell, of in zip(cells, targets):
        name = run.classes[of]
        with cell:
            show_panels(
                evidence.occlusion_map(
                    f"What covering a patch costs {name}",
                    drops[of],
                    images.images[index],
                    name,
                    most,
                ),
                f"attention_occlusion_{of}" if of != targets[0] else "attention_occlusion",
                width=200,
                note=words.OCCLUSION.format(of=name),
            )


def _show_curves(
    selection: Selection,
    index: int,
    one: OneMap,
    maps: dict[str, np.ndarray],
    predicted: str,
) -> None:
    run, images = selection.run, selection.images
    names, grids = list(maps), np.stack(list(maps.values()))
    patches = grids[0].size
    scores = library.curves(run, images, index, grids)  # (k, n + 1) twice
    at_random = library.random_curves(run, images, index, OF_MANY if patches > MANY else ORDERS)
    links.fit("step", 0, patches)
    st.session_state.setdefault("step", patches // 4)

    def choose(point: tuple[int, int]) -> None:
        line, step = point
        st.session_state["step"] = int(step)
        if line < len(names):
            st.session_state["method"] = names[line]

    places = side_by_side()
    for place, name, values, chance, note in zip(
        places,
        ("deletion", "insertion"),
        scores,
        at_random,
        (words.DELETION, words.INSERTION),
    ):
        areas = {**dict(zip(names, area(values))), "random": area(chance).mean()}
        figure = evidence.curves(
            f"{name.capitalize()}: probability of {predicted}",
            dict(zip(names, values)),
            chance,
            areas,
        )
        with place:
            show_chart(
                figure,
                f"attention_{name}",
                alt=f"{name.capitalize()} curves of {len(names)} maps, beside random orders",
                note=note,
                on_click=choose,
            )
    step = st.slider(
        "Patches gone, or back",
        0,
        patches,
        key="step",
        bind="query-params",
        help="Or click a point of a curve.",
    )
    grid = maps[one.method]
    gone, back = pictures_at(images.images[index], grid, step, library.color_of(images))
    at = names.index(one.method)
    figure = evidence.on_the_way(
        f"What the model sees by {one.method}, {step} of {patches} patches on",
        {
            f"deletion, {step} gone": (gone, float(scores[0][at, step])),
            f"insertion, {step} back": (back, float(scores[1][at, step])),
        },
        images.images.shape[1:3],
    )
    show_panels(
        figure,
        "attention_on_the_way",
        width=200,
        group=2,
        note=f"Below: probability of {predicted}.",
    )
