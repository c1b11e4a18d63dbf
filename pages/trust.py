"""Trust: which of the maps says what the model depends on, measured over many images."""

import pandas as pd
import streamlit as st

from core.checkpoint import FAITHFULNESS
from core.faithfulness import read_table
from core.figures import evidence
from ui import links, on_object, shell, trials, words
from ui.show import show_chart
from ui.sidebar import Selection


def render(selection: Selection) -> None:
    st.title("Which map should you trust?")
    st.markdown(
        "Every method draws a convincing map. Here each is put to the test on many images: does "
        "the answer change when the patches go that it shows, and sooner than in a random order?"
    )
    with st.expander("How to read this", icon=":material/menu_book:"):
        st.markdown(words.READ_TRUST)
    table = _choose_table(selection)
    if table is not None:
        _show(table)
    if selection.images.masks is not None:
        on_object.show(selection)


def _choose_table(selection: Selection) -> pd.DataFrame | None:
    """What came with the model, or what is measured here; None until it is."""
    brought = read_table(selection.run.path / FAITHFULNESS)
    here = "these images"
    options = [here] if brought is None else [brought["images"].iloc[0], here]
    links.fit_options("trial", options, options[0])
    choice = options[0]
    if len(options) > 1:
        choice = st.segmented_control(
            "Measured on",
            options,
            default=choice,
            required=True,
            key="trial",
            bind="query-params",
            help="What came with the model, or the sidebar's images, whatever its filters.",
        )
    return trials.table(selection) if choice == here else brought


def _show(table: pd.DataFrame) -> None:
    grid = st.grid(2, min_column_width=440, gap="large")
    for name in table["measure"].unique():
        figure = evidence.trust(table, name)
        with grid.cell():
            show_chart(
                figure,
                f"trust_{name}",
                alt=f"{figure.title}: means and 95 % intervals of {len(figure.names)} maps",
                note=words.TRUST[name],
            )
    st.markdown("**All numbers**, mean [95 % interval]")
    st.dataframe(evidence.trust_table(table))


shell.page(render)
