"""Which map of an image a page is about: method, layer, head, token that looks, class explained."""

from dataclasses import dataclass

import streamlit as st

from core.attention import token_names
from core.checkpoint import Run
from core.explain import METHODS, OF_ATTENTION
from core.figures.evidence import map_name
from core.model import ViTConfig
from ui import links, words

PREDICTED = "the prediction"


@dataclass(frozen=True)
class OneMap:
    """What was chosen.

    Attributes:
        method: one of `core.explain.METHODS`.
        layer: counted from 1.
        head: counted from 1; None is their average.
        query: the token that looks, counted from 0, CLS.
        target: the class that relevance and Grad-CAM explain.
        class_name: of the target.
    """

    method: str
    layer: int
    head: int | None
    query: int
    target: int
    class_name: str

    @property
    def is_attention(self) -> bool:
        return self.method == "attention"

    def title(self, config: ViTConfig) -> str:
        if not self.is_attention:
            return map_name(self.method, self.layer, self.head, self.class_name)
        return f"Where {self.token(config)} looks ({self.whose})"

    def token(self, config: ViTConfig) -> str:
        return token_names(config)[self.query]

    @property
    def whose(self) -> str:
        heads = "average of the heads" if self.head is None else f"head {self.head}"
        return f"layer {self.layer}, {heads}"

    def note(self, config: ViTConfig) -> str:
        return words.MAPS[self.method].format(token=self.token(config), of=self.class_name)


def choose(run: Run, predicted: int) -> OneMap:
    """Draw the choices, in the row that is open.

    Args:
        predicted: the class that the model predicts.
    """
    config, tokens = run.model.config, token_names(run.model.config)
    heads = ["average", *range(1, config.heads + 1)]
    targets = [PREDICTED, *run.classes]
    # another model may have more or fewer
    links.fit_last("layer", config.layers)
    links.fit_options("head", heads, heads[0])
    links.fit_options("query", tokens, tokens[0])
    links.fit_options("target", targets, targets[0])
    method = st.segmented_control(
        "Map",
        METHODS,
        default=METHODS[0],
        required=True,
        key="method",
        bind="query-params",
        help="Attention: one layer. Rollout: all layers multiplied. Relevance: all layers, "
        "weighted by a class's gradient. Grad-CAM: one layer's features, weighted by it.",
    )
    layer = config.layers
    if layer > 1:
        layer = st.slider("Layer", 1, layer, layer, key="layer", bind="query-params", width=260)
    head = st.segmented_control(
        "Head", heads, default="average", required=True, key="head", bind="query-params"
    )
    query = st.selectbox(
        "Looks from",
        tokens,
        key="query",
        bind="query-params",
        width=150,
        disabled=method != "attention",
        help="The token whose attention is shown. CLS is the one that decides in the end.",
    )
    closer = st.session_state.get("closer", st.query_params.get("closer"))  # drawn further down
    target = st.selectbox(
        "Explains",
        targets,
        key="target",
        bind="query-params",
        width=170,
        disabled=method in OF_ATTENTION and closer != "methods",
        help="The class that relevance, Grad-CAM and occlusion are for; attention and rollout know "
        "none.",
    )
    of = predicted if target == PREDICTED else run.classes.index(target)
    head = None if head == "average" else head
    return OneMap(method, layer, head, tokens.index(query), of, run.classes[of])
