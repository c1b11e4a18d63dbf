"""Overview: what the model looks at, in one picture a class; who it is; how it sees."""

import streamlit as st

from core import evaluate
from core.figures import views
from ui import links, navigation, pictures, shell
from ui.show import show_panels, side_by_side
from ui.sidebar import Selection


def render(selection: Selection) -> None:
    st.title("What does this model look at?")
    st.markdown(
        "A Vision Transformer cuts a picture into patches and lets a token called **CLS** gather "
        "what it needs from them. Below, one picture a class: the picture, how much attention CLS "
        "pays each patch in the last layer (mean of its heads), and the picture brightened there. "
        "*What it focuses on is for you to say. Click a picture to look closer.*"
    )
    if pictures.some_left(selection):
        _pictures(selection)
    card, tokens = side_by_side()
    with card:
        _card(selection)
    with tokens:
        _tokens(selection)
    st.header("Where to go next")
    with st.container(horizontal=True):
        for name, icon, about in navigation.NAVIGATION[1:]:
            st.page_link(
                navigation.path_of(name), label=f"**{name.capitalize()}**: {about}", icon=icon
            )


def _pictures(selection: Selection) -> None:
    chosen = pictures.one_a_class(selection)
    figure = views.triplets(
        f"Picture → attention → amplified ({selection.images.name})",
        selection.images.images,
        selection.verdicts,
        selection.run.classes,
        chosen,
        pictures.last_layer_maps(selection, chosen),
    )
    show_panels(
        figure,
        "overview_pictures",
        width=96,
        group=3,
        keep_place=True,
        on_click=lambda panel: navigation.open_image(chosen[panel // 3]),
    )


def _card(selection: Selection) -> None:
    run = selection.run
    st.header(f"The model: {links.plain(run.name)}")
    config = run.model.config
    with st.container(horizontal=True):
        if results := evaluate.test_results(run):
            tested_on = f"of {len(results[0]):,} images: {run.test_set.get('name', 'its test set')}"
            st.metric("Test accuracy", f"{evaluate.accuracy(*results):.1%}", help=tested_on)
        st.metric("Parameters", f"{run.model.parameter_count / 1e6:.1f} M")
        if run.kept_epoch:
            st.metric("Kept epoch", f"{run.kept_epoch} of {len(run.history)}")
        st.metric("Layers × heads", f"{config.layers} × {config.heads}")
    if run.card:
        with st.expander("Model card", icon=":material/description:"):
            st.markdown(run.card)


def _tokens(selection: Selection) -> None:
    index = selection.indices[0] if len(selection.indices) else 0
    config = selection.run.model.config
    gh, gw = config.grid
    values = config.patch_size**2 * config.channels
    st.header(f"How an image becomes {gh * gw} tokens")
    show_panels(
        views.patches(selection.images.images[index], config.grid),
        "overview_patches",
        width=max(16, 256 // gw),
        columns=gw,
    )
    st.markdown(
        f"1. The picture is cut into **{gh} × {gw} patches** of {config.patch_size} × "
        f"{config.patch_size} pixels, {values} numbers each.\n"
        f"2. One linear layer turns each patch into a **token** of {config.width} numbers, and "
        "adds where the patch lies.\n"
        f"3. The **CLS token** joins them: {config.tokens} tokens.\n"
        f"4. In each of {config.layers} layers every token looks at all tokens, {config.heads} "
        "times at once (the heads). *How much it looks at each is the attention you see here.*\n"
        f"5. After the last layer, CLS alone decides between {len(selection.run.classes)} classes."
    )


shell.page(render)
