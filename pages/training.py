"""Training: how the model became what it is, and what it looked at on the way."""

import streamlit as st

from core.checkpoint import Run
from core.figures import views
from ui import library, shell
from ui.show import show_chart, show_panels, side_by_side
from ui.sidebar import Selection

SECONDS_AN_EPOCH = 0.6  # while it plays


def render(selection: Selection) -> None:
    st.title("How did it learn?")
    st.markdown(
        "Training loss falls as long as the model learns its training images by heart; validation "
        "loss tells when it stops learning anything general. *The weights that are kept are those "
        "of the epoch with the lowest validation loss" + _keep_from(selection.run) + ".*"
    )
    run = selection.run
    if run.history.empty:
        st.info(f"{run.name} brings no history: it was imported, or its first epoch is not over.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
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
        if run.recipe.get("name") == "tutorial":
            published = st.toggle(
                "The tutorial's published losses", value=True, key="published", bind="query-params"
            )
    playing = st.session_state.get("playing") == run.name
    with st.container():
        if playing:
            st.button("Pause", icon=":material/pause:", on_click=_pause)
        else:
            st.button("Play", icon=":material/play_arrow:", on_click=_start, args=(run,))
    # a fragment of its own, so that playing runs nothing else anew
    fragment = st.fragment(_show_epoch, run_every=SECONDS_AN_EPOCH if playing else None)
    fragment(selection, smoothing, published, playing)


def _show_epoch(selection: Selection, smoothing: float, published: bool, playing: bool) -> None:
    run = selection.run
    epoch = _choose_epoch(run, playing)
    row = run.history[run.history["epoch"] == epoch].iloc[0]
    with st.container(horizontal=True):
        st.metric("Training loss", f"{row['train_loss']:.4f}")
        st.metric("Validation loss", f"{row['val_loss']:.4f}")
        st.metric("Training accuracy", f"{row['train_acc']:.1%}")
        st.metric("Validation accuracy", f"{row['val_acc']:.1%}")
        st.metric("Speed", f"{row['images_per_second']:,.0f} images/s")
    left, right = side_by_side()
    with left:
        figure = views.curves([run], "loss", smoothing, published, epoch)
        show_chart(figure, "training_loss", alt=f"Loss by epoch, kept epoch {run.kept_epoch}")
    with right:
        figure = views.curves([run], "acc", smoothing, epoch=epoch)
        show_chart(figure, "training_accuracy", alt="Accuracy by epoch")
    if run.replay is not None and epoch in run.replay["epoch"]:
        _show_replay(selection, epoch)


def _choose_epoch(run: Run, playing: bool) -> int:
    """A slider; while the run plays, every call is the next epoch."""
    first, last = int(run.history["epoch"].iloc[0]), int(run.history["epoch"].iloc[-1])
    state = st.session_state
    epoch = min(max(state.get("epoch", run.kept_epoch), first), last)
    if playing:
        if epoch == last or not state.get("playing"):
            _pause()
            st.rerun()  # the whole page, which stops the fragment's clock
        epoch += 1
    state["epoch"] = epoch
    if first < last:
        st.slider(f"Epoch, of {last}", first, last, key="epoch", on_change=_pause)
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


def _show_replay(selection: Selection, epoch: int) -> None:
    """The fixed images, as far as their pixels are here."""
    run = selection.run
    method = st.segmented_control(
        "Map",
        ["attention", "rollout"],
        default="attention",
        required=True,
        key="replay",
        help="Attention: the last layer, mean of its heads. Rollout: all layers multiplied.",
    )
    size = run.model.config.image_size
    sets = {"samples": library.open_images("samples", size)}
    if library.is_test_set(run, selection.images):
        sets["test"] = selection.images
    for source, images in sets.items():
        index = run.replay["index"][run.replay["source"] == source]
        labels = images.labels_in(run.classes)[index]
        figure = views.replay_maps(run, epoch, source, images.images[index], labels, method)
        show_panels(figure, f"training_replay_{source}", width=72, group=2)
    if "test" not in sets:
        name = run.test_set.get("name", "the test set")
        st.caption(f"The other fixed images are of {name}; they show when it is chosen as Images.")


shell.page(render)
