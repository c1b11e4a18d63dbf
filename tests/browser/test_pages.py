"""How every page looks: in both themes, wide and narrow, cold and by its navigation."""

import re

import pytest
from playwright.sync_api import TimeoutError as Late
from playwright.sync_api import expect

TITLES = {
    "": "What does this model look at?",
    "browse": "Browse",
    "attention": "#0",
    "confusion": "What is taken for what?",
    "heads": "What do the heads do?",
    "trust": "Which map should you trust?",
    "training": "How did it learn?",
}
BACKGROUND = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 22, 29)"}

# What is wider than the window, or makes the page scroll sideways, shadow roots included. Plotly
# measures texts in a huge drawing far to the left of the window, which nobody sees.
TOO_WIDE = """() => {
  const found = []
  const walk = root => {
    for (const node of root.querySelectorAll("*")) {
      const { width, right } = node.getBoundingClientRect()
      if (width > innerWidth + 1 && right > 0) found.push(`${node.outerHTML.slice(0, 80)} ${width}`)
      if (node.shadowRoot) walk(node.shadowRoot)
    }
  }
  walk(document.body)
  for (const node of [document.scrollingElement, document.querySelector("[data-testid=stMain]")]) {
    if (node.scrollWidth > node.clientWidth + 1) {
      found.push(`${node.tagName} scrolls: ${node.scrollWidth} > ${node.clientWidth}`)
    }
  }
  return found
}"""


def fits(page) -> None:
    try:
        page.wait_for_function(f"({TOO_WIDE})().length === 0", timeout=10_000)
    except Late:
        pytest.fail(f"at {page.viewport_size}: {page.evaluate(TOO_WIDE)}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", TITLES)
def test_looks_right_in_both_themes_wide_and_narrow(visit, name, scheme):
    page = visit(f"/{name}?model=tiny", scheme=scheme)
    heading = page.get_by_role("heading", level=1)
    expect(heading).to_contain_text(TITLES[name])
    expect(page.get_by_test_id("stApp")).to_have_css("background-color", BACKGROUND[scheme])
    for size in ({"width": 1440, "height": 1000}, {"width": 800, "height": 1000}):
        page.set_viewport_size(size)
        fits(page)
        expect(heading).to_be_visible()
    expect(page.get_by_text("Traceback")).to_have_count(0)


def test_a_deep_link_opens_on_a_server_that_nobody_visited(fresh_server, visit):
    page = visit("/browse?model=tiny&class=cat", at=fresh_server)
    expect(page.get_by_role("heading", level=1)).to_have_text("Browse")
    expect(page.get_by_text("20 of 200 images", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="Training")).to_be_visible()
    assert fresh_server.problems() == []


def test_the_navigation_keeps_the_filters(visit):
    page = visit("/?model=tiny&class=cat&outcome=wrong")
    sidebar = page.get_by_test_id("stSidebar")
    left = sidebar.get_by_text("of 200 images").inner_text()
    for name in ("browse", "attention", "confusion", "heads", "trust", "training"):
        sidebar.get_by_role("link", name=name.capitalize()).click()
        expect(page.get_by_role("heading", level=1)).to_contain_text(TITLES[name][0])
        expect(page).to_have_url(re.compile(rf"/{name}\?"))
        for part in ("model=tiny", "class=cat", "outcome=wrong"):
            expect(page).to_have_url(re.compile(part))
        expect(sidebar.get_by_text("of 200 images")).to_have_text(left)
