"""What holds on every page: it opens cold, and a bad link, folder or filter costs one sentence."""

import shutil

import pytest
from PIL import Image
from reading import ROOT, complaint, complaints, component_keys, go
from streamlit.testing.v1 import AppTest

from core.checkpoint import save_run
from core.model import VisionTransformer, ViTConfig

WITH_IMAGES = ("overview", "browse", "attention", "compare", "confusion", "heads", "trust")
PAGES = (*WITH_IMAGES, "training")


def usable(at: AppTest) -> bool:
    """A page with its title and the whole sidebar, and no stack trace."""
    return not at.exception and len(at.title) == 1 and len(at.sidebar.selectbox) == 3


@pytest.mark.parametrize("name", PAGES)
def test_opens_cold(start, name):
    at = start(name)
    assert usable(at)
    assert complaints(at) == []


def test_opens_from_the_entry_with_the_models_that_are_shipped(monkeypatch):
    monkeypatch.delenv("VITASCOPE_CHECKPOINTS", raising=False)
    monkeypatch.delenv("VITASCOPE_DATA", raising=False)
    at = AppTest.from_file(str(ROOT / "dashboard.py"), default_timeout=120).run()
    assert usable(at)
    assert at.title[0].value == "What does this model look at?"
    for page in PAGES:
        assert usable(go(at, page))


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("parameter", ("model", "images", "class"))
def test_a_link_to_what_is_not_here(start, name, parameter):
    query = {"model": "tiny", parameter: "zebra"}
    at = start(name, query.pop("model"), **query)
    assert "zebra" in complaint(at)
    assert usable(at)


def test_what_a_link_names_rightly_stays(start):
    """One unknown class in a link does not cost the known ones."""
    at = start("browse", **{"class": ["cat", "zebra"]})
    assert "zebra" in complaint(at)
    assert at.multiselect(key="class").value == ["cat"]


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(
    "link",
    [
        {"outcome": "maybe"},
        {"order": "random"},
        {"page": "many", "size": "7", "amplified": "perhaps"},
        {"layer": "99", "head": "99", "gain": "-3", "resize": "none"},
        {"layer": "x", "head": "x", "gain": "nan"},
        {"smoothing": "2", "published": "x", "cells": "x"},
    ],
)
def test_nonsense_in_a_link_is_survived(start, name, link):
    assert usable(start(name, **link))


@pytest.mark.parametrize("name", ("overview", "browse"))
def test_no_image_passes(start, cats, name):
    at = start(name, data=cats, images="zoo/cats", **{"class": "ship"})
    assert "No image passes" in complaint(at)
    assert usable(at)
    # what an image becomes can be shown all the same
    assert component_keys(at) <= {"address", "overview_patches"}


def test_attention_when_no_image_passes(start, cats):
    at = start("attention", data=cats, images="zoo/cats", index="1", **{"class": "ship"})
    assert usable(at)
    assert at.title[0].value.startswith("#1 ")
    assert [b.disabled for b in at.button if b.label in ("Previous", "Next")] == [True, True]


@pytest.fixture
def cats(tmp_path, samples):
    """A folder of two pictures, both in the class folder `cat`."""
    folder = tmp_path / "zoo" / "cats"
    (folder / "cat").mkdir(parents=True)
    for i in range(2):
        Image.fromarray(samples.images[60 + i]).save(folder / "cat" / f"{i}.png")
    return folder


# --- Run folders ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ("overview", "training"))
def test_a_broken_run_is_named_and_the_others_work(start, runs, tmp_path, name):
    folder = tmp_path / "runs"
    shutil.copytree(runs, folder)
    shutil.copytree(runs / "tiny", folder / "broken")
    (folder / "broken" / "model.safetensors").write_bytes(b"half")
    at = start(name, checkpoints=folder)
    assert complaint(at).startswith("broken: model.safetensors is")
    assert usable(at)
    assert at.selectbox(key="model").options == ["elsewhere", "tiny"]
    assert at.selectbox(key="model").value == "tiny"


def test_a_run_whose_history_is_damaged(start, runs, tmp_path):
    shutil.copytree(runs / "tiny", tmp_path / "runs" / "damaged")
    (tmp_path / "runs" / "damaged" / "history.csv").write_text("epoch,loss\n1,2\n")
    at = start("overview", None, checkpoints=tmp_path / "runs")
    assert complaint(at).startswith("damaged: history.csv is")
    assert not at.exception


