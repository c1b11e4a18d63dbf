import http.client
import io
import os
import struct
import urllib.error
import urllib.request

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from reference import is_one_sentence, make_pictures, png, write_folder, write_parquet

from core import data
from core.data import (
    CIFAR10_CLASSES,
    download_cifar10,
    find_sources,
    has_cifar10,
    image_set,
    open_images,
    open_pictures,
    source_name,
)
from core.errors import DataError, DownloadError
from core.files import cache_folder

NAMES = ("ant", "bee", "cat")


@pytest.fixture
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path / "cache"))


# --- ImageSet ---------------------------------------------------------------------------------


def test_samples(samples):
    assert len(samples) == 200
    assert samples.images.shape == (200, 32, 32, 3)
    assert samples.images.dtype == np.uint8
    assert samples.labels.dtype == np.int64
    assert np.bincount(samples.labels).tolist() == [20] * 10
    assert samples.classes == CIFAR10_CLASSES
    assert samples.masks.shape == (200, 32, 32)
    assert samples.masks.dtype == bool
    shares = samples.masks.mean(axis=(1, 2))
    assert 0.05 < shares.min() < shares.max() < 0.95
    assert len({image.tobytes() for image in samples.images}) == 200


def test_sample_masks_lie_on_their_objects(samples):
    """Tiles of two sheets in another order would still look like masks: colours must tell."""
    gaps = []
    for image, mask in zip(samples.images.astype(float), samples.masks):
        change = np.abs(np.diff(image, axis=1)).sum(axis=2)
        edge = mask[:, 1:] != mask[:, :-1]
        gaps.append(change[edge].mean() - change[~edge].mean())
    assert np.mean(np.array(gaps) > 0) > 0.9


@pytest.mark.parametrize("part", ["images", "labels", "masks"])
def test_arrays_that_sessions_share_are_read_only(samples, part):
    assert not getattr(samples, part).flags.writeable


def test_fingerprint_changes_with_any_content():
    images, labels = make_pictures(2000, 2), np.arange(2000) % 3
    before = image_set("a", images, labels, NAMES).fingerprint
    assert image_set("b", images.copy(), labels.tolist(), list(NAMES)).fingerprint == before
    one_pixel = images.copy()
    one_pixel[1999, 1, 1, 2] ^= 1
    one_label = labels.copy()
    one_label[1000] = 0
    others = [
        image_set("a", one_pixel, labels, NAMES),
        image_set("a", images, one_label, NAMES),
        image_set("a", images, None, NAMES),
        image_set("a", images, labels, ("ant", "bee", "cow")),
        image_set("a", images.reshape(2000, 4, 1, 3), labels, NAMES),
    ]
    assert len({before, *(other.fingerprint for other in others)}) == 6


def test_an_image_set_may_be_a_part_of_another():
    images, labels = make_pictures(6, 2), np.arange(6) % 3
    part = image_set("a", images[::2], labels[::2], NAMES)
    copied = image_set("a", images[::2].copy(), labels[::2].copy(), NAMES)
    assert part.fingerprint == copied.fingerprint


def test_labels_in_another_order_of_classes():
    images = image_set("a", make_pictures(4, 2), [0, 1, 2, 1], NAMES)
    assert images.labels_in(("cat", "dog", "ant")).tolist() == [2, -1, 0, -1]
    assert images.labels_in(NAMES).tolist() == [0, 1, 2, 1]
    assert image_set("a", make_pictures(2, 2), None, ()).labels_in(NAMES).tolist() == [-1, -1]


def test_sample_draws_without_replacement_in_order(samples):
    part = samples.sample(50, seed=1)
    assert len(part) == 50
    whole = [image.tobytes() for image in samples.images]
    places = [whole.index(image.tobytes()) for image in part.images]
    assert places == sorted(set(places))
    np.testing.assert_array_equal(part.labels, samples.labels[places])
    np.testing.assert_array_equal(part.masks, samples.masks[places])
    assert part.classes == samples.classes
    assert part.fingerprint == samples.sample(50, seed=1).fingerprint
    assert part.fingerprint != samples.sample(50, seed=2).fingerprint
    assert samples.sample(200) is samples.sample(999) is samples


