import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from reference import (
    as_tutorial,
    forward,
    is_one_sentence,
    make_model,
    make_pictures,
    write_folder,
)

from core import attention
from core.attention import cls_maps, extract, extract_set
from core.checkpoint import load_run, save_run
from core.data import image_set, open_images
from core.errors import InputError
from core.files import cache_folder
from core.model import VisionTransformer


@pytest.fixture
def model():
    return make_model(image_size=12)  # 3 × 3 patches


@pytest.fixture
def pictures(request):
    """Seven pictures that no other test has put into the cache."""
    seed = zlib.crc32(request.node.name.encode())
    return image_set("seven", make_pictures(7, 12, seed), None, ())


def test_extract_agrees_with_plain_loops(model, pictures):
    found = extract(model, pictures.images[:2])
    prepared = model.prepare(pictures.images[:2]).numpy()
    _, expected = forward(as_tutorial(model), prepared, heads=2, patch=4)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.dtype == torch.float32
    assert not found.requires_grad


def test_cls_maps_are_the_cls_rows_where_their_patches_are(model, pictures):
    whole = extract(model, pictures.images).numpy()
    maps = cls_maps(model, pictures.images, batch_size=3)
    assert maps.shape == (7, 3, 2, 3, 3)
    assert maps.dtype == np.float32
    for row in range(3):
        for column in range(3):
            patch = whole[:, :, :, 0, 1 + 3 * row + column]
            np.testing.assert_allclose(maps[..., row, column], patch, atol=1e-6)


def test_cls_maps_of_nothing(model):
    assert cls_maps(model, make_pictures(0, 12)).shape == (0, 3, 2, 3, 3)


def test_extract_set_agrees_with_one_image_at_a_time(model, pictures):
    calls = []
    found = extract_set(model, pictures, batch_size=3, progress=lambda *done: calls.append(done))
    assert calls == [(3, 7), (6, 7), (7, 7)]
    assert found.cls_rows.shape == (7, 3, 2, 9)
    for i in range(7):
        one = pictures.images[i : i + 1]
        rows = extract(model, one)[0, :, :, 0, 1:]
        np.testing.assert_allclose(found.cls_rows[i], rows, rtol=1e-3, atol=1e-6)
        probabilities = model(model.prepare(one)).softmax(dim=-1)[0]
        np.testing.assert_allclose(found.probabilities[i], probabilities, atol=1e-6)
    assert found.probabilities.dtype == np.float32
    assert found.cls_rows.dtype == np.float16
    assert isinstance(found.cls_rows, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        found.cls_rows[0] = 0


def test_a_second_call_reads_what_the_first_wrote(model, pictures, monkeypatch):
    first = extract_set(model, pictures)

    def refuse(*arguments, **options):
        raise AssertionError("the model was run again")

    monkeypatch.setattr(VisionTransformer, "prepare", refuse)
    second = extract_set(make_model(image_size=12), pictures)  # the same weights, another object
    np.testing.assert_array_equal(first.cls_rows, second.cls_rows)
    np.testing.assert_array_equal(first.probabilities, second.probabilities)
    with pytest.raises(AssertionError, match="run again"):
        extract_set(make_model(seed=1, image_size=12), pictures)
    with pytest.raises(AssertionError, match="run again"):
        extract_set(model, pictures.sample(6))


def test_half_the_precision_is_close_and_kept_apart(model, pictures):
    exact = extract_set(model, pictures)
    close = extract_set(model, pictures, precision="bfloat16")
    np.testing.assert_allclose(close.probabilities, exact.probabilities, atol=0.05)
    np.testing.assert_allclose(close.cls_rows, exact.cls_rows, atol=0.05)
    assert not np.array_equal(close.probabilities, exact.probabilities)
    assert np.array_equal(extract_set(model, pictures).probabilities, exact.probabilities)
    assert next(model.parameters()).dtype == torch.float32
    with pytest.raises(InputError) as error:
        extract_set(model, pictures, precision="float8")
    assert is_one_sentence(error.value)


def test_a_broken_extraction_leaves_nothing(model, pictures):
    def interrupt(done, total):
        if done > 3:
            raise KeyboardInterrupt

    before = set(cache_folder("extractions").iterdir())
    with pytest.raises(KeyboardInterrupt):
        extract_set(model, pictures, batch_size=3, progress=interrupt)
    assert set(cache_folder("extractions").iterdir()) == before
    assert len(extract_set(model, pictures).probabilities) == 7


def test_an_empty_set_has_no_attention(model):
    found = attention.extract_set(model, image_set("none", make_pictures(0, 12), None, ()))
    assert found.cls_rows.shape == (0, 3, 2, 9)
    assert found.probabilities.shape == (0, 5)


# --- Ahead of time, by one process or several -------------------------------------------------


@pytest.fixture
def stored(tmp_path):
    """A run folder, and 13 pictures that two processes cannot share evenly, as PATH, SOURCE."""
    images = image_set("13", make_pictures(13, 12, 5), np.arange(13) % 2, ("a", "b"))
    write_folder(tmp_path / "pictures", images)
    save_run(tmp_path / "run", make_model(image_size=12), [str(i) for i in range(5)])
    return tmp_path / "run", tmp_path / "pictures"


def extract_by_command(run, pictures, out, processes):
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", processes]
    words = ["-m", "core.attention", "--model", run, "--data", pictures, "--out", out]
    words += ["--device", "cpu", "--batch-size", 4]
    return subprocess.run(
        [sys.executable, *map(str, [*launcher * (processes > 1), *words])],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


def test_two_processes_write_the_one_store_that_the_dashboard_reads(stored, tmp_path, monkeypatch):
    run, pictures = stored
    for processes in (1, 2):
        done = extract_by_command(run, pictures, tmp_path / str(processes), processes)
        assert done.returncode == 0, done.stderr
        assert "13 images" in done.stdout
    (one,), (two,) = ((tmp_path / name).iterdir() for name in "12")
    assert one.name == two.name
    images = open_images(pictures, 12)
    expected = extract_set(load_run(run).model, images, batch_size=4)
    monkeypatch.setattr(attention, "_passes", None)  # nothing is computed again
    for folder in (one, two):
        monkeypatch.setenv("VITASCOPE_EXTRACTIONS", str(folder.parent))
        found = extract_set(load_run(run).model, images)
        assert found.cls_rows.shape[0] == 13
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-6)
        np.testing.assert_allclose(found.cls_rows, expected.cls_rows, atol=1e-3)  # float16


@pytest.mark.parametrize("processes", [1, 2])
def test_the_command_says_in_one_sentence_what_is_wrong(stored, tmp_path, processes):
    (tmp_path / "file").write_text("no folder")
    run, pictures = stored
    for words, hint in (
        (("nowhere", pictures, tmp_path / "out"), "nowhere"),
        ((run, pictures, tmp_path / "file" / "out"), "cannot be written"),
    )[: 3 - processes]:
        done = extract_by_command(*words, processes)
        assert done.returncode == 1
        complaints = [line for line in done.stderr.splitlines() if hint in line]
        assert is_one_sentence(complaints[0])
    assert not (tmp_path / "out").exists()
