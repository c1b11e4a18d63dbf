"""Other images that have something in common with the one that is shown, a click away."""

import streamlit as st

from core.figures import views
from core.selection import most_similar, same_answer, same_class
from ui.show import show_panels
from ui.sidebar import Selection

SHOWN = 24


def show(selection: Selection, index: int, layer: int, head: int | None) -> None:
    """Thumbnails of images like one; `layer` and `head` (None: average) are of the map compared."""
    kind = st.segmented_control(
        "Other images",
        ["same answer", "same class", "similar map"],
        default="same answer",
        required=True,
        key="others",
        bind="query-params",
        help="Same answer: of the same class, and taken for the same. Similar map: CLS looks at "
        "the same places (cosine, in the layer and head chosen above).",
    )
    columns = selection.verdicts
    if kind == "similar map":
        rows = selection.cls_rows[:, layer - 1]  # (N, H, gh*gw)
        maps = rows.mean(axis=1, dtype="float32") if head is None else rows[:, head - 1]
        others = most_similar(maps, index, SHOWN)
        title = f"The {len(others)} images where CLS looks most alike"
    else:
        found = (same_answer if kind == "same answer" else same_class)(columns, index)
        others = found[:SHOWN]
        title = f"{len(found):,} other images with the {kind}"
        if len(found) > SHOWN:
            title += f", the first {SHOWN}"
    if not len(others):
        st.caption(f"No other image here has the {kind}.")
        return
    classes = selection.run.classes
    figure = views.gallery(title, selection.images.images, columns, classes, others)

    def choose(panel: int) -> None:
        st.session_state["index"] = int(others[panel])

    show_panels(figure, "attention_others", width=96, on_click=choose)
