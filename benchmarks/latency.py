"""From click to drawn page:  python benchmarks/latency.py PATH/test.parquet

One Chromium visits the dashboard and an empty Streamlit page with one slider, and presses something
on either in turn. The clock is the browser's own: it runs from the key or button until the script
has ended, what was asked for is there, its pictures decoded, and two frames have passed. Then both
are started from nothing several times, up to their first page. Targets: a page's median at most 3
times the empty page's, its websocket messages under 1.5 MB, the first page within 1.5 times of what
importing torch and streamlit and an empty server take.
"""

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

import typer
from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).parent.parent))

from core.data import source_name

ROOT = Path(__file__).parent.parent
WARM_UP = 3  # repeats that do not count
STARTS = 5  # of each server
CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
EMPTY = 'import streamlit as st\nst.write(st.slider("x", 0, 100))\n'


@dataclass(frozen=True)
class Interaction:
    """Something that a visitor does on a page.

    Attributes:
        page: its name in the URL.
        what: what is done, in words.
        on: Playwright selectors of what is pressed, one a repeat, in turn.
        places: CSS selectors; what stands there must be another after each press.
        keys: pressed in turn, on what has the focus; none of them: it is clicked.
        query: what the URL says beside model and images.
    """

    page: str
    what: str
    on: tuple[str, ...]
    places: tuple[str, ...]
    keys: tuple[str, ...] = ()
    query: str = ""


SLIDER = Interaction(
    "empty", "slider", (".stSlider input",), (".stMarkdown",), ("ArrowRight", "ArrowLeft")
)
OUTCOMES = tuple(f'.st-key-outcome >> role=radio[name="{name}"]' for name in ("correct", "wrong"))
SHARES = tuple(f'.st-key-cells >> role=radio[name="{name}"]' for name in ("row shares", "counts"))
CELLS = tuple(f".st-key-confusion_matrix .scatterlayer .point >> nth={n}" for n in (53, 35, 2, 98))
NEXT_PAGE = (".st-key-page [data-testid=stNumberInputStepUp]",)
NEXT_IMAGE = ('role=button[name="Next"]',)
PATCHES = tuple(f".st-key-attention_result .patches button >> nth={n}" for n in (5, 10))
ATTENTION = (".st-key-attention_result", ".st-key-attention_all", ".st-key-attention_others")
METHODS = tuple(f".st-key-attention_{name}" for name in ("methods", "deletion", "insertion"))
HEADS = tuple(f".st-key-heads_{name}" for name in ("distance", "entropy", "most", "agreement"))
INTERACTIONS = (
    Interaction("overview", "outcome", OUTCOMES, (".st-key-overview_pictures",)),
    Interaction("browse", "next page", NEXT_PAGE, (".st-key-browse_grid",)),
    Interaction(
        "browse",
        "next page, with attention",
        NEXT_PAGE,
        (".st-key-browse_grid",),
        query="amplified=true",
    ),
    Interaction("attention", "next image", NEXT_IMAGE, ATTENTION),
    Interaction(
        "attention",
        "next image, similar maps",
        NEXT_IMAGE,
        ATTENTION,
        query="others=similar+map",
    ),
    Interaction(
        "attention",
        "layer",
        (".st-key-layer input",),
        (".st-key-attention_result", ".st-key-attention_heads"),
        ("ArrowLeft", "ArrowRight"),
    ),
    Interaction(
        "attention", "a patch", PATCHES, (".st-key-attention_steps", ".st-key-attention_all")
    ),
    Interaction("attention", "next image, methods", NEXT_IMAGE, METHODS, query="closer=methods"),
    Interaction("heads", "outcome", OUTCOMES, HEADS),
    Interaction(
        "compare",
        "layer",
        (".st-key-layer input",),
        (".st-key-compare_maps", ".st-key-compare_difference"),
        ("ArrowLeft", "ArrowRight"),
    ),
    Interaction("confusion", "counts or shares", SHARES, (".st-key-confusion_matrix",)),
    Interaction(
        "confusion", "a cell", CELLS, (".st-key-confusion_mean", ".st-key-confusion_images")
    ),
    Interaction(
        "training",
        "epoch",
        (".st-key-epoch input",),
        (".st-key-training_loss", "[class*=st-key-training_replay_test]"),
        ("ArrowLeft",),
    ),
)

