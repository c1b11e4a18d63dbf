"""How many of a set's images some long work goes through; fewer are drawn at random."""

import streamlit as st

from core.data import ImageSet
from ui import links


def choose(images: ImageSet, key: str, sizes: tuple[int, ...]) -> ImageSet:
    """A part of a set, or all of it; there is a choice where the set has more than the sizes."""
    offered = [size for size in sizes if size < len(images)] + [len(images)]
    count = offered[0]
    if len(offered) > 1:
        links.fit_options(key, offered, count)
        count = st.segmented_control(
            "On how many images",
            offered,
            default=count,
            required=True,
            key=key,
            bind="query-params",
            format_func=lambda size: f"{size:,}",
            help="Fewer are drawn at random, the same every time.",
        )
    return _sample(images.fingerprint, count, images)


@st.cache_resource(max_entries=8, show_spinner=False)
def _sample(fingerprint: str, count: int, _images: ImageSet) -> ImageSet:
    return _images.sample(count)  # which reads and hashes them all
