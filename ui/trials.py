"""Every map put to the test on the sidebar's images, in the background."""

import pandas as pd
import streamlit as st

from core.faithfulness import MAPS, measure, summary
from ui import jobs, some_images
from ui.sidebar import Selection

SIZES = (200, 1000)


def table(selection: Selection) -> pd.DataFrame | None:
    """What was measured on as many of the images as are wanted; None until it is."""
    run, images = selection.run, selection.images
    sample = some_images.choose(images, "trials", SIZES)
    found = jobs.result(
        "The table",
        (run.fingerprint, sample.fingerprint, MAPS),
        lambda progress: measure(run.model, sample, progress=progress),
        label=f"Put the maps to the test on {len(sample):,} images",
        total=len(sample),
    )
    if found is None:
        return None
    return _summary((run.fingerprint, sample.fingerprint), found, sample.name)


@st.cache_resource(max_entries=16, show_spinner="Drawing the intervals …")
def _summary(key, _found, name: str) -> pd.DataFrame:
    return summary(_found, name)
