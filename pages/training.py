"""Training: how the model became what it is, what it looked at on the way, beside other runs."""

import streamlit as st

from core.checkpoint import Run
from core.errors import VitascopeError
from core.figures import views
from core.resume import training_state
from ui import commands, library, links, replay, shell
from ui.show import show_chart, side_by_side
from ui.sidebar import Selection

SECONDS_AN_EPOCH = 0.6  # while it plays
SECONDS_A_LOOK = 3  # at the folder of a run that is still going
BESIDE = 3  # runs that can be told apart beside the chosen one


def render(selection: Selection) -> None:
    st.title("How did it learn?")
    st.markdown(
        "Training loss falls as long as the model learns its training images by heart; validation "
        "loss tells when it stops learning anything general. *The weights that are kept are those "
        "of the epoch with the lowest validation loss" + _keep_from(selection.run) + ".*"
    )
    # a fragment, so that what is chosen here does not look at all images of the sidebar again
    st.fragment(_show_page)(selection)


def _show_page(selection: Selection) -> None:
    run = library.newest(selection.run)
    if run.history.empty:
        going = training_state(run) == "going"
        st.fragment(_wait, run_every=SECONDS_A_LOOK if going else None)(run, going)
    else:
        others = _choose_others(run)
        options = _choose_curves(run)
        playing = st.session_state.get("playing") == run.name
        with st.container():
            if playing:
                st.button("Pause", icon=":material/pause:", on_click=_pause)
            else:
                st.button("Play", icon=":material/play_arrow:", on_click=_start, args=(run,))
        going = any(training_state(one) == "going" for one in (run, *others))
        every = SECONDS_AN_EPOCH if playing else SECONDS_A_LOOK if going else None
        # within the fragment another one, so that its clock runs nothing else anew
        st.fragment(_show_epoch, run_every=every)(
            selection, [run, *others], options, playing, going
        )
    commands.show(run, training_state(run))


def _wait(run: Run, going: bool) -> None:
    """For the first epoch of a run, if it is going to come."""
    if not library.newest(run).history.empty:
        st.rerun()
    if going:
        st.info(f"{run.name} is in its first epoch; its curves begin here once that is over.")
    else:
        st.info(f"{run.name} brings no history: it was imported, or stopped in its first epoch.")


def _choose_others(run: Run) -> list[Run]:
    named = library.runs_by_name()
    paths = {name: path for name, path in named.items() if path != run.path}
    if not paths:
        return []
    names = st.multiselect(
        "Beside it",
        list(paths),
        key="beside",
        bind="query-params",
        max_selections=BESIDE,
        placeholder="other runs",
        help="Their curves in the same charts, and what the same images looked like to them.",
    )
    others = []
    for name in names:
        try:
            others.append(library.open_run(paths[name], name))
        except VitascopeError as error:
            st.warning(str(error), icon=":material/broken_image:")
    for other in others:
        if other.history.empty:
            st.caption(f"{other.name} brings no history to compare with.")
    return [other for other in others if not other.history.empty]


def _choose_curves(run: Run) -> dict:
    """What `views.curves` can be asked for."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        over = st.segmented_control(
            "Over",
            ["epochs", "minutes"],
            default="epochs",
            required=True,
            key="over",
            bind="query-params",
            help="Minutes of training, each run on the machine it was trained on: an epoch of one "
            "recipe may cost more than an epoch of another.",
        )
        smoothing = st.slider(
            "Smoothing",
            0.0,
            0.95,
            0.0,
            0.05,
            key="smoothing",
            bind="query-params",
            width=220,
            help="A moving average; the raw values stay visible underneath.",
        )
        published = False
        if run.recipe.get("name") == "tutorial" and over == "epochs":
            published = st.toggle(
                "The tutorial's published losses", value=True, key="published", bind="query-params"
            )
    return {"over": over, "smoothing": smoothing, "published": published}


def _show_epoch(
    selection: Selection, runs: list[Run], options: dict, playing: bool, going: bool
) -> None:
    runs = [library.newest(run) for run in runs]
    states = [training_state(run) for run in runs]
    if going and "going" not in states:
        st.rerun()  # the whole page, which stops this fragment's clock
    run = runs[0]
    epoch = _choose_epoch(run, playing, states[0] == "going")
    for one, state in zip(runs, states):
        if state == "going":
            of = one.recipe["epochs"]
            st.markdown(
                f":green-badge[:material/autorenew: training now] {one.name} has finished epoch "
                f"{len(one.history)} of {of}; this page follows it."
            )
    row = run.history[run.history["epoch"] == epoch].iloc[0]
    with st.container(horizontal=True):
        st.metric("Training loss", f"{row['train_loss']:.4f}")
        st.metric("Validation loss", f"{row['val_loss']:.4f}")
        st.metric("Training accuracy", f"{row['train_acc']:.1%}")
        st.metric("Validation accuracy", f"{row['val_acc']:.1%}")
        st.metric("Speed", f"{row['images_per_second']:,.0f} images/s")
    whose = " and ".join(run.name for run in runs)
    for place, what, words in zip(side_by_side(), ("loss", "acc"), ("loss", "accuracy")):
        with place:
            figure = views.curves(runs, what, epoch=epoch, **options)
            alt = f"{words.capitalize()} of {whose} over {options['over']}, kept: " + ", ".join(
                f"epoch {run.kept_epoch}" for run in runs
            )
            show_chart(figure, f"training_{words}", alt=alt)
    if notes := views.comparability(runs):
        st.caption(" ".join(notes))
    replay.show(selection, runs, epoch)


def _choose_epoch(run: Run, playing: bool, going: bool) -> int:
    """A slider; while the run plays, every call is the next epoch."""
    first, last = int(run.history["epoch"].iloc[0]), int(run.history["epoch"].iloc[-1])
    state = st.session_state
    default = last if going else run.kept_epoch
    linked = links.asked_number("epoch")
    epoch = state.get("epoch", default if linked is None else linked)
    if state.get("newest_epoch") == (run.path, epoch):
        epoch = last  # whoever stood at the newest follows it
    state["newest_epoch"] = run.path, last
    epoch = min(max(epoch, first), last)
    if playing:
        if epoch == last or not state.get("playing"):
            _pause()
            st.rerun()
        epoch += 1
    state["epoch"] = epoch
    if first < last:
        # while it plays, an address a step would fill the browser's history
        bind = None if playing else "query-params"
        epoch = st.slider(
            f"Epoch, of {last}",
            first,
            last,
            min(max(default, first), last),
            key="epoch",
            bind=bind,
            on_change=_pause,
        )
    return epoch


def _start(run: Run) -> None:
    """Play on from the chosen epoch, or from the beginning once the end is reached."""
    state = st.session_state
    state["playing"] = run.name
    if state.get("epoch", run.kept_epoch) >= run.history["epoch"].iloc[-1]:
        state["epoch"] = int(run.history["epoch"].iloc[0])


def _pause() -> None:
    st.session_state.pop("playing", None)


def _keep_from(run: Run) -> str:
    first = run.recipe.get("keep_from", 1)
    return f", from epoch {first} on" if first > 1 else ""


shell.page(render)
