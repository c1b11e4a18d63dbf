"""What a page holds, read from the tree of elements that AppTest makes of it."""

import json
from base64 import b64decode
from pathlib import Path

import numpy as np
from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).parents[2]


def go(at: AppTest, page: str) -> AppTest:
    return at.switch_page(f"pages/{page}.py").run()


def panels(at: AppTest, key: str) -> list[dict]:
    """What the panels of a figure say: caption, note, verdict, and cells where it is a map."""
    return panels_of(at, key)["panels"]


def panels_of(at: AppTest, key: str) -> dict:
    """All that the component `key` was sent, of panels or of bars."""
    (found,) = [e for e in at.get("bidi_component") if e.proto.id.endswith(f"-{key}")]
    return json.loads(found.proto.json)


def component_keys(at: AppTest) -> set[str]:
    """The keys of the components on a page and in its sidebar: figures of panels, address."""
    return {element.key for element in at.get("bidi_component")}


def hovers(panel: dict) -> list[str]:
    """The values of a map as they are told over its cells."""
    return [f"{value:.4f}" for value in panel["values"]]


def numbers(panel: dict) -> list[str]:
    """The values of a map as they are written into its cells."""
    assert len(panel["cells"]) == len(panel["values"])
    return [f"{value:.3f}" for value in panel["values"]]


def chart(at: AppTest, key: str) -> list[dict]:
    """The traces of a plotly chart, arrays as lists."""
    (found,) = [e for e in at.get("plotly_chart") if e.proto.id.endswith(f"-{key}")]
    return json.loads(found.proto.spec, object_hook=_array)["data"]


def _array(found: dict):
    """What plotly sends as base64, as a list."""
    if "bdata" not in found:
        return found
    values = np.frombuffer(b64decode(found["bdata"]), found["dtype"])
    shape = [int(side) for side in str(found.get("shape", len(values))).split(",")]
    return values.reshape(shape).tolist()


def complaints(at: AppTest) -> list[str]:
    """What the page warns of, each in one sentence for people."""
    found = [e.value for e in [*at.sidebar, *at.main] if e.type in ("warning", "error", "info")]
    for text in found:
        assert text.endswith(".")
        assert "\n" not in text
        assert "Error" not in text
    return found


def complaint(at: AppTest) -> str:
    """The one thing the page warns of."""
    (text,) = complaints(at)
    return text
