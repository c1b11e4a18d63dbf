"""The report, read again as a browser would."""

import base64
import json
import xml.etree.ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest
from test_paper import FIGURES, picture

from core.figures import paper
from core.figures.figure import Panel, Panels
from core.figures.report import Entry, render

VOID = {"meta", "img"}
SETTINGS = {"model": "tutorial", "layers": [12], "class": "Käse </pre>", "gain": 2.0}


class Page(HTMLParser):
    """Every element in order, as (tag, attributes, text directly inside); open tags must close."""

    def __init__(self, file: bytes):
        super().__init__()
        self.elements, self._open = [], []
        self.feed(file.decode())
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attributes):
        self.elements.append([tag, dict(attributes), ""])
        if tag not in VOID:
            self._open.append(self.elements[-1])

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag

    def handle_data(self, data):
        if self._open:
            self._open[-1][2] += data

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes, _ in self.elements if name == tag]

    def texts(self, tag: str) -> list[str]:
        return [text for name, _, text in self.elements if name == tag]


def content(uri: str, kind: str) -> bytes:
    head, _, body = uri.partition(",")
    assert head == f"data:{kind};base64"
    return base64.b64decode(body, validate=True)


@pytest.fixture(scope="module")
def file() -> bytes:
    return render("Every kind", [Entry(figure, "A note.", SETTINGS) for figure in FIGURES.values()])


def test_every_figure_is_there_with_its_note_settings_and_numbers(file):
    page, figures = Page(file), list(FIGURES.values())
    assert page.texts("h1") == page.texts("title") == ["Every kind"]
    assert page.texts("h2") == [figure.title for figure in figures]
    assert page.texts("figcaption") == ["A note."] * len(figures)
    assert [json.loads(text) for text in page.texts("pre")] == [SETTINGS] * len(figures)
    for figure, image in zip(figures, page.all("img"), strict=True):
        root = xml.etree.ElementTree.fromstring(content(image["src"], "image/svg+xml"))
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert image["alt"].startswith(f"{figure.title}: ")
    downloads = [link for link in page.all("a") if "download" in link]
    for figure, link in zip(figures, downloads, strict=True):
        assert content(link["href"], "text/csv") == paper.table(figure)


def test_nothing_comes_from_elsewhere(file):
    page = Page(file)
    assert not {"script", "link", "iframe", "base"} & {tag for tag, _, _ in page.elements}
    for _, attributes, _ in page.elements:
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("#", "data:"))
    assert "url(" not in "".join(page.texts("style"))
    assert "@import" not in "".join(page.texts("style"))
    assert page.all("html") == [{"lang": "en"}]


def test_contents_lead_to_every_figure_once_there_are_three(file):
    page = Page(file)
    targets = [f"#{section['id']}" for section in page.all("section")]
    contents = [link["href"] for link in page.all("a") if link["href"].startswith("#")]
    assert contents == targets
    assert len(set(targets)) == len(FIGURES)
    two = [Entry(FIGURES["bars"], "", {})] * 2
    assert not Page(render("", two)).all("nav")
    assert len(Page(render("", [*two, two[0]])).all("nav")) == 1


def test_what_people_typed_stays_text():
    attack = "<script>alert(1)</script> \"'> & </style></pre>"
    figure = Panels(attack, [Panel("p", attack, picture, note=attack)], columns=1)
    page = Page(render(attack, [Entry(figure, attack, {attack: attack})]))
    assert not page.all("script")
    for tag in ("title", "h1", "h2", "figcaption"):
        assert page.texts(tag) == [attack]
    assert json.loads(*page.texts("pre")) == {attack: attack}
    assert page.all("img")[0]["alt"].startswith(attack)


def test_the_same_bytes_again(file):
    entries = [Entry(figure, "A note.", SETTINGS) for figure in FIGURES.values()]
    assert render("Every kind", entries) == file


def test_numbers_that_would_swell_the_file_are_left_out():
    large = Panels("", [Panel("map", "", np.random.default_rng(0).random((200, 200)))], columns=1)
    page = Page(render("", [Entry(large, "", {})]))
    assert not page.all("a")
    assert "MB" in page.texts("p")[0]