# --- In the browser ---------------------------------------------------------------------------

WATCH = """
// a component has a document of its own
const roots = node => [node, ...[...node.querySelectorAll("*")]
  .flatMap(element => element.shadowRoot ? roots(element.shadowRoot) : [])]
const content = place => [...document.querySelectorAll(place)]
  .flatMap(roots).map(root => root.innerHTML).join()
const app = () => document.querySelector("[data-testid=stApp]")
const stateOfScript = () => app()?.dataset.testScriptState

function missing(places, before) {
  if (stateOfScript() !== "notRunning") return "the end of the script"
  if (document.querySelector("[data-stale=true], [data-testid=stSkeleton]")) return "an element"
  const same = places.find((place, i) => content(place) === before[i])
  return same ? `a change of ${same}` : null
}

async function drawn(places, before) {
  const patience = performance.now() + 60_000
  for (let frames = 0; frames < 2;) {
    const what = missing(places, before)
    frames = what ? 0 : frames + 1
    if (performance.now() > patience) throw new Error(`Waited in vain for ${what}.`)
    await new Promise(requestAnimationFrame)
  }
  return performance.now()
}

async function drawnAfterPress(places) {
  let pressed
  // seen before the page sees it, and counted from when the browser got it
  for (const kind of ["keydown", "pointerup"]) {
    addEventListener(kind, event => pressed ??= event.timeStamp, { capture: true, once: true })
  }
  // places change only when a run is under way, which may be over within a frame
  const end = await drawn(places, places.map(content))
  return end - pressed
}

window.latency = { drawn: places => drawn(places, places.map(() => "")), drawnAfterPress }
"""


class Tab:
    """A window with one page, and the bytes that came through its websocket."""

    def __init__(self, browser: Browser):
        self.page = browser.new_page(viewport={"width": 1440, "height": 1000})
        self.page.set_default_timeout(60_000)
        self.page.add_init_script(f"(() => {{ {WATCH} }})()")
        self.received = 0
        self.page.on("websocket", lambda socket: socket.on("framereceived", self._count))

    def _count(self, frame: bytes | str) -> None:
        self.received += len(frame)

    def open(self, url: str, *places: str) -> None:
        """Go there; return when it is drawn and something stands in these places."""
        self.page.goto(url)
        self.page.evaluate("places => latency.drawn(places)", places)

    def press(self, interaction: Interaction, turn: int) -> float:
        """Milliseconds from one press of an interaction to the drawn page."""
        page = self.page
        target = page.locator(interaction.on[turn % len(interaction.on)]).first
        if interaction.keys:
            target.focus()
        else:
            target.hover(force=True)  # plotly's own layer lies over a cell, and takes the click
        page.evaluate("places => { waiting = latency.drawnAfterPress(places) }", interaction.places)
        if interaction.keys:
            page.keyboard.press(interaction.keys[turn % len(interaction.keys)])
        else:
            page.mouse.down()
            page.mouse.up()
        return page.evaluate("() => waiting")


def find_chromium() -> str | None:
    """VITASCOPE_CHROMIUM, else one on PATH; None: Playwright's own."""
    names = ("chromium", "chromium-browser", "google-chrome")
    named = os.environ.get("VITASCOPE_CHROMIUM")
    return named or next(filter(None, map(shutil.which, names)), None)


# --- The servers ------------------------------------------------------------------------------


