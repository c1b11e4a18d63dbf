"""What a link holds, and that it brings back what was there."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest
import streamlit as st
from reading import complaints, component_keys, panels_of
from streamlit.runtime.state.query_params import QueryParams

from core.errors import InputError
from ui import links

PLACES = {
    "browse": {"class": ["cat"], "order": "least sure", "amplified": "true", "gain": "3.5"},
    "attention": {"index": "7", "layer": "2", "head": "1", "query": "patch 6", "colors": "magma"},
    "compare": {"panels": "3", "same": ["image"], "layer_b": "1", "model_c": "elsewhere"},
    "confusion": {"label": "cat", "taken_for": "cat", "common": "right against wrong"},
    "training": {"epoch": "7", "replay": "rollout", "picture": "scene 3", "over": "minutes"},
}


@pytest.mark.parametrize("name", links.OF_PAGE)
def test_the_table_of_parameters_is_complete(start, monkeypatch, name):
    """What the page's widgets bind to the URL is what settings and notes know of."""
    bound = set()
    bind = QueryParams.bind_widget

    def record(self, param_key, **about):
        bound.add(param_key)
        return bind(self, param_key=param_key, **about)

    monkeypatch.setattr(QueryParams, "bind_widget", record)
    start(name, **PLACES.get(name, {}))
    assert bound <= {*links.EVERYWHERE, *links.OF_PAGE[name]}
    assert bound >= {*links.EVERYWHERE, *PLACES.get(name, {})}


@pytest.mark.parametrize("name", PLACES)
def test_settings_bring_the_page_back(start, name):
    at = start(name, **PLACES[name])
    assert complaints(at) == []
    made = json.loads(json.dumps(settings_of(at, name)))
    assert made["model"] == {"name": "tiny", "fingerprint": made["model"]["fingerprint"]}
    path, query = urlsplit(made["link"]).path, parse_qs(urlsplit(made["link"]).query)
    assert path == name
    assert query["model"] == ["tiny"]
    again = start(name, None, **query)
    assert complaints(again) == []
    for key in component_keys(at) - {"address"}:
        assert panels_of(again, key) == panels_of(at, key)


def settings_of(at, name) -> dict:
    """The settings of a figure on the page, as its export would write them."""
    with pytest.MonkeyPatch.context() as patch:
        state = at.session_state._state.filtered_state
        patch.setattr(st, "session_state", state)
        found = links.settings("figure", "A figure")
        parsed = links.parse_settings(json.dumps(found).encode())
        assert parsed.items() <= found.items()
        assert links.address(parsed) == found["link"]
        return found


@pytest.mark.parametrize(
    ("name", "link", "told"),
    [
        ("attention", {"layer": "99"}, "layer `99`, which is not here; this shows `3`."),
        ("attention", {"head": "7"}, "head `7`, which is not here; this shows `average`."),
        (
            "attention",
            {"query": "patch 99"},
            "query `patch 99`, which is not here; this shows `CLS`.",
        ),
        (
            "browse",
            {"class": ["cat", "zebra"]},
            "class `zebra`, which is not here; this shows `cat`.",
        ),
        ("browse", {"page": "99"}, "page `99`"),
        (
            "compare",
            {"model_b": "gone"},
            "model_b `gone`, which is not here; this shows `elsewhere`.",
        ),
        ("compare", {"index": "9999"}, "index `9999`, which is not here; this shows `0`."),
        ("confusion", {"label": "zebra"}, "label `zebra`, which is not here; this shows none."),
        ("training", {"epoch": "99"}, "epoch `99`, which is not here; this shows"),
        (
            "browse",
            {"order": "![x](https://evil.example/x.png)"},
            "`![x](https://evil.example/x.png)`",
        ),
        ("browse", {"order": "`" + 100 * "x"}, "`'" + 58 * "x" + "…`"),
    ],
)
def test_a_stale_value_is_told_once(start, name, link, told):
    at = start(name, **link)
    (note,) = complaints(at)
    assert told in note
    assert complaints(at.run()) == []


@pytest.mark.parametrize("defaults", [{"layer": "3"}, {"gain": "2.0"}, {"outcome": "ALL"}])
def test_what_a_link_says_of_defaults_is_not_refused(start, defaults):
    assert complaints(start("attention", **defaults)) == []


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"page": "x", "choices": {}}'),
        *(b'{"page": "browse", "choices": []}', b'{"page": "browse", "choices": {}, "model": "x"}'),
        b'{"page": "browse", "choices": {"order": null}}',
        b'{"page": "browse", "choices": {"class": [{}]}}',
    ],
)
def test_what_are_no_settings(content):
    with pytest.raises(InputError):
        links.parse_settings(content)


def test_nothing_that_is_the_same_for_all_is_a_choice_too(start):
    at = start("compare", same="")
    made = settings_of(at, "compare")
    assert made["choices"]["same"] == []
    again = start("compare", None, **parse_qs(urlsplit(made["link"]).query, keep_blank_values=True))
    assert panels_of(again, "compare_maps") == panels_of(at, "compare_maps")


def test_words_of_files_are_no_markdown():
    assert links.plain("![x](y) *b* `c` <d> $e$ f_g") == (r"!\[x\](y) \*b\* \`c\` \<d\> \$e\$ f\_g")


def test_settings_of_another_model_of_that_name():
    class Here:
        run = images = type("Named", (), {"name": "a", "fingerprint": "1"})

    made = {"model": {"name": "a", "fingerprint": "2"}, "images": {"name": "b", "fingerprint": "2"}}
    assert links.strangers(made, Here) == ["model"]


def test_a_link_that_chooses_no_class_is_no_complaint(start):
    at = start("attention", **{"class": ""})
    assert complaints(at) == []
