"""What only a browser can tell: clicks on pictures and cells, keys, downloads, links, playing."""

import csv
import io
import re
from urllib.parse import urlsplit
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect
from tiny_runs import add_epoch
from waiting import settled

from core import evaluate
from core.amplify import amplify
from core.attention import extract, extract_set
from core.selection import most_similar


def title(page):
    return page.get_by_role("heading", level=1)


def thumbnails(page):
    """The pictures that can be clicked: their names say label and prediction."""
    return page.get_by_test_id("stMain").get_by_role("button", name=re.compile("→ .*%"))


def test_a_thumbnail_opens_its_image(visit, tiny):
    page = visit("/browse?model=tiny")
    thumbnails(page).nth(47).click()
    expect(title(page)).to_contain_text("#47 ")
    expect(title(page)).to_contain_text(tiny.classes[tiny.predictions["label"][47]])
    expect(page).to_have_url(re.compile(r"/attention\?.*index=47"))


def test_a_thumbnail_opens_by_keyboard(visit):
    page = visit("/browse?model=tiny")
    thumbnails(page).nth(11).focus()
    page.keyboard.press("Tab")
    expect(thumbnails(page).nth(12)).to_be_focused()
    page.keyboard.press("Enter")
    expect(title(page)).to_contain_text("#12 ")


def test_a_picture_of_the_overview_opens(visit):
    page = visit("/?model=tiny&class=cat")
    thumbnails(page).first.click()
    expect(title(page)).to_contain_text("#60 cat")


def test_a_click_on_a_head_chooses_it(visit):
    page = visit("/attention?model=tiny&index=5")
    heads = page.get_by_role("button", name=re.compile(r"^(average|head \d)$"))
    expect(page.get_by_text("The six steps (layer 3, average of the heads)")).to_be_visible()
    heads.filter(has=page.get_by_label("head 2")).click()
    expect(page.get_by_text("The six steps (layer 3, head 2)")).to_be_visible()
    expect(page).to_have_url(re.compile("head=2"))
    heads.filter(has=page.get_by_label("average")).click()
    expect(page.get_by_text("The six steps (layer 3, average of the heads)")).to_be_visible()


def test_a_click_in_the_overview_chooses_layer_and_head(visit):
    page = visit("/attention?model=tiny&index=5")
    page.get_by_role("button", name="L1 H2").click()
    expect(page.get_by_text("The six steps (layer 1, head 2)")).to_be_visible()
    expect(page).to_have_url(re.compile("layer=1.*head=2|head=2.*layer=1"))


def test_a_similar_image_opens_with_a_click(visit, tiny, samples):
    rows = extract_set(tiny.model, samples).cls_rows[:, -1].mean(axis=1, dtype=np.float32)
    page = visit("/attention?model=tiny&index=5&others=similar+map")
    expect(page.get_by_text("where CLS looks most alike")).to_be_visible()
    found = page.locator(".st-key-attention_others").get_by_role("button")
    expect(found).to_have_count(24)
    found.first.click()
    expect(title(page)).to_contain_text(f"#{most_similar(rows, 5, 1)[0]} ")


def test_a_confusion_cell_leads_to_its_images(visit, tiny):
    labels = tiny.predictions["label"].to_numpy()
    predicted = tiny.predictions[list(tiny.classes)].to_numpy().argmax(axis=1)
    matrix = evaluate.confusion_matrix(labels, predicted, 10)
    row, column = np.unravel_index((matrix * ~np.eye(10, dtype=bool)).argmax(), (10, 10))
    page = visit("/confusion?model=tiny")
    cell = page.locator(".scatterlayer .point").nth(10 * row + column)
    cell.hover(force=True)  # plotly's own layer lies over it, and takes the click
    expect(page.locator(".hoverlayer .hovertext")).to_contain_text(tiny.classes[row])
    page.mouse.down()
    page.mouse.up()
    words = f"{tiny.classes[row]} → {tiny.classes[column]}: {matrix[row, column]} images"
    expect(page.get_by_role("heading", name=words)).to_be_visible()
    expect(thumbnails(page)).to_have_count(int(matrix[row, column]))
    thumbnails(page).nth(1).click()
    index = np.flatnonzero((labels == row) & (predicted == column))[1]
    expect(title(page)).to_contain_text(f"#{index} ")


def test_a_second_click_on_a_cell_keeps_it_open(visit):
    """It takes plotly's selection away, and may come before the browser has heard of the first."""
    page = visit("/confusion?model=tiny&label=cat&taken_for=dog")
    page.locator(".scatterlayer .point").first.hover(force=True)
    expect(page.locator(".hoverlayer .hovertext")).to_contain_text("airplane")
    for _ in range(2):
        page.mouse.down()
        page.mouse.up()
        expect(page).to_have_url(re.compile("taken_for=airplane"))
    settled(page)
    expect(page.get_by_role("heading", name=re.compile("^airplane → airplane: "))).to_be_visible()
    expect(page.get_by_role("combobox", name="Images of")).to_have_value("airplane")
    expect(page).to_have_url(re.compile("label=airplane"))


# --- Files ------------------------------------------------------------------------------------