def test_samples_at_another_size(samples):
    large = open_images("samples", 64)
    assert large.images.shape == (200, 64, 64, 3)
    np.testing.assert_array_equal(large.masks, samples.masks.repeat(2, axis=1).repeat(2, axis=2))
    assert open_images("samples", 32).fingerprint == samples.fingerprint


# --- Parquet ----------------------------------------------------------------------------------


@pytest.mark.parametrize("label_type", [pa.int64(), pa.uint8(), pa.int32()])
def test_parquet_with_class_names(tmp_path, label_type):
    pictures = make_pictures(5)
    path = write_parquet(
        tmp_path / "birds.parquet", map(png, pictures), [2, 0, 1, 2, 0], NAMES, label_type
    )
    images = open_images(path)
    np.testing.assert_array_equal(images.images, pictures)
    assert images.labels.tolist() == [2, 0, 1, 2, 0]
    assert images.labels.dtype == np.int64
    assert images.classes == NAMES
    assert "birds" in images.name
    assert images.skipped == ()
    assert open_images(f"{write_parquet(tmp_path / 'test.parquet', map(png, pictures), [0] * 5)}")
    assert len(open_images(f"{tmp_path}:test")) == 5


def test_parquet_without_class_names(tmp_path):
    pictures = [png(picture) for picture in make_pictures(3)]
    ten = open_images(write_parquet(tmp_path / "test.parquet", pictures, [0, 9, 3]))
    assert ten.classes == CIFAR10_CLASSES
    more = open_images(write_parquet(tmp_path / "more.parquet", pictures, [0, 10, 3]))
    assert more.classes == tuple(f"class {i}" for i in range(11))


def test_corrupt_rows_are_skipped_and_named(tmp_path):
    pictures = make_pictures(6)
    rows = [png(picture) for picture in pictures]
    rows[1], rows[3], rows[4] = rows[1][:60], None, b"hello"
    images = open_images(write_parquet(tmp_path / "a.parquet", rows, [0, 1, 2, 0, 1, 2], NAMES))
    np.testing.assert_array_equal(images.images, pictures[[0, 2, 5]])
    assert images.labels.tolist() == [0, 2, 2]
    assert images.skipped == ("a.parquet row 1", "a.parquet row 3", "a.parquet row 4")


def save_table(path, columns, metadata=None):
    table = pa.table(columns)
    pq.write_table(table.replace_schema_metadata(metadata) if metadata else table, path)


def save_cut(path, keep):
    write_parquet(path, map(png, make_pictures(20)), [0] * 20)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])


def save_damaged(path):
    """Whole at both ends, garbage between."""
    write_parquet(path, map(png, make_pictures(20)), [0] * 20)
    content = bytearray(path.read_bytes())
    content[4:600] = b"\xff" * 596
    path.write_bytes(content)


