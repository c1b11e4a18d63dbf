"""The pages as one instrument: there and back, patches that are picked, links that are copied."""

import io
import json
import re
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect
from test_clicks import thumbnails, title
from waiting import settled

from core.attention import extract

TALL = {"width": 1440, "height": 700}


def test_the_way_back_finds_the_page_as_it_was(visit):
    page = visit("/browse?model=tiny&page=2&order=least+sure")
    page.set_viewport_size(TALL)
    thumbnail = thumbnails(page).nth(93)
    words = thumbnail.get_attribute("title")
    thumbnail.click()
    expect(title(page)).to_contain_text("#")
    page.get_by_role("link", name="Back to Browse").click()
    expect(title(page)).to_have_text("Browse")
    expect(page).to_have_url(re.compile("page=2"))
    back = thumbnails(page).nth(93)
    expect(back).to_have_attribute("title", words)
    expect(back).to_be_focused()
    expect(back).to_be_in_viewport()


def test_the_browsers_back_button_does_too(visit):
    page = visit("/confusion?model=tiny&label=cat&taken_for=cat")
    page.set_viewport_size(TALL)
    thumbnail = thumbnails(page).nth(2)
    words = thumbnail.get_attribute("title")
    thumbnail.click()
    expect(title(page)).to_contain_text("#")
    settled(page)
    page.go_back()
    expect(title(page)).to_have_text("What is taken for what?")
    expect(page.get_by_role("heading", name=re.compile("cat → cat: "))).to_be_visible()
    back = page.get_by_test_id("stMain").get_by_title(words, exact=True)
    expect(back).to_be_focused()
    expect(back).to_be_in_viewport()


def test_a_click_that_changes_two_choices_is_one_step_back(visit):
    page = visit("/confusion?model=tiny&label=cat&taken_for=dog")
    page.locator(".scatterlayer .point").first.hover(force=True)
    expect(page.locator(".hoverlayer .hovertext")).to_contain_text("airplane")
    page.mouse.down()
    page.mouse.up()
    expect(page.get_by_role("heading", name=re.compile("^airplane → airplane: "))).to_be_visible()
    expect(page).to_have_url(re.compile("taken_for=airplane"))
    settled(page)
    page.go_back()
    expect(page.get_by_role("heading", name=re.compile("^cat → dog: "))).to_be_visible()


def test_a_link_after_a_change_of_model_shows_the_same(clipboard, stranger, visit):
    page = visit("/attention?model=tiny&index=5&layer=2", by=clipboard)
    sidebar = page.get_by_test_id("stSidebar")
    sidebar.get_by_role("combobox", name="Model").click()
    page.get_by_role("option", name="elsewhere").click()
    expect(page.get_by_text("All 2 layers (L) and 3 heads (H)")).to_be_visible()
    settled(page)
    sidebar.get_by_role("combobox", name="Model").click()
    page.get_by_role("option", name="tiny").click()
    # it stood at the last layer, and stays at the last
    told = page.get_by_text(re.compile(r"^Where CLS looks \(layer 3, "))
    expect(told).to_be_visible()
    settled(page)
    told = told.inner_text()
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    for link in (page.evaluate("navigator.clipboard.readText()"), page.url):
        again = visit(link[link.index("/attention") :], by=stranger)
        expect(again.get_by_text(told)).to_be_visible()


def test_every_step_is_one_step_of_the_browsers_back_button(visit):
    page = visit("/browse?model=tiny&class=cat&page=1")
    thumbnails(page).nth(3).click()
    expect(title(page)).to_contain_text("#63 ")
    settled(page)
    page.get_by_role("button", name="Next").click()
    expect(title(page)).to_contain_text("#64 ")
    settled(page)
    page.get_by_test_id("stSidebar").get_by_role("link", name="Training").click()
    expect(title(page)).to_have_text("How did it learn?")
    settled(page)
    for words in ("#64 ", "#63 ", "Browse"):
        page.go_back()
        expect(title(page)).to_contain_text(words)
        settled(page)
        expect(page).to_have_url(re.compile("class=cat"))
        expect(page).to_have_url(re.compile("model=tiny"))
    page.go_forward()
    expect(title(page)).to_contain_text("#63 ")