@pytest.fixture
def download(visit, tmp_path):
    def download(path: str, figure: str) -> dict[str, bytes]:
        """Every format of the first figure whose title contains `figure`."""
        page = visit(path)
        header = page.get_by_test_id("stHorizontalBlock").or_(
            page.get_by_test_id("stLayoutWrapper")
        )
        header = header.filter(has_text=figure).filter(
            has=page.get_by_role("button", name="Export")
        )
        header.last.get_by_role("button", name="Export").click()
        files = {}
        for kind in ("PNG", "SVG", "PDF", "CSV", "NPZ"):
            with page.expect_download() as waiting:
                page.get_by_role("button", name=kind).click()
            found = waiting.value
            assert found.suggested_filename.endswith(f".{kind.lower()}")
            found.save_as(tmp_path / kind)
            files[kind] = (tmp_path / kind).read_bytes()
        return files

    return download


def check_drawings(files: dict[str, bytes]) -> None:
    picture = Image.open(io.BytesIO(files["PNG"]))
    picture.load()
    assert picture.width > 300
    assert len(picture.convert("L").getcolors()) > 10  # something is drawn on it
    assert ElementTree.fromstring(files["SVG"]).tag == "{http://www.w3.org/2000/svg}svg"
    assert files["PDF"].startswith(b"%PDF-")
    assert b"%%EOF" in files["PDF"][-32:]


def test_every_format_of_the_six_steps(download, tiny, samples):
    files = download("/attention?model=tiny&index=33&layer=2&head=1", "The six steps")
    check_drawings(files)
    attention = extract(tiny.model, samples.images[33:34])[0, 1, :1]
    steps = amplify(attention, samples.images[33])
    arrays = np.load(io.BytesIO(files["NPZ"]), allow_pickle=False)
    for name in ("average", "grid", "resized", "normalised", "multiplied", "amplified"):
        np.testing.assert_allclose(arrays[name], getattr(steps, name), atol=1e-5)
    rows = list(csv.reader(io.StringIO(files["CSV"].decode())))
    assert len({len(row) for row in rows}) == 1
    assert len(rows) > 32 * 32


def test_every_format_of_a_chart(download, tiny):
    files = download("/training?model=tiny", "Loss")
    check_drawings(files)
    arrays = np.load(io.BytesIO(files["NPZ"]), allow_pickle=False)
    saved = [array for name, array in arrays.items() if name.startswith("validation: cross")]
    np.testing.assert_allclose(saved, [tiny.history["val_loss"]])
    assert b"validation" in files["CSV"]


# --- Links ------------------------------------------------------------------------------------


def test_a_link_shows_the_same_page_to_somebody_else(stranger, visit):
    page = visit("/browse?model=tiny")
    page.get_by_role("combobox", name="Classes").click()
    page.get_by_role("option", name="cat").click()
    page.keyboard.press("Escape")
    page.get_by_role("radio", name="wrong").click()
    expect(page).to_have_url(re.compile("class=cat.*outcome=wrong|outcome=wrong.*class=cat"))
    settled(page)
    thumbnails(page).nth(3).click()
    expect(title(page)).to_contain_text("#")
    expect(page).to_have_url(re.compile(r"index=\d+"))
    settled(page)
    link = urlsplit(page.url)
    again = visit(f"{link.path}?{link.query}", by=stranger)
    expect(title(again)).to_have_text(title(page).inner_text())
    for words in ("of 200 images", re.compile(r"^4 of \d+$")):
        here = page.get_by_text(words).first.inner_text()
        expect(again.get_by_text(words).first).to_have_text(here)


def test_no_network_costs_one_sentence(visit):
    page = visit("/browse?model=tiny")
    page.get_by_role("button", name="Get CIFAR-10").click()
    alert = page.get_by_role("alert")
    expect(alert).to_have_count(1)
    expect(alert).to_contain_text("CIFAR-10 could not be downloaded")
    expect(alert).not_to_contain_text("Error")
    settled(page)
    thumbnails(page).nth(2).click()
    expect(title(page)).to_contain_text("#2 ")


# --- Playing ----------------------------------------------------------------------------------


@pytest.fixture
def training(visit, tiny):
    page = visit("/training?model=tiny")
    slider = page.get_by_role("slider", name=re.compile("^Epoch"))
    expect(slider).to_have_value(str(tiny.kept_epoch))
    return page, slider


def test_play_runs_to_the_last_epoch(training, tiny):
    page, slider = training
    page.get_by_role("button", name="Play").click()
    last = str(len(tiny.history))
    expect(slider).to_have_value(last)
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    expect(page.get_by_text(f"After epoch {last}").first).to_be_visible()


def test_pause_stops_it(training, tiny):
    page, slider = training
    page.get_by_role("button", name="Play").click()
    expect(slider).not_to_have_value(str(tiny.kept_epoch))
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    settled(page)
    stopped = slider.input_value()
    assert tiny.kept_epoch < int(stopped) < len(tiny.history)
    # had it gone on, the page would be at another epoch by the time it has run twice more
    for choice in ("rollout", "attention"):
        page.get_by_role("radio", name=choice).click()
        settled(page)
    expect(slider).to_have_value(stopped)


def test_a_run_under_way_is_shown_as_it_grows(visit, runs):
    folder = runs / "under-way"
    for name in ("config.json", "resume.pt"):  # as --resume does
        (folder / name).touch()
    page = visit("/training?model=under-way")
    slider = page.get_by_role("slider", name=re.compile("^Epoch"))
    expect(slider).to_have_value("10")
    expect(page.get_by_text("has finished epoch 10 of 12")).to_be_visible()
    add_epoch(folder)
    expect(slider).to_have_value("11")
    expect(page.get_by_text("after epoch 11").first).to_be_visible()
    add_epoch(folder)
    expect(slider).to_have_value("12")
    expect(page.get_by_text("training now")).to_have_count(0)