def half_a_jpeg():
    """Its header is whole, its pixels are not."""
    file = io.BytesIO()
    Image.fromarray(make_pictures(1, 32)[0]).save(file, "JPEG")
    return file.getvalue()[: file.tell() * 2 // 3]


PICTURE, CUT_JPEG = png(make_pictures(1)[0]), half_a_jpeg()
ROW = [{"bytes": PICTURE, "path": None}]
BAD_PARQUET = {
    "no img": lambda p: save_table(p, {"image": ROW, "label": [0]}),
    "no label": lambda p: save_table(p, {"img": ROW}),
    "img is bytes": lambda p: save_table(p, {"img": [PICTURE], "label": [0]}),
    "img lacks bytes": lambda p: save_table(p, {"img": [{"path": "a.png"}], "label": [0]}),
    "labels are words": lambda p: save_table(p, {"img": ROW, "label": ["cat"]}),
    "a label is missing": lambda p: save_table(p, {"img": ROW * 2, "label": [0, None]}),
    "a label is too large": lambda p: write_parquet(p, [PICTURE], [3], NAMES),
    "a label is negative": lambda p: write_parquet(p, [PICTURE, PICTURE], [0, -1], NAMES),
    "no rows": lambda p: write_parquet(p, [], [], NAMES, pa.int64()),
    "no picture is whole": lambda p: write_parquet(p, [b"x", None], [0, 1], NAMES),
    "every picture is cut": lambda p: write_parquet(p, [CUT_JPEG] * 2, [0, 1], NAMES),
    "cut": lambda p: save_cut(p, 0.5),
    "empty": lambda p: save_cut(p, 0),
    "text": lambda p: p.write_text("img,label\n"),
    "damaged": save_damaged,
}


@pytest.mark.parametrize("kind", BAD_PARQUET)
def test_parquet_that_cannot_be_opened(tmp_path, kind):
    BAD_PARQUET[kind](tmp_path / "a.parquet")
    with pytest.raises(DataError) as error:
        open_images(tmp_path / "a.parquet")
    assert is_one_sentence(error.value)


@pytest.mark.parametrize("about", ["{", "[]", '{"info": null}'])
def test_metadata_of_another_kind_is_as_good_as_none(tmp_path, about):
    columns = {"img": [{"bytes": PICTURE, "path": None}], "label": [3]}
    save_table(tmp_path / "a.parquet", columns, {"huggingface": about})
    assert open_images(tmp_path / "a.parquet").classes == CIFAR10_CLASSES


# --- Folders ----------------------------------------------------------------------------------


def solid(colour, size, mode="RGB"):
    return Image.new(mode, size, colour)


@pytest.fixture
def folder(tmp_path):
    """Every kind of picture file, each of one colour, and some that are none."""
    root = tmp_path / "pets"
    for name in ("cat", "ant", "empty", ".hidden"):
        (root / name).mkdir(parents=True)
    solid((200, 10, 20), (9, 12)).save(root / "ant" / "a.png")
    solid((200, 10, 20, 128), (20, 10), "RGBA").save(root / "ant" / "b.PNG")
    solid(77, (30, 30), "L").save(root / "cat" / "c.png")
    solid((0, 0, 250), (16, 16)).save(root / "cat" / "d.webp", lossless=True)
    solid((0, 0, 250), (16, 16)).quantize().save(root / "cat" / "e.gif")
    solid((10, 200, 10), (16, 16)).save(root / "cat" / "f.jpg", quality=100)
    (root / "cat" / "g.png").write_bytes(png(make_pictures(1, 40)[0])[:300])
    (root / "ant" / "h.jpeg").write_text("not a picture")
    (root / "ant" / "notes.txt").write_text("not a picture")
    solid(0, (4, 4), "L").save(root / ".hidden" / "i.png")
    (root / "empty" / "readme.md").write_text("")
    return root


def test_folder_of_all_kinds_of_pictures(folder):
    images = open_images(folder)
    assert images.name == "pets"
    assert images.classes == ("ant", "cat")
    assert images.labels.tolist() == [0, 0, 1, 1, 1, 1]
    assert images.images.shape == (6, 9, 9, 3)  # the shortest side among them
    colours = [(200, 10, 20)] * 2 + [(77, 77, 77)] + [(0, 0, 250)] * 2 + [(10, 200, 10)]
    for image, colour in zip(images.images, colours):
        assert np.abs(image.astype(int) - colour).max() <= 6
    assert sorted(images.skipped) == [os.path.join("ant", "h.jpeg"), os.path.join("cat", "g.png")]
    assert open_images(folder, size=24).images.shape == (6, 24, 24, 3)
    assert not images.images.flags.writeable


def test_folder_of_pictures_without_classes(tmp_path):
    pictures = make_pictures(3)
    for i, picture in enumerate(pictures):
        (tmp_path / f"{i}.png").write_bytes(png(picture))
    images = open_images(str(tmp_path))
    np.testing.assert_array_equal(images.images, pictures)
    assert (images.labels, images.classes) == (None, ())


def test_pictures_of_one_oblong_size_stay_whole_or_lose_their_sides(tmp_path):
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, 4:12] = 255
    (tmp_path / "a.png").write_bytes(png(pixels))
    np.testing.assert_array_equal(open_images(tmp_path).images[0], pixels)
    np.testing.assert_array_equal(open_images(tmp_path, 8).images[0], np.full((8, 8, 3), 255))


def test_pictures_lie_as_their_exif_says(tmp_path):
    pixels = make_pictures(1, 8)[0][:4]  # 4 × 8
    exif = Image.Exif()
    exif[0x112] = 6  # to be turned clockwise
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(open_images(tmp_path).images[0], np.rot90(pixels, k=-1))


