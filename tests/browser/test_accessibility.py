"""Who cannot see or use a mouse: axe finds nothing that a bare Streamlit page does not have."""

import subprocess
import sys
from itertools import pairwise

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from waiting import settled

PAGES = ("", "browse", "attention", "compare", "confusion", "heads", "trust", "training")
LOOKS = [("light", 1440), ("dark", 1440), ("light", 390)]

# The plain elements that our pages use, in Streamlit's own theme.
BARE = """
import streamlit as st

def bare():
    st.title("A title")
    st.markdown("Some *text* with **weight** and `code`")
    st.caption("A caption")
    st.metric("A metric", "57.0 %", help="what it is")
    st.button("A button", icon=":material/download:", help="what it does")
    st.button("A disabled button", disabled=True)
    st.slider("A slider", 0.0, 99.0, 30.0, help="what it sets")
    st.radio("A radio", ["first", "second"])
    st.segmented_control("Segments", ["first", "second"], default="first", required=True)
    st.toggle("A toggle", help="what it switches")
    st.number_input("A number", 0, 99, help="which one")
    st.popover("A popover", icon=":material/download:", type="tertiary")
    st.expander("An expander", icon=":material/terminal:").code("a command", language="bash")
    st.dataframe({"a column": ["a", "table"]}, hide_index=True)
    st.info("A message", icon=":material/info:")
    st.page_link(other, label="**A link**: where it leads")
    with st.sidebar:
        st.selectbox("A select box", ["first", "second"], help="what it chooses")
        st.multiselect("A multiselect", ["first", "second"], default="first")
        st.segmented_control("More segments", ["first", "second"], default="first", required=True)
        st.caption("**1** of 2")

st.set_page_config("Bare", layout="wide")
other = st.Page(lambda: st.title("Another"), title="Another", url_path="other", help="about it")
first = st.Page(bare, title="Bare", icon=":material/visibility:", default=True, help="about it")
st.navigation([first, other]).run()
"""

# Every element that breaks a rule: the rule, in which element of Streamlit, and what is wrong. What
# lies in our component's shadow root is in a `stBidiComponent…`, a chart's parts in a
# `stPlotlyChart`; the bare page has neither.
VIOLATIONS = """async () => {
  const { violations } = await axe.run({ elementRef: true, resultTypes: ["violations"] })
  return violations.flatMap(rule => rule.nodes.map(({ element, html, failureSummary }) => {
    const outside = element.getRootNode().host ?? element
    const kind = outside.closest("[data-testid]:not([data-testid^=stMarkdown])")
    return [`${rule.id} in ${kind?.dataset.testid}`, `${html.slice(0, 160)} ${failureSummary}`]
  }))
}"""
# `title` alone would do for axe, but a picture's words belong to the picture
NAMELESS = """pictures => pictures
  .filter(node => !(node.alt ?? node.ariaLabel ?? "").trim())
  .filter(node => node.checkVisibility() && !node.closest("[data-testid=stDataFrame]"))
  .map(node => node.outerHTML.slice(0, 160))"""


