from collections.abc import Callable
from pathlib import Path

import pytest
import streamlit as st
from reading import ROOT, go
from streamlit.testing.v1 import AppTest
from tiny_runs import make_tiny_runs

from core.checkpoint import Run, load_run
from ui import settings


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