def test_a_nonsensical_exif_orientation_is_no_reason_to_stop(tmp_path):
    pixels = make_pictures(1)[0]
    entry = struct.pack("<HHI4s", 0x112, 2, 2, b"up")  # a text where a number belongs
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(open_images(tmp_path).images[0], pixels)


def test_pictures_of_16_bits_keep_their_contrast(tmp_path):
    pixels = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = open_images(tmp_path).images[0, :, :, 0]
    np.testing.assert_allclose(found, pixels / 257, atol=1)


def test_damaged_pictures_are_skipped_whatever_is_wrong_with_them(tmp_path):
    """Bytes changed at random in every format: what cannot be read is skipped, never raised."""
    random = np.random.default_rng(0)
    picture = Image.fromarray(make_pictures(1, 16)[0])
    for suffix in ("png", "jpg", "webp", "bmp", "gif"):
        file = io.BytesIO()
        picture.save(file, {"jpg": "JPEG"}.get(suffix, suffix))
        (tmp_path / f"whole.{suffix}").write_bytes(file.getvalue())
        for i in range(40):
            content = np.frombuffer(file.getvalue(), np.uint8).copy()
            content[random.integers(20, len(content), 4)] = random.integers(0, 256, 4)
            content = content[: random.integers(1, len(content) * 2)]
            (tmp_path / f"{i}.{suffix}").write_bytes(content.tobytes())
    images = open_images(tmp_path, 8)
    assert len(images) + len(images.skipped) == 205
    assert len(images) > 5
    assert len(images.skipped) > 50
    assert not any("whole" in name for name in images.skipped)


def test_folders_that_cannot_be_opened(tmp_path):
    (tmp_path / "empty" / "class").mkdir(parents=True)
    (tmp_path / "broken" / "class").mkdir(parents=True)
    (tmp_path / "broken" / "class" / "a.png").write_bytes(b"")
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "a.jpg").write_bytes(CUT_JPEG)
    for name in ("empty", "broken", "cut", "missing", "missing:test", "empty:train"):
        with pytest.raises(DataError) as error:
            open_images(str(tmp_path / name))
        assert is_one_sentence(error.value)


def test_pictures_are_decoded_once_but_changes_are_noticed(folder, own_cache, monkeypatch):
    decode, calls = data._decode, []
    monkeypatch.setattr(data, "_decode", lambda *args: calls.append(1) or decode(*args))
    first, second = open_images(folder), open_images(folder)
    assert len(calls) == 1
    assert first.fingerprint == second.fingerprint
    assert first.skipped == second.skipped
    np.testing.assert_array_equal(first.images, second.images)
    solid((1, 2, 3), (9, 12)).save(folder / "ant" / "a.png")
    os.utime(folder / "ant" / "a.png", (1, 1))
    changed = open_images(folder)
    assert (changed.images[0] == (1, 2, 3)).all()
    assert changed.fingerprint != first.fingerprint
    path = write_parquet(folder / "a.parquet", map(png, make_pictures(3)), [0, 1, 2], NAMES)
    before = open_images(path).fingerprint
    assert open_images(path).fingerprint == before
    assert len(calls) == 3
    write_parquet(path, map(png, make_pictures(3, seed=1)), [0, 1, 2], NAMES)
    assert open_images(path).fingerprint != before


def test_a_broken_decode_leaves_nothing_in_the_cache(folder, own_cache, monkeypatch):
    def interrupt(picture, width, height):
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "_fit", interrupt)
    with pytest.raises(KeyboardInterrupt):
        open_images(folder)
    assert list(cache_folder("images").iterdir()) == []


def test_uploads_need_no_folder():
    pixels = make_pictures(3)
    files = [("same.png", io.BytesIO(png(picture))) for picture in pixels]
    images = open_pictures([*files, ("notes.txt", io.BytesIO(b"hello"))])
    np.testing.assert_array_equal(images.images, pixels)
    assert (images.labels, images.classes, images.skipped) == (None, (), ("notes.txt",))
    assert open_pictures(files, size=4).images.shape == (3, 4, 4, 3)
    with pytest.raises(DataError) as error:
        open_pictures([("notes.txt", io.BytesIO(b"hello"))])
    assert is_one_sentence(error.value)


