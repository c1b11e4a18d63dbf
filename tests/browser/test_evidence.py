"""Clicks on maps, curves, dots and cells that put explanations to the test, and long work."""

import re

from playwright.sync_api import expect
from waiting import settled


def points(page, key):
    return page.locator(f".st-key-{key} .scatterlayer .point")


def click(page, point, words):
    """Click a point of a chart, once it says what it is."""
    point.hover(force=True)  # plotly's own layer lies over it, and takes the click
    expect(page.locator(".hoverlayer .hovertext")).to_contain_text(words)
    page.mouse.down()
    page.mouse.up()


def test_a_click_on_a_map_makes_it_the_main_one(visit, tiny):
    said = tiny.predictions[list(tiny.classes)].iloc[5].idxmax()
    other = next(name for name in tiny.classes if name != said)
    page = visit(f"/attention?model=tiny&index=5&closer=methods&versus={other}")
    maps = page.locator(".st-key-attention_methods")
    maps.get_by_role("button", name=re.compile(f"^relevance, {other}")).first.click()
    title = f"Gradient relevance (all layers) for {other}"
    expect(page.get_by_text(title, exact=True)).to_be_visible()
    for part in ("method=relevance", f"target={other}", f"versus={said}"):
        expect(page).to_have_url(re.compile(part))


def test_a_click_on_a_curve_shows_the_picture_there(visit):
    page = visit("/attention?model=tiny&index=5&closer=methods")
    # four maps' curves of 17 points each: the eighth of the third
    click(page, points(page, "attention_deletion").nth(2 * 17 + 7), "patches 7")
    expect(
        page.get_by_text(re.compile("What the model sees by .*, 7 of 16 patches on"))
    ).to_be_visible()
    expect(page.locator(".st-key-attention_on_the_way")).to_contain_text("deletion, 7 gone")
    expect(page).to_have_url(re.compile("step=7"))


def test_a_click_on_a_dot_chooses_the_head(visit):
    page = visit("/heads?model=tiny")
    expect(page.get_by_text("Images that move layer 3, head 1 most")).to_be_visible()
    click(page, points(page, "heads_strength").nth(3), "L2 H2")
    expect(page.get_by_text("Images that move layer 2, head 2 most")).to_be_visible()
    expect(page).to_have_url(re.compile(r"of=L2\+H2"))
    # one of its images opens at that head, and leads back
    page.locator(".st-key-heads_most").get_by_role("button").first.click()
    expect(page.get_by_text("The six steps (layer 2, head 2)")).to_be_visible()
    page.get_by_role("link", name="Back to Heads").click()
    expect(page.get_by_text("Images that move layer 2, head 2 most")).to_be_visible()


def test_a_click_on_a_cell_switches_a_head_off_and_on(visit):
    page = visit("/heads?model=tiny")
    page.get_by_role("button", name="Switch off each of 6 heads in turn").click()
    cells = points(page, "heads_importance")
    expect(cells).to_have_count(9)
    chip = page.locator(".st-key-off").get_by_text("L2 H1", exact=True)
    click(page, cells.nth(3), "layer 2")
    expect(chip).to_be_visible()
    expect(page.get_by_text("Without L2 H1 (✓ the label)")).to_be_visible()
    settled(page)
    click(page, cells.nth(3), "layer 2")
    expect(chip).to_have_count(0)


def test_long_work_says_how_far_it_is_and_can_be_stopped(visit):
    page = visit("/trust?model=elsewhere")
    begin = page.get_by_role("button", name=re.compile("Put the maps to the test"))
    begin.click()
    expect(page.get_by_text(re.compile(r"\d+ of 200 images", re.I)).first).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(begin).to_be_visible()
    expect(page.get_by_text("All numbers")).to_have_count(0)
