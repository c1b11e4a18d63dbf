"""Heads: what each does over a whole set, what it costs to switch it off, and the embeddings."""

import streamlit as st

from ui import head_measures, knockout, pictures, shell, words
from ui.sidebar import Selection


def render(selection: Selection) -> None:
    st.title("What do the heads do?")
    st.markdown(
        f"Over the **{len(selection.indices):,}** images that the sidebar's filters leave: how far "
        "and how widely each head looks, and which images move it; filter by a class to see the "
        "heads on that class alone. Below, over all images: *what the answers lose without it.*"
    )
    if not pictures.some_left(selection):
        return
    with st.expander("How to read this", icon=":material/menu_book:"):
        st.markdown(words.READ_HEADS)
    head_measures.show(selection)
    knockout.show(selection)
    head_measures.show_embeddings(selection)


shell.page(render)