@pytest.fixture(scope="module")
def bare_url(browser, tmp_path_factory):
    """A server of a bare Streamlit page; it finds a free port by itself."""
    folder = tmp_path_factory.mktemp("bare")
    (folder / "bare.py").write_text(BARE)
    command = [sys.executable, "-m", "streamlit", "run", "bare.py", "--server.headless=true"]
    command += ["--server.address=127.0.0.1", "--server.fileWatcherType=none"]
    command += ["--client.toolbarMode=minimal", "--browser.gatherUsageStats=false"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        yield next(line.split()[-1] for line in process.stdout if "URL:" in line)
        process.kill()


@pytest.fixture
def look_at(profile):
    """Open a page with axe in it, so high a window that nothing is scrolled out of its sight."""
    pages = []

    def look_at(url: str, scheme: str, width: int, height: int = 3000):
        pages.append(page := profile.new_page())
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.goto(url)
        settled(page)
        page.evaluate(AXE_SCRIPT)
        return page

    yield look_at
    for page in pages:
        page.close()


@pytest.fixture(scope="module")
def streamlits_own() -> dict[tuple, set[str]]:
    """What the bare page violates, in each look that was looked at."""
    return {}


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_only_what_is_streamlits_own(
    look_at, server, bare_url, streamlits_own, name, scheme, width
):
    look = scheme, width
    if look not in streamlits_own:
        found = look_at(bare_url, *look).evaluate(VIOLATIONS)
        streamlits_own[look] = {kind for kind, _ in found}
    page = look_at(
        f"{server.url}/{name}?model=tiny&class=cat&label=cat&taken_for=cat&closer=methods", *look
    )
    found = page.evaluate(VIOLATIONS)
    assert [(kind, what) for kind, what in found if kind not in streamlits_own[look]] == []
    pictures = page.locator("img, canvas, [role=img], [data-testid=stPlotlyChart]")
    assert pictures.evaluate_all(NAMELESS) == []


# --- Keys -------------------------------------------------------------------------------------

# What has the focus; then in which part of the page that is, how it is called, and its box.
DEEPEST = """() => {
  let node = document.activeElement
  while (node.shadowRoot?.activeElement) node = node.shadowRoot.activeElement
  return node
}"""
ABOUT = """node => {
  const part = (node.getRootNode().host ?? node).closest(
    "[data-testid=stSidebar], [data-testid=stMain]"
  )
  const { x, y, width, height } = node.getBoundingClientRect()
  const name = node.ariaLabel || node.title || node.innerText
  const scrolled = document.querySelector("[data-testid=stMain]").scrollTop
  const face = node.matches(".face")
  return { part: part?.dataset.testid, name, x, y, width, height, scrolled, face }
}"""


def stops(page):
    """Press Tab until the page is through; at each stop, what has the focus and what shows it."""
    page.keyboard.press("Tab")  # Streamlit's link that skips the sidebar
    for _ in range(200):
        page.keyboard.press("Tab")
        node = page.evaluate_handle(DEEPEST)
        stop = node.evaluate(ABOUT)
        if not stop["part"]:
            return
        left, top = max(0, stop["x"] - 8), max(0, stop["y"] - 8)
        box = {"x": left, "y": top, "width": stop["width"] + 16, "height": stop["height"] + 16}
        focused = page.screenshot(clip=box, animations="disabled")
        node.evaluate("node => node.blur()")
        yield stop, focused != page.screenshot(clip=box, animations="disabled")
        node.evaluate("node => node.focus()")  # Tab goes on from here
    pytest.fail("Tab never comes to the end of the page.")


def follows(there: dict, here: dict) -> bool:
    """Whether a stop comes later than another as one reads: further down, or further right."""
    top, before = there["y"] + there["scrolled"], here["y"] + here["scrolled"]
    if top + there["height"] <= before:  # the next column begins further up
        return there["x"] >= here["x"] + here["width"]
    return top >= before + here["height"] or there["x"] > here["x"]


@pytest.mark.parametrize("name", ["browse", "attention", "training"])
def test_tab_goes_through_everything_as_one_reads(look_at, server, name):
    page = look_at(f"{server.url}/{name}?model=tiny&class=cat", "light", 1440, 1000)
    way = [(stop, shown) for stop, shown in stops(page) if stop["name"]]
    parts = [stop["part"] for stop, _ in way]
    sidebar, main = parts.count("stSidebar"), parts.count("stMain")
    assert parts == ["stSidebar"] * sidebar + ["stMain"] * main
    assert [stop["name"] for stop, shown in way if not shown] == []
    for part in ("stSidebar", "stMain"):
        inside = [stop for stop, _ in way if stop["part"] == part]
        wrong = [(a["name"], b["name"]) for a, b in pairwise(inside) if not follows(b, a)]
        assert wrong == []
    # every picture that can be clicked is reached
    faces = page.locator("button.face")
    assert sum(stop["face"] for stop, _ in way) == faces.count()
