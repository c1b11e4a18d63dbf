"""Which map of an image a page is about: method, layer, head, token that looks, class explained."""

from dataclasses import dataclass

import streamlit as st

from core.attention import token_names
from core.checkpoint import Run
from core.explain import FUSIONS, METHODS, OF_ATTENTION
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
        rollout: how rollout goes, as keywords of `core.explain.rollout`.
    """

    method: str
    layer: int
    head: int | None
    query: int
    target: int
    class_name: str
    rollout: dict

    @property
    def is_attention(self) -> bool:
        return self.method == "attention"

    def title(self, config: ViTConfig) -> str:
        if self.method == "rollout":
            first, left_out = self.rollout["first_layer"] + 1, self.rollout["discard_ratio"]
            words_of = f"layers {first} to {config.layers}, {self.rollout['fusion']} of the heads"
            if left_out:
                words_of += f", without the smallest {left_out:.0%}"
            return f"Attention rollout ({words_of})"
        return {
            "attention": f"Where {self.token(config)} looks ({self.whose})",
            "relevance": f"Gradient relevance (all layers) for {self.class_name}",
            "gradcam": f"Grad-CAM (layer {self.layer}) for {self.class_name}",
        }[self.method]

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
    return OneMap(
        method, layer, head, tokens.index(query), of, run.classes[of], _choose_rollout(config)
    )


def _choose_rollout(config: ViTConfig) -> dict:
    """How rollout goes, also where it stands beside the chosen map."""
    links.fit("first_layer", 1, config.layers)
    with st.popover("Rollout", icon=":material/layers:"):
        fusion = st.segmented_control(
            "Heads are fused by their",
            FUSIONS,
            default=FUSIONS[0],
            required=True,
            key="fusion",
            bind="query-params",
        )
        first = 1
        if config.layers > 1:
            first = st.slider(
                "From layer", 1, config.layers, 1, key="first_layer", bind="query-params"
            )
        discard = st.slider(
            "Smallest weights left out",
            0.0,
            0.9,
            0.0,
            0.1,
            key="discard",
            bind="query-params",
            help="This share of each layer's weights between patches becomes 0.",
        )
    return {"fusion": fusion, "first_layer": first - 1, "discard_ratio": discard}
