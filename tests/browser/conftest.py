"""A real Chromium on a real server, started on a free port of this machine's loopback."""

import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, Playwright
from tiny_runs import make_live_run, make_tiny_runs
from waiting import PATIENCE, settled

from core.checkpoint import Run, load_run

ROOT = Path(__file__).parents[2]
CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
# what Streamlit's own page asks for in vain on a deep link, before it asks at the right place
STREAMLITS_404 = re.compile(r"/\w+/_stcore/(health|host-config)")


@dataclass(frozen=True)
class Server:
    url: str
    log: Path

    def problems(self) -> list[str]:
        """Lines of the log that speak of an error."""
        log = re.sub(r"\x1b\[[\d;]*m", "", self.log.read_text("utf-8", "replace"))  # colours
        lines = log.splitlines()
        return [line for line in lines if re.search(r"Traceback|Error\b|ERROR|Exception\b", line)]


# --- The browser ------------------------------------------------------------------------------


def find_chromium(playwright: Playwright) -> str | None:
    """VITASCOPE_CHROMIUM, else one on PATH, else Playwright's own."""
    if named := os.environ.get("VITASCOPE_CHROMIUM"):
        return named
    names = ("chromium", "chromium-browser", "google-chrome")
    if found := next(filter(None, map(shutil.which, names)), None):
        return found
    own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args, playwright) -> dict:
    chromium = find_chromium(playwright)
    if chromium is None:
        missing = pytest.fail if os.environ.get("VITASCOPE_BROWSER") == "required" else pytest.skip
        missing("There is no Chromium: install one, or name one in VITASCOPE_CHROMIUM.")
    return {**browser_type_launch_args, "executable_path": chromium, "args": CHROMIUM}


# --- The server -------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def runs(tmp_path_factory, cache) -> Path:
    """The folders `elsewhere` and `tiny`, and `under-way`, whose training can go on."""
    runs = make_tiny_runs(tmp_path_factory.mktemp("runs"))
    make_live_run(runs / "under-way", runs / "tiny", 10)
    return runs


@pytest.fixture(scope="session")
def tiny(runs) -> Run:
    return load_run(runs / "tiny")


@pytest.fixture(scope="session")
def server(browser, runs, tmp_path_factory) -> Iterator[Server]:
    # asks for the browser first: without one, no server needs to start
    with serve(runs, tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def fresh_server(browser, runs, tmp_path) -> Iterator[Server]:
    """A server that nobody has visited yet."""
    with serve(runs, tmp_path) as server:
        yield server


@contextmanager
def serve(runs: Path, folder: Path) -> Iterator[Server]:
    """The dashboard with the tiny runs, an empty cache, and no way to the internet."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Server(f"http://127.0.0.1:{port}", folder / "server.log")
    environment = {
        k: v for k, v in os.environ.items() if k.upper() not in ("NO_PROXY", "ALL_PROXY")
    }
    nowhere = "http://127.0.0.1:9"
    environment |= dict.fromkeys(("https_proxy", "HTTPS_PROXY", "http_proxy"), nowhere)
    environment |= {
        "VITASCOPE_CACHE": str(folder / "cache"),
        "VITASCOPE_CHECKPOINTS": str(runs),
        "VITASCOPE_DATA": "",
        "PYTHONUNBUFFERED": "1",
    }
    command = [sys.executable, "-m", "streamlit", "run", "dashboard.py", "--server.headless=true"]
    command += ["--server.address=127.0.0.1", f"--server.port={port}"]
    command += ["--server.fileWatcherType=none"]
    with open(server.log, "wb") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        _wait_until_healthy(process, port, server)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_healthy(process: subprocess.Popen, port: int, server: Server) -> None:
    deadline = monotonic() + 3 * PATIENCE
    while monotonic() < deadline:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/_stcore/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        try:
            process.wait(0.2)
            break
        except subprocess.TimeoutExpired:
            pass
    pytest.fail(f"The server did not start:\n{server.log.read_text()}")


# --- A visit ----------------------------------------------------------------------------------


@pytest.fixture
def stranger(browser) -> Iterator[BrowserContext]:
    """The profile of somebody who was never here."""
    with browser.new_context() as context:
        context.set_default_timeout(PATIENCE * 1000)
        yield context


@pytest.fixture(scope="session")
def profile(browser) -> Iterator[BrowserContext]:
    """One profile for all tests: the dashboard's scripts are fetched and compiled once."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE * 1000)
    yield context
    context.close()


@pytest.fixture
def visit(profile, server) -> Iterator[Callable[..., Page]]:
    """Open a page of the dashboard; at the end, nothing may have gone wrong unseen."""
    wrong, pages = [], []

    def visit(
        path: str, *, at: Server = server, by: BrowserContext = profile, scheme: str = "light"
    ) -> Page:
        page = by.new_page()
        pages.append(page)
        page.set_viewport_size({"width": 1440, "height": 1000})
        page.emulate_media(color_scheme=scheme)
        page.on("pageerror", lambda error: wrong.append(f"page error: {error}"))
        page.on("console", lambda message: wrong.extend(_complaint(message)))
        page.on("request", lambda request: wrong.extend(_stranger(request.url)))
        page.goto(at.url + path)
        settled(page)
        return page

    yield visit
    traces = [page.get_by_test_id("stException").all_inner_texts() for page in pages]
    for page in pages:
        page.close()
    assert server.problems() == []
    assert traces == [[]] * len(pages)
    assert wrong == []


def _complaint(message) -> list[str]:
    if message.type != "error":
        return []
    url = urlsplit(message.location["url"])
    if "404" in message.text and STREAMLITS_404.fullmatch(url.path):
        return []
    return [f"console: {message.text} ({message.location['url']})"]


def _stranger(url: str) -> list[str]:
    parts = urlsplit(url)
    loopback = parts.hostname == "127.0.0.1"
    return [] if loopback or parts.scheme in ("data", "blob") else [f"asks another machine: {url}"]