def patches(page, panel: str = "image"):
    name = re.compile(f"^{panel}.*: patches$")
    return page.get_by_role("group", name=name).get_by_role("button")


def test_a_patch_is_picked_and_looks(visit, tiny, samples):
    page = visit("/attention?model=tiny&index=5&layer=2&head=1")
    expect(page.get_by_text("Where CLS looks (layer 2, head 1)")).to_be_visible()
    patches(page).nth(5).click()
    expect(page.get_by_text("Where patch 6 looks (layer 2, head 1)")).to_be_visible()
    expect(page).to_have_url(re.compile(r"query=patch\+6"))
    expect(patches(page).nth(5)).to_have_attribute("aria-pressed", "true")
    row = extract(tiny.model, samples.images[5:6])[0, 1, 0, 6, 1:]
    expect(patches(page, "attention").nth(9)).to_have_attribute(
        "aria-label",
        f"patch 10 (row 3, column 2), pixels x 8–15, y 16–23: {row[9]:.4f} attention",
    )
    patches(page, "amplified").nth(5).click()  # again: back to CLS
    expect(page.get_by_text("Where CLS looks (layer 2, head 1)")).to_be_visible()


def test_a_patch_is_picked_by_keys(visit):
    page = visit("/attention?model=tiny&index=5")
    patches(page).first.focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft", "ArrowLeft"):
        page.keyboard.press(key)  # the last one finds the edge
    expect(patches(page).nth(8)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Where patch 9 looks (layer 3")).to_be_visible()
    settled(page)
    expect(patches(page).nth(8)).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(patches(page).nth(9)).to_be_focused()


def test_the_place_under_the_mouse_is_told(visit, tiny, samples):
    page = visit("/attention?model=tiny&index=5&layer=1")
    rows = extract(tiny.model, samples.images[5:6])[0, 0, :, 0, 1:]
    tip = page.locator(".st-key-attention_heads .tip")
    page.get_by_role("button", name="head 2").hover(position={"x": 2, "y": 2})
    expect(tip).to_have_text(
        f"patch 1 (row 1, column 1), pixels x 0–7, y 0–7: {rows[1, 0]:.4f} attention"
    )
    page.mouse.move(1, 1)
    expect(tip).to_be_hidden()


@pytest.fixture
def clipboard(browser):
    """Somebody whose browser lets pages write to the clipboard."""
    with browser.new_context(permissions=["clipboard-read", "clipboard-write"]) as context:
        yield context


def test_a_copied_link_shows_a_stranger_the_same(clipboard, stranger, visit):
    page = visit("/browse?class=cat&order=most+sure&model=tiny", by=clipboard)
    page.get_by_test_id("stSidebar").get_by_role("link", name="Attention").click()
    expect(title(page)).to_contain_text("cat")
    settled(page)
    patches(page).nth(2).click()
    expect(page.get_by_text("Where patch 3 looks (layer 3")).to_be_visible()
    settled(page)
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    for part in ("/attention?", "model=tiny", "images=", "index=", "class=cat", "query=patch"):
        assert part in link
    again = visit(link[link.index("/attention") :], by=stranger)
    expect(title(again)).to_have_text(title(page).inner_text())
    expect(again.get_by_text("Where patch 3 looks (layer 3")).to_be_visible()
    numbers = page.locator(".st-key-attention_steps .cell").all_inner_texts()
    assert len(numbers) == 32
    expect(again.locator(".st-key-attention_steps .cell")).to_have_text(numbers)


def test_columns_of_a_comparison_are_in_the_link(stranger, visit):
    page = visit("/compare?model=tiny&index=5&panels=3")
    page.get_by_role("button", name="model", exact=True).click()  # the same for all now
    page.get_by_role("button", name="layer", exact=True).click()
    settled(page)
    slider = page.get_by_role("slider", name="Layer").nth(2)
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile("layer_c="))
    settled(page)
    again = visit(page.url[page.url.index("/compare") :], by=stranger)
    captions = page.locator(".st-key-compare_maps figcaption")
    expect(captions.first).to_have_text("A  layer 3")
    expect(captions.nth(2)).to_have_text("C  layer 3")
    expect(again.locator(".st-key-compare_maps figcaption")).to_have_text(
        captions.all_inner_texts()
    )


# --- Files ------------------------------------------------------------------------------------


def saved(page, button) -> bytes:
    with page.expect_download() as waiting:
        button.click()
    return waiting.value.path().read_bytes()


def export_of(page, key: str):
    page.locator(f".st-key-{key}_export").get_by_role("button", name="Export").click()
    return page.get_by_test_id("stPopoverBody")


def test_a_figure_at_a_width_and_its_settings_bring_it_back(stranger, visit, tmp_path):
    page = visit("/attention?model=tiny&index=9&layer=2&query=patch+4&colors=magma")
    body = export_of(page, "attention_result")
    width = body.get_by_role("spinbutton", name="Width in mm")
    width.fill("85")
    width.press("Enter")
    expect(body.get_by_text("PNG: 1,003 pixels wide")).to_be_visible()
    picture = Image.open(io.BytesIO(saved(page, body.get_by_role("button", name="PNG"))))
    assert picture.width == 1003
    settings = saved(page, body.get_by_role("button", name="JSON"))
    made = json.loads(settings)
    expected = {"index": 9, "layer": 2, "query": "patch 4", "colors": "magma", "model": "tiny"}
    assert {key: made["choices"][key] for key in expected} == expected

    other = visit("/", by=stranger)
    other.get_by_role("button", name="Figures").click()
    dialog = other.get_by_role("dialog")
    expect(dialog).to_be_visible()
    file = {"name": "settings.json", "mimeType": "application/json", "buffer": settings}
    dialog.locator("input[type=file]").set_input_files([file])
    link = dialog.get_by_role("link", name="Open")
    expect(link).to_be_visible()
    with stranger.expect_page() as opened:
        link.click()
    settled(opened.value)
    expect(title(opened.value)).to_contain_text("#9 ")
    expect(opened.value.get_by_text("Where patch 4 looks (layer 2")).to_be_visible()
    opened.value.close()


def test_a_report_of_chosen_figures_opens_alone(stranger, visit, tmp_path):
    page = visit("/attention?model=tiny&index=9")
    export_of(page, "attention_steps").get_by_role("button", name="Add to report").click()
    expect(page.get_by_text("is in the report")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_test_id("stSidebar").get_by_role("link", name="Confusion").click()
    expect(title(page)).to_have_text("What is taken for what?")
    export_of(page, "confusion_matrix").get_by_role("button", name="Add to report").click()
    expect(page.get_by_text("Confusion matrix: images” is in the report")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Figures").click()
    file = tmp_path / "report.html"
    dialog = page.get_by_role("dialog")
    download = dialog.get_by_role("button", name="Download the report")
    expect(download).to_be_in_viewport()
    file.write_bytes(saved(page, download))
    alone = stranger.new_page()
    asked = []
    alone.on("request", lambda request: asked.append(request.url))
    alone.goto(file.as_uri())
    headings = alone.get_by_role("heading", level=2).all_inner_texts()
    assert headings[0].startswith("The six steps")
    assert headings[1].startswith("Confusion matrix")
    sizes = alone.locator("img").evaluate_all("all => all.map(node => node.naturalWidth)")
    assert len(sizes) == 2
    assert min(sizes) > 100
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


def test_all_chosen_images_as_a_zip(visit, tiny, samples):
    page = visit("/browse?model=tiny&class=cat")
    page.get_by_role("button", name="Export all").click()
    page.get_by_role("button", name="Make a zip of 20 images").click()
    download = page.get_by_role("button", name=re.compile(r"Download \("))
    expect(download).to_be_visible()
    with ZipFile(io.BytesIO(saved(page, download))) as archive:
        assert archive.testzip() is None
        pictures = [name for name in archive.namelist() if name.endswith(".png")]
        assert len(pictures) == 20
        with archive.open("maps.npy") as file:
            maps = np.load(io.BytesIO(file.read()))
    expected = extract(tiny.model, samples.images[60:80])[:, -1, :, 0, 1:].mean(dim=1)
    np.testing.assert_allclose(maps.reshape(20, -1), expected, atol=1e-3)  # kept as float16