@pytest.mark.parametrize("name", PAGES)
def test_no_model_at_all(start, tmp_path, name):
    at = start(name, None, checkpoints=tmp_path)
    assert complaint(at).startswith("There is no model here.")
    assert not at.exception


@pytest.mark.parametrize("name", PAGES)
def test_a_model_without_history_or_results(start, tmp_path, samples, name):
    model = VisionTransformer(ViTConfig(width=8, layers=1, heads=1, mlp_width=8))
    save_run(tmp_path / "bare", model, samples.classes)
    at = start(name, "bare", checkpoints=tmp_path)
    assert usable(at)
    if name == "training":
        assert complaint(at).startswith("bare brings no history")


def test_two_runs_of_one_name(start, runs, tmp_path):
    for parent in ("a", "b"):
        shutil.copytree(runs / "tiny", tmp_path / parent / "tiny")
    at = start("overview", checkpoints=f"{tmp_path / 'a'}:{tmp_path / 'b'}")
    assert at.selectbox(key="model").options == ["tiny", "tiny (2)"]


# --- Images -----------------------------------------------------------------------------------


def test_a_folder_that_holds_nothing(start, tmp_path):
    at = start("browse", data=tmp_path / "missing")
    assert str(tmp_path / "missing") in complaint(at)
    assert usable(at)


@pytest.fixture
def unlabelled(tmp_path, samples):
    """A folder of six pictures, without class folders; one file is no picture."""
    folder = tmp_path / "holiday"
    folder.mkdir()
    for i in range(6):
        Image.fromarray(samples.images[20 * i]).save(folder / f"{i}.png")
    (folder / "6.png").write_text("not a picture")
    return folder


@pytest.mark.parametrize("name", PAGES)
def test_pictures_without_labels(start, unlabelled, name):
    at = start(name, data=unlabelled, images=f"{unlabelled.parent.name}/holiday")
    assert usable(at)
    assert complaints(at) == []
    outcome = at.sidebar.get("button_group")[0]
    assert outcome.proto.disabled
    assert "**6** of 6 images" in [c.value for c in at.sidebar.caption]
    assert "1 file" in at.sidebar.expander[0].label
    assert at.sidebar.code[0].value == "6.png"
    if name == "attention":
        assert "→" not in at.title[0].value  # no label, only a prediction


def test_confusion_of_pictures_without_labels(start, unlabelled, tmp_path, runs):
    """The run's own results stand in; where it has none either, one sentence says so."""
    shutil.copytree(runs / "tiny", tmp_path / "runs" / "tiny")
    query = {"data": unlabelled, "images": f"{unlabelled.parent.name}/holiday"}
    at = start("confusion", checkpoints=tmp_path / "runs", **query)
    assert at.metric[0].help == "of 200 images"
    (tmp_path / "runs" / "tiny" / "predictions.parquet").unlink()
    at = start("confusion", checkpoints=tmp_path / "runs", **query)
    assert "no labels" in complaint(at)


@pytest.mark.parametrize("name", WITH_IMAGES)
def test_a_class_that_the_model_lacks(start, tmp_path, samples, name):
    for animal, index in (("cat", 60), ("zebra", 140)):
        (tmp_path / "zoo" / animal).mkdir(parents=True)
        Image.fromarray(samples.images[index]).save(tmp_path / "zoo" / animal / "1.png")
    at = start(name, data=tmp_path / "zoo", images=f"{tmp_path.name}/zoo", index="1")
    assert usable(at)
    assert any("does not know the class zebra" in c.value for c in at.sidebar.caption)
    if name == "confusion":
        assert at.metric[1].value in ("0", "1")  # the zebra cannot be a mistake
    if name == "attention":
        assert "→" not in at.title[0].value


def test_real_cifar10(start, cifar10):
    """All of the test set: 10,000 JPEG pictures, decoded once."""
    at = start("browse", data=cifar10, images="CIFAR-10 test", order="least sure")
    names = at.selectbox(key="images").options
    assert names == ["cifar10/test.parquet", "cifar10/train.parquet", "Sample scenes"]
    at.selectbox(key="images").select(names[0]).run()
    assert "**10,000** of 10,000 images" in [c.value for c in at.sidebar.caption]
    assert usable(at)
    assert usable(go(at, "confusion"))
    assert at.metric[0].help == "of 10,000 images"