# --- Sources ----------------------------------------------------------------------------------


def test_find_sources(tmp_path, samples):
    ten = samples.sample(10)
    classes = write_folder(tmp_path / "classes", ten)
    splits = tmp_path / "splits"
    write_folder(splits / "train", ten)
    write_folder(splits / "val", ten)
    flat = tmp_path / "flat"
    flat.mkdir()
    (flat / "a.png").write_bytes(PICTURE)
    tables = tmp_path / "tables"
    tables.mkdir()
    file = write_parquet(tables / "test.parquet", [PICTURE], [0])
    write_parquet(tables / "train.parquet", [PICTURE], [0])
    archive = tmp_path / "archive"
    (archive / "cifar-10-batches-py").mkdir(parents=True)

    assert find_sources(classes) == [str(classes)]
    assert find_sources(splits) == [str(splits / "val"), str(splits / "train")]
    assert find_sources(flat) == [str(flat)]
    assert find_sources(tables) == [str(tables / "test.parquet"), str(tables / "train.parquet")]
    assert find_sources(str(file)) == [str(file)]
    assert find_sources(archive) == [f"{archive}:test", f"{archive}:train"]
    for place in (classes, splits, flat, tables, file):
        assert all(len(open_images(source)) for source in find_sources(place))
    assert len(open_images(f"{splits}:train")) == 10
    (tmp_path / "none").mkdir()
    for place in (tmp_path / "none", tmp_path / "missing"):
        with pytest.raises(DataError) as error:
            find_sources(place)
        assert is_one_sentence(error.value)


def test_source_names():
    assert source_name("samples") == "Sample scenes"
    assert source_name("cifar10:train") == "CIFAR-10 train"
    assert source_name("cifar10") == "CIFAR-10 test"  # what open_images opens under that name
    assert source_name("/data/pets/val") == "pets/val"
    assert source_name("/data/cifar:test") == "cifar, test"


# --- CIFAR-10 ---------------------------------------------------------------------------------


class Response(io.BytesIO):
    """What a server sends before the connection ends, in order or with an error."""

    headers = {"Content-Length": "170498071"}  # noqa: RUF012

    def __init__(self, content, error=None):
        super().__init__(content)
        self.error = error

    def read(self, size):
        chunk = super().read(size)
        if self.error and not chunk:
            raise self.error
        return chunk


@pytest.mark.parametrize(
    "answer",
    [
        urllib.error.URLError("no network"),
        Response(b"<html>log in</html>"),
        Response(b"half", TimeoutError("timed out")),
        Response(b"half", http.client.IncompleteRead(b"")),
    ],
    ids=["no network", "another file", "stalls", "breaks off"],
)
def test_a_failed_download_says_so_and_leaves_nothing(own_cache, monkeypatch, answer):
    def urlopen(*arguments, **options):
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    with pytest.raises(DownloadError, match="CIFAR-10"):
        download_cifar10()
    assert not has_cifar10()
    assert list(cache_folder("cifar10").iterdir()) == []
    with pytest.raises(DataError, match="download"):
        open_images("cifar10:test")


def test_a_damaged_archive_folder_is_refused(own_cache, tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    with pytest.raises(DataError, match="damaged or incomplete"):
        open_images(f"{tmp_path}:test")


def test_cifar10_parquet(cifar10):
    images = open_images(f"{cifar10}:test", 32)
    assert images.images.shape == (10_000, 32, 32, 3)
    assert np.bincount(images.labels).tolist() == [1000] * 10
    assert images.labels[:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]  # the official order
    assert images.classes == CIFAR10_CLASSES
    assert images.name.startswith("CIFAR-10 test")
    assert images.skipped == ()
    assert find_sources(cifar10) == [
        str(cifar10 / "test.parquet"), str(cifar10 / "train.parquet")
    ]  # fmt: skip


def test_cifar10_train_is_in_the_official_order(cifar10):
    labels = pq.read_table(cifar10 / "train.parquet", columns=["label"])["label"].to_numpy()
    assert labels[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
    assert np.bincount(labels).tolist() == [5000] * 10