@contextmanager
def serve(script: Path, *options: str) -> Iterator[str]:
    """`streamlit run`, as users start it, where the script lies; yields its URL when it listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.headless=true"]
    command += ["--server.address=127.0.0.1", f"--server.port={port}"]
    command += ["--browser.gatherUsageStats=false", "--logger.level=warning", "--", *options]
    process = subprocess.Popen(command, cwd=script.parent, stdout=subprocess.PIPE, text=True)
    try:
        if not any("URL:" in line for line in process.stdout):  # it says so when it listens
            raise SystemExit(f"{script.name} did not start.")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def import_seconds() -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch, streamlit"], check=True)
    return time.perf_counter() - started


def start_seconds(browser: Browser, script: Path, options: list[str], path: str, *places) -> float:
    """From `streamlit run` to the first page, in a browser that was never there."""
    tab = Tab(browser)
    started = time.perf_counter()
    with serve(script, *options) as url:
        tab.open(url + path, *places)
        seconds = time.perf_counter() - started
        tab.page.close()
    return seconds


# --- What is measured -------------------------------------------------------------------------


def race(browser: Browser, empty: Tab, url: str, interaction: Interaction, repeats: int) -> float:
    """Print a row of the table; returns how many times the empty page's median it takes."""
    tab = Tab(browser)
    tab.open(url, "h1")
    first, ours, theirs, received = tab.received, [], [], []
    for turn in range(WARM_UP + repeats):
        theirs.append(empty.press(SLIDER, turn))
        before = tab.received
        ours.append(tab.press(interaction, turn))
        received.append(tab.received - before)
    tab.page.close()
    ours, theirs = ours[WARM_UP:], theirs[WARM_UP:]
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(
        f"{interaction.page:10} {interaction.what:25} {in_words(ours)} {ratio:6.2f}"
        f"   {in_words(theirs)} {first / 1e6:9.2f} {max(received) / 1e6:9.2f}",
        flush=True,
    )
    return ratio


def in_words(times: list[float]) -> str:
    """Median, and where all but the lowest and the highest tenth lie."""
    low, *_, high = statistics.quantiles(times, n=10, method="inclusive")
    return f"{statistics.median(times):7.0f} {f'{low:.0f} to {high:.0f}':>12}"


def main(
    path: Annotated[Path, typer.Argument(help="A Parquet file of images.")],
    repeats: Annotated[int, typer.Option(min=2, max=80, help="Presses that count.")] = 30,
    model: Annotated[str, typer.Option(help="A folder of checkpoints/.")] = "tutorial",
) -> None:
    """Time what visitors do on each page, and the first page after a start."""
    data = path.resolve()
    about = urlencode({"model": model, "images": source_name(str(data))})
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        script = Path(folder, "empty", "app.py")  # its server watches the folder
        script.parent.mkdir()
        script.write_text(EMPTY)
        os.environ |= {
            "VITASCOPE_CACHE": str(Path(folder, "cache")),
            "VITASCOPE_CHECKPOINTS": "",
            "PYTHONUNBUFFERED": "1",  # else a server's URL would stay in its buffer
        }
        os.environ.pop("VITASCOPE_EXTRACTIONS", None)
        command = ["-m", "core.attention", "--model", f"checkpoints/{model}", "--data", str(data)]
        subprocess.run([sys.executable, *command], cwd=ROOT, check=True)
        options = ["--data", str(data)]
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM)
        print(
            f"\n{'':36} {'ms':>7} {'10 to 90 %':>12} {'ratio':>6}   {'empty':>7} {'10 to 90 %':>12}"
            f" {'open, MB':>9} {'press, MB':>9}"
        )
        ratios = {}
        with serve(script) as bare, serve(ROOT / "dashboard.py", *options) as dashboard:
            empty = Tab(browser)
            empty.open(bare, ".stMarkdown")
            for one in INTERACTIONS:
                place = "" if one.page == "overview" else one.page  # the page at the root
                ratio = race(
                    browser, empty, f"{dashboard}/{place}?{about}&{one.query}", one, repeats
                )
                ratios[one.page] = max(ratio, ratios.get(one.page, 0.0))
        starts = []
        for _ in range(STARTS):
            ours = start_seconds(
                browser, ROOT / "dashboard.py", options, f"/?{about}", ".st-key-overview_pictures"
            )
            theirs = start_seconds(browser, script, [], "/", ".stMarkdown")
            starts.append((ours, import_seconds(), theirs))
        ours, imports, theirs = (statistics.median(column) for column in zip(*starts))
        print(
            f"\nfirst page after the start: {ours:.2f} s; importing torch and streamlit "
            f"{imports:.2f} s, an empty page {theirs:.2f} s: ratio {ours / (imports + theirs):.2f}"
        )
        browser.close()
    worst = max(ratios, key=ratios.get)
    print(f"worst ratio: {ratios[worst]:.2f} {worst}")


if __name__ == "__main__":
    typer.run(main)
