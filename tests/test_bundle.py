"""Bundles, written and opened again as the person who gets one would."""

import io
import json
import resource
import zipfile

import matplotlib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from core.amplify import amplify
from core.bundle import CHUNK, write_bundle
from core.data import image_set
from core.errors import InputError, WriteError
from core.selection import verdicts

N = 2 * CHUNK + 5
CLASSES = ("Käse/Brot..", "猫", 'CON: <b>,\\ "x"', "d" * 300)
rng = np.random.default_rng(0)
PIXELS = rng.integers(0, 256, (N, 20, 30, 3), dtype=np.uint8)
IMAGES = image_set("Noise", PIXELS, np.arange(N) % 4, CLASSES)
MAPS = rng.random((N, 2, 3)).astype(np.float32)
MAPS[7] = 0.25  # the same everywhere
LABELS = np.where(np.arange(N) % 5 == 0, -1, IMAGES.labels)  # a fifth is unknown
COLUMNS = verdicts(LABELS, rng.dirichlet(np.ones(4), N).astype(np.float32))
INDICES = rng.permutation(N)[: N - 2]


def write(path, indices=INDICES, maps=MAPS.__getitem__, **options):
    options = {"settings": {"model": "Käse"}, **options}
    write_bundle(path, IMAGES, indices, COLUMNS, CLASSES, maps, **{"about": "tests", **options})


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "bundle.zip"
    write(path, gain=3.0, resize="nearest", colors="magma")
    return path


@pytest.fixture(scope="module")
def table(path) -> pd.DataFrame:
    with zipfile.ZipFile(path) as bundle:
        return pd.read_csv(bundle.open("images.csv"))


def test_pictures_are_image_map_and_amplified(path, table):
    with zipfile.ZipFile(path) as bundle:
        sheets = [Image.open(io.BytesIO(bundle.read(file))) for file in table["file"]]
    for index, sheet in zip(INDICES, sheets, strict=True):
        assert sheet.size == (3 * 300 + 2 * 8, 200)  # 10 times 20 × 30 pixels
        left, between, middle, _, right = np.split(np.asarray(sheet), [300, 308, 608, 616], axis=1)
        assert (between == 255).all()
        for panel in (left, middle, right):  # a pixel of the image is a square of one colour
            np.testing.assert_array_equal(panel, panel[::10, ::10].repeat(10, 0).repeat(10, 1))
        np.testing.assert_array_equal(left[::10, ::10], PIXELS[index])
        amplified = amplify(MAPS[index], PIXELS[index], gain=3, resize="nearest").amplified
        np.testing.assert_allclose(right[::10, ::10] / 255, amplified, atol=0.5 / 255 + 1e-6)
        cells = middle[50::100, 50::100] / 255  # (2, 3, 3), their middles
        span = max(np.ptp(MAPS[index]), 1e-9)
        expected = matplotlib.colormaps["magma"]((MAPS[index] - MAPS[index].min()) / span)
        np.testing.assert_allclose(cells, expected[..., :3], atol=1 / 255)


def test_numbers_are_the_models(path, table):
    np.testing.assert_array_equal(table["index"], INDICES)
    known = LABELS[INDICES] >= 0
    names = np.array(CLASSES)
    assert not table.loc[~known, ["label", "right", "margin"]].notna().any(axis=None)
    assert list(table["label"][known]) == list(names[LABELS[INDICES][known]])
    assert list(table["prediction"]) == list(names[COLUMNS.predicted[INDICES]])
    assert list(table["right"][known]) == list(COLUMNS.correct[INDICES][known])
    for column in ("confidence", "margin"):
        values = getattr(COLUMNS, column)[INDICES]
        np.testing.assert_array_equal(table[column].astype(np.float32)[known], values[known])
    with zipfile.ZipFile(path) as bundle:
        np.testing.assert_array_equal(np.load(bundle.open("maps.npy")), MAPS[INDICES])
        settings = json.loads(bundle.read("settings.json"))
        words = bundle.read("README.txt").decode()
    assert settings == {"model": "Käse", "gain": 3.0, "resize": "nearest", "colors": "magma"}
    assert f"{N - 2} of the {N} images of Noise" in words
    assert "(magma) span its own lowest to highest value" in words


def test_every_system_can_unpack_it(path, table):
    with zipfile.ZipFile(path) as bundle:
        assert bundle.testzip() is None
        names = bundle.namelist()
        assert {member.external_attr >> 16 for member in bundle.infolist()} == {0o644}
    others = ["images.csv", "settings.json", "README.txt", "maps.npy"]
    assert names == [*table["file"], *others]
    assert table["file"].str.fullmatch(r"pictures/\d{5} [A-Za-z0-9 -]{1,90}\.png").all()
    plain = ("Kase-Brot", "class-1", "CON-b-x", "d" * 40)
    for index, file in zip(INDICES, table["file"], strict=True):
        label = f"{plain[LABELS[index]]} as " if LABELS[index] >= 0 else ""
        assert file == f"pictures/{index:05d} {label}{plain[COLUMNS.predicted[index]]}.png"


def test_maps_are_asked_for_in_chunks_and_progress_follows(tmp_path):
    asked, said = [], []

    def maps(positions):
        asked.append(positions)
        return MAPS[positions]

    write(tmp_path / "a.zip", maps=maps, progress=lambda *step: said.append(step))
    np.testing.assert_array_equal(np.concatenate(asked), INDICES)
    assert max(map(len, asked)) == CHUNK
    assert said == [(CHUNK, N - 2), (2 * CHUNK, N - 2), (N - 2, N - 2)]


def test_the_same_bytes_again(tmp_path):
    write(tmp_path / "a.zip", INDICES[:9])
    write(str(tmp_path / "b.zip"), INDICES[:9].tolist())
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_cancelling_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(b"an older bundle")

    def cancel(done, total):
        if done > CHUNK:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(path, progress=cancel)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"an older bundle"


def test_a_full_disk_and_a_missing_folder_are_said(tmp_path):
    with pytest.raises(WriteError, match="No such file"):
        write(tmp_path / "missing" / "a.zip")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))
        with pytest.raises(WriteError, match=r"a\.zip cannot be written"):
            write(tmp_path / "a.zip")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "options"),
    [
        (InputError, {"indices": []}),
        (ValueError, {"indices": [0, N]}),
        (ValueError, {"indices": [-1]}),
        (ValueError, {"indices": [3, 3]}),
        (ValueError, {"colors": "jet"}),
        (InputError, {"resize": "sharp"}),
        (InputError, {"maps": lambda positions: MAPS[:3]}),
        (InputError, {"maps": lambda positions: MAPS[positions].reshape(-1, 6)}),
        (InputError, {"maps": lambda positions: np.ones((len(positions), len(positions), 2))}),
        (InputError, {"maps": lambda positions: MAPS[positions] * np.nan}),
        (TypeError, {"settings": {"when": object()}}),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(tmp_path, error, options):
    with pytest.raises(error):
        write(tmp_path / "a.zip", **options)
    assert not list(tmp_path.iterdir())
