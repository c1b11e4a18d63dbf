"""Every map put to the test on the sidebar's images, in the background."""

import pandas as pd
import streamlit as st

from core.faithfulness import MAPS, measure, summary
from ui import jobs, links
from ui.sidebar import Selection

SIZES = (200, 1000)


def table(selection: Selection) -> pd.DataFrame | None:
    """What was measured on as many of the images as are wanted; None until it is."""
    run, images = selection.run, selection.images
    sizes = [size for size in SIZES if size < len(images)] + [len(images)]
    count = sizes[0]
    if len(sizes) > 1:
        links.fit_options("trials", sizes, sizes[0])
        count = st.segmented_control(
            "On how many images",
            sizes,
            default=sizes[0],
            required=True,
            key="trials",
            bind="query-params",
            format_func=lambda size: f"{size:,}",
            help="Fewer are drawn at random, the same every time.",
        )
    sample = images.sample(count)
    found = jobs.result(
        "The table",
        (run.fingerprint, sample.fingerprint, MAPS),
        lambda progress: measure(run.model, sample, progress=progress),
        label=f"Put the maps to the test on {count:,} images",
        total=count,
    )
    if found is None:
        return None
    return _summary((run.fingerprint, sample.fingerprint), found, sample.name)


@st.cache_resource(max_entries=16, show_spinner="Drawing the intervals …")
def _summary(key, _found, name: str) -> pd.DataFrame:
    return summary(_found, name)
