"""Where the masks of the objects are known: how much of each map lies on them."""

import numpy as np
import streamlit as st

from core.checkpoint import Run
from core.data import ImageSet
from core.faithfulness import on_object
from core.figures import evidence
from core.intervals import mean_interval
from ui import library, links, words
from ui.show import show_chart, side_by_side
from ui.sidebar import Selection


def show(selection: Selection) -> None:
    """Attention of every layer and head, against what an even map would have on the objects."""
    config, masks = selection.run.model.config, selection.images.masks
    st.header("Does attention lie on the object?")
    links.fit_last("layer", config.layers)
    layer = config.layers
    if layer > 1:
        layer = st.slider("Layer", 1, layer, layer, key="layer", bind="query-params", width=260)
    heads, averages = _scores(
        (selection.run.fingerprint, selection.images.fingerprint), selection.run, selection.images
    )
    even = float(masks.mean())
    left, right = side_by_side()
    with left:
        figure = evidence.object_by_depth([mean for mean, _, _ in (heads, averages)], even)
        show_chart(
            figure,
            "trust_object_layers",
            alt=f"{figure.title}, of {config.layers} × {config.heads} heads, by layer",
            note=words.TRUST["object"],
        )
    with right:
        of_layer = [
            np.concatenate([[average[layer - 1]], head[layer - 1]])
            for head, average in zip(heads, averages)
        ]
        figure = evidence.object_by_head(layer, of_layer, even)
        show_chart(
            figure,
            "trust_object_heads",
            alt=f"{figure.title}: means and 95 % intervals",
            note=f"Over {len(masks):,} pictures; the bars are 95 % bootstrap intervals.",
        )


@st.cache_resource(max_entries=16, show_spinner="Looking for the objects …")
def _scores(key, _run: Run, _images: ImageSet):
    """Mean, low and high, of every head (L, H) each, and of the heads' averages (L,) each."""
    rows = library.extraction(_run, _images).cls_rows.astype(np.float32)
    maps = np.moveaxis(rows, 0, 2).reshape(*rows.shape[1:3], len(rows), *_run.model.config.grid)
    heads = mean_interval(on_object(maps, _images.masks))
    return heads, mean_interval(on_object(maps.mean(axis=1), _images.masks))
