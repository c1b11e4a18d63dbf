import json
from collections.abc import Callable
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest
from tiny_runs import make_tiny_runs

from core.checkpoint import Run, load_run
from ui import settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def runs(tmp_path_factory, cache) -> Path:
    """A folder of two run folders, `elsewhere` and `tiny`."""
    return make_tiny_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def tiny(runs) -> Run:
    return load_run(runs / "tiny")


@pytest.fixture(scope="session")
def elsewhere(runs) -> Run:
    return load_run(runs / "elsewhere")


@pytest.fixture
def start(runs, monkeypatch, tmp_path) -> Callable[..., AppTest]:
    """Open a page as a deep link does on a fresh server, with the tiny runs and no shipped one."""

    def start(
        name: str,
        model: str | None = "tiny",
        /,
        *,
        checkpoints: Path | None = runs,
        data: Path | None = None,
        **query,
    ) -> AppTest:
        monkeypatch.setattr(settings, "SHIPPED", tmp_path / "none shipped")
        monkeypatch.setenv("VITASCOPE_CHECKPOINTS", str(checkpoints or ""))
        monkeypatch.setenv("VITASCOPE_DATA", str(data or ""))
        settings.settings.cache_clear()
        st.cache_data.clear()
        st.cache_resource.clear()
        at = AppTest.from_file(str(ROOT / "dashboard.py"), default_timeout=60)
        for parameter, value in {"model": model, **query}.items():
            if value is not None:
                at.query_params[parameter] = value
        return go(at, name)

    yield start
    settings.settings.cache_clear()
    st.cache_data.clear()


def go(at: AppTest, page: str) -> AppTest:
    return at.switch_page(f"pages/{page}.py").run()


def panels(at: AppTest, key: str) -> list[dict]:
    """What the panels of a figure say: caption, note, verdict, and cells where it is a map."""
    return panels_of(at, key)["panels"]


def panels_of(at: AppTest, key: str) -> dict:
    """All that the panel component `key` was sent."""
    (found,) = [e for e in at.get("bidi_component") if e.proto.id.endswith(f"-{key}")]
    return json.loads(found.proto.json)


def chart(at: AppTest, key: str) -> list[dict]:
    """The traces of a plotly chart."""
    (found,) = [e for e in at.get("plotly_chart") if e.proto.id.endswith(f"-{key}")]
    return json.loads(found.proto.spec)["data"]


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
