"""Images from anywhere as one type: sample scenes, CIFAR-10, Parquet files, folders of pictures."""

import hashlib
import io
import json
import urllib.request
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps

from core.errors import DataError, DownloadError
from core.files import atomic_folder, cache_folder
from core.progress import Progress, silent

CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
SAMPLES = Path(__file__).parent / "samples"
# What Pillow raises for files that are not, or only half, a picture
BROKEN_PICTURE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Pictures of one size with their labels.

    Attributes:
        name: what people call the set, for headings and cards.
        images: (N, H, W, 3) uint8; this and the other arrays are read-only.
        labels: (N,) int64 into `classes`, or None where nobody said.
        classes: class names, in label order.
        fingerprint: 16 hexadecimal digits that change with any pixel, label or class name.
        masks: (N, H, W) bool, True on the object; None where unknown.
        skipped: names of files that could not be read as pictures.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray | None
    classes: tuple[str, ...]
    fingerprint: str
    masks: np.ndarray | None = None
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def labels_in(self, classes: tuple[str, ...]) -> np.ndarray:
        """The labels (N,) int64 as positions in another list of classes; -1 where it lacks one."""
        if self.labels is None:
            return np.full(len(self), -1)
        position = {name: i for i, name in enumerate(classes)}
        return np.array([position.get(name, -1) for name in self.classes], np.int64)[self.labels]

    def sample(self, count: int, seed: int = 0) -> "ImageSet":
        """`count` images drawn without replacement, in their old order; all if there are fewer."""
        if count >= len(self):
            return self
        chosen = np.sort(np.random.default_rng(seed).permutation(len(self))[:count])
        return image_set(
            f"{self.name}, {count} of {len(self)}",
            self.images[chosen],
            None if self.labels is None else self.labels[chosen],
            self.classes,
            masks=None if self.masks is None else self.masks[chosen],
            skipped=self.skipped,
        )


def image_set(name, images, labels, classes, masks=None, skipped=()) -> ImageSet:
    """An ImageSet of arrays in memory, with its fingerprint; shapes and dtypes as in `ImageSet`."""
    labels = None if labels is None else np.array(labels, np.int64)
    digest = hashlib.blake2b(digest_size=8)
    digest.update(repr((images.shape, tuple(classes))).encode())
    for start in range(0, len(images), 1024):  # a memory-mapped set never comes into memory whole
        digest.update(np.ascontiguousarray(images[start : start + 1024]))
    if labels is not None:
        digest.update(labels)
    images, masks = images.view(), None if masks is None else masks.view()
    for array in (images, labels, masks):
        if array is not None:
            array.flags.writeable = False
    return ImageSet(name, images, labels, tuple(classes), digest.hexdigest(), masks, tuple(skipped))


def open_images(source: str | Path, size: int | None = None) -> ImageSet:
    """Open a set of images.

    Args:
        source: "samples"; "cifar10:train" or "cifar10:test" (see `download_cifar10`); a Parquet
            file with the columns `img: struct<bytes, path>` and `label`; a folder with one folder
            of pictures a class; or "PLACE:train" and "PLACE:test" where PLACE holds `train.parquet`
            and `test.parquet`, torchvision's `cifar-10-batches-py`, or folders `train` and `test`.
        size: crop the middle square and resize it to this many pixels a side. None keeps the size
            that all pictures share, or fits them to the shortest side among them.

    Raises:
        DataError: the source is missing, or not of a kind named above.
    """
    try:
        return _open(str(source), size)
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror or error}.") from error


def _open(source: str, size: int | None) -> ImageSet:
    where, split = _split_of(source)
    if where == "samples":
        return _resized(_open_samples(), size)
    if where == "cifar10":
        if not has_cifar10():
            raise DataError("CIFAR-10 is not on this machine yet; download it first.")
        return _resized(_open_archive(cifar10_folder(), split or "test"), size)
    path = Path(where)
    if not path.exists():
        raise DataError(f"There is nothing at {path}.")
    if path.is_file():
        return _open_parquet(path, size)
    if split is None:
        return _open_folder(path, size)
    if (path / f"{split}.parquet").is_file():
        return _open_parquet(path / f"{split}.parquet", size)
    if (path / "cifar-10-batches-py").is_dir():
        return _resized(_open_archive(path, split), size)
    if (path / split).is_dir():
        return _open_folder(path / split, size)
    raise DataError(f"{path} holds neither {split}.parquet, nor cifar-10-batches-py, nor {split}/.")


def open_pictures(files: list[tuple[str, BinaryIO]], size: int | None = None) -> ImageSet:
    """Pictures that lie in no folder, such as uploads, as a set without labels.

    Args:
        files: names, and what Pillow opens.
        size: as in `open_images`.

    Raises:
        DataError: none of them is a picture.
    """
    images, readable = _decode([file for _, file in files], size, np.zeros)
    skipped = [name for (name, _), good in zip(files, readable) if not good]
    return image_set("Your pictures", images[: readable.sum()], None, (), skipped=skipped)


def find_sources(place: str | Path) -> list[str]:
    """The sources that `open_images` can open at one place on disk (a file or a folder).

    Raises:
        DataError: there is nothing to open.
    """
    try:
        return _find_sources(Path(place))
    except OSError as error:
        raise DataError(f"{place} cannot be read: {error.strerror or error}.") from error


def _find_sources(place: Path) -> list[str]:
    if place.is_file():
        return [str(place)]
    if not place.is_dir():
        raise DataError(f"There is nothing at {place}.")
    if (place / "cifar-10-batches-py").is_dir():
        return [f"{place}:test", f"{place}:train"]
    parquet = sorted(place.glob("*.parquet"))
    if parquet:
        return [str(path) for path in parquet]
    splits = [place / name for name in ("test", "val", "train") if (place / name).is_dir()]
    if splits and all(_class_folders(split) for split in splits):
        return [str(path) for path in splits]
    if _class_folders(place) or _pictures(place):
        return [str(place)]
    raise DataError(f"{place} holds no Parquet file and no folders of pictures.")


def source_name(source: str) -> str:
    """What to call a source before it is open."""
    where, split = _split_of(source)
    if where == "samples":
        return "Sample scenes"
    if where == "cifar10":
        return f"CIFAR-10 {split or 'test'}"
    path = Path(where)
    if split is None:
        return f"{path.parent.name}/{path.name}" if path.parent.name else path.name
    return f"{path.name}, {split}"


# --- CIFAR-10 as torchvision keeps it ---------------------------------------------------------


def cifar10_folder() -> Path:
    """Where a download of CIFAR-10 lies: `cifar10` in the cache folder."""
    return cache_folder() / "cifar10"


def has_cifar10() -> bool:
    """Whether CIFAR-10 has been downloaded."""
    return (cifar10_folder() / "cifar-10-batches-py").is_dir()


def download_cifar10(progress: Progress = silent) -> None:
    """Download torchvision's CIFAR-10 archive (170 MB), check it, and unpack it.

    Args:
        progress: called with the bytes so far and the bytes in all.

    Raises:
        DownloadError: no connection, or what arrived has another checksum.
    """
    from torchvision.datasets import CIFAR10  # here: importing torchvision takes a second
    from torchvision.datasets.utils import check_integrity

    try:
        with atomic_folder(cifar10_folder()) as part:
            archive = part / CIFAR10.filename
            _download(CIFAR10.url, archive, progress)
            if not check_integrity(archive, CIFAR10.tgz_md5):
                raise DownloadError("What arrived is not CIFAR-10; please try again.")
            CIFAR10(part, download=True)  # finds the archive and unpacks it
            archive.unlink()
    except (OSError, HTTPException) as error:
        raise DownloadError(
            "CIFAR-10 could not be downloaded: this machine reaches no server that has it. "
            "The sample scenes work without it."
        ) from error


def _download(url, path, progress):
    with urllib.request.urlopen(url, timeout=20) as response, open(path, "wb") as file:
        total, done = int(response.headers.get("Content-Length", 0)), 0
        while chunk := response.read(1 << 18):
            file.write(chunk)
            done += len(chunk)
            progress(done, total)


def _open_archive(root: Path, split: str) -> ImageSet:
    """torchvision unpickles the batches, but only once their checksums are the official ones."""
    from torchvision.datasets import CIFAR10

    try:
        archive = CIFAR10(root, train=split == "train")
    except RuntimeError as error:
        raise DataError(f"{root} holds a CIFAR-10 that is damaged or incomplete.") from error
    return image_set(f"CIFAR-10 {split}", archive.data, archive.targets, CIFAR10_CLASSES)


def _split_of(source: str) -> tuple[str, str | None]:
    """ "PLACE:test" to (PLACE, "test"); anything else to (source, None)."""
    where, _, split = source.rpartition(":")
    return (where, split) if where and split in ("train", "test") else (source, None)


# --- The other kinds of source ----------------------------------------------------------------


def _open_samples() -> ImageSet:
    tiles = {}
    for name, mode in (("scenes", "RGB"), ("masks", "1")):
        with Image.open(SAMPLES / f"{name}.png") as sheet:
            pixels = np.asarray(sheet.convert(mode))
        rows, columns = pixels.shape[0] // 32, pixels.shape[1] // 32
        pixels = pixels.reshape(rows, 32, columns, 32, *pixels.shape[2:]).swapaxes(1, 2)
        tiles[name] = pixels.reshape(rows * columns, 32, 32, *pixels.shape[4:])
    labels = np.repeat(np.arange(rows), columns)
    return image_set(
        "Sample scenes", tiles["scenes"], labels, CIFAR10_CLASSES, masks=tiles["masks"]
    )


def _open_parquet(path: Path, size: int | None) -> ImageSet:
    import pyarrow as pa  # here: only Parquet sources pay for it
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path.name} is not a Parquet file, or is cut off.") from error
    with file:
        schema = file.schema_arrow
        if "img" not in schema.names or "label" not in schema.names:
            raise DataError(
                f"{path.name} has the columns {', '.join(schema.names)}; "
                "Vitascope needs `img` (a struct with `bytes`) and `label`."
            )
        picture, label = schema.field("img").type, schema.field("label").type
        if not (pa.types.is_struct(picture) and picture.get_field_index("bytes") >= 0):
            raise DataError(f"{path.name}: `img` must be a struct with `bytes`.")
        if not pa.types.is_integer(label):
            raise DataError(f"{path.name}: `label` must be a whole number.")
        try:
            table = file.read(columns=["img", "label"])
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path.name} is damaged and cannot be read.") from error
    pictures = pc.struct_field(table["img"], "bytes").to_pylist()
    if table["label"].null_count:
        raise DataError(f"{path.name} has {table['label'].null_count} rows without a label.")
    labels = table["label"].to_numpy()
    classes = _parquet_classes(schema, labels)
    if len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
        raise DataError(
            f"{path.name} has labels from {labels.min()} to {labels.max()} for "
            f"{len(classes)} classes."
        )
    copy = ", JPEG copy" if pictures and (pictures[0] or b"")[:2] == b"\xff\xd8" else ""
    cifar10 = classes == CIFAR10_CLASSES
    name = f"CIFAR-10 {path.stem}{copy}" if cifar10 else source_name(str(path))
    names = [f"{path.name} row {i}" for i in range(len(pictures))]
    files = [io.BytesIO(picture or b"") for picture in pictures]
    return _decoded(name, files, names, labels, classes, size, key=_file_key(path))


def _parquet_classes(schema, labels) -> tuple[str, ...]:
    """Class names as Hugging Face writes them into the file; else CIFAR-10's, else numbers."""
    try:
        about = json.loads((schema.metadata or {})[b"huggingface"])
        return tuple(map(str, about["info"]["features"]["label"]["names"]))
    except (KeyError, TypeError, ValueError):
        count = int(labels.max(initial=0)) + 1
        return CIFAR10_CLASSES if count <= 10 else tuple(f"class {i}" for i in range(count))


def _open_folder(path: Path, size: int | None) -> ImageSet:
    folders = _class_folders(path)
    if folders:
        files = [(i, file) for i, folder in enumerate(folders) for file in _pictures(folder)]
        labels, paths = np.array([i for i, _ in files]), [file for _, file in files]
    else:
        labels, paths = None, _pictures(path)
    if not paths:
        raise DataError(f"{path} has no pictures; Vitascope expects {path.name}/CLASS/PICTURE.png.")
    names = [str(file.relative_to(path)) for file in paths]
    stats = [file.stat() for file in paths]
    key = _key(path.resolve(), names, [(stat.st_size, stat.st_mtime_ns) for stat in stats])
    classes = [folder.name for folder in folders]
    return _decoded(path.name, paths, names, labels, classes, size, key)


def _class_folders(path: Path) -> list[Path]:
    folders = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    return [folder for folder in folders if _pictures(folder)]


def _pictures(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in PICTURE_SUFFIXES
        and not path.name.startswith(".")  # macOS leaves such files beside pictures
        and path.is_file()
    )


# --- Decoding, once ---------------------------------------------------------------------------


def _decoded(name, files, names, labels, classes, size, key) -> ImageSet:
    """Decode pictures into one array on disk, or map the array that an earlier call left there.

    Args:
        files: what Pillow opens, N of them; `names` say what to call each in a message.
        labels: (N,) or None.
        key: changes with the files' content.
    """
    folder = cache_folder("images") / f"{key}-{size or 'own'}"
    if not folder.exists():
        with atomic_folder(folder) as part:
            images, readable = _decode(files, size, partial(_create_npy, part / "images.npy"))
            images.flush()
            np.save(part / "readable.npy", readable)
    readable = np.load(folder / "readable.npy")  # (N,) bool
    images = np.load(folder / "images.npy", mmap_mode="r")[: readable.sum()]
    labels = None if labels is None else labels[readable]
    skipped = [name for name, good in zip(names, readable) if not good]
    return image_set(name, images, labels, classes, skipped=skipped)


def _create_npy(path: Path, shape: tuple[int, ...], dtype) -> np.memmap:
    return np.lib.format.open_memmap(path, "w+", dtype, shape)


def _decode(files, size, create) -> tuple[np.ndarray, np.ndarray]:
    """Decode the n readable pictures into the first n places of an array.

    Args:
        create: makes the array, from shape and dtype, in memory or on disk.

    Returns:
        (N, H, W, 3) uint8, and (N,) bool, which of the N files were readable.
    """
    sizes = {size_of for size_of in map(_picture_size, files) if size_of}
    if not sizes:
        raise DataError("None of the pictures could be read.")
    if size is not None:
        width, height = size, size
    elif len(sizes) == 1:
        width, height = sizes.pop()
    else:
        width = height = min(map(min, sizes))
    images = create((len(files), height, width, 3), np.uint8)
    readable = np.zeros(len(files), bool)
    place = 0
    for i, file in enumerate(files):
        try:
            with Image.open(file) as picture:
                pixels = _fit(picture, width, height)
        except BROKEN_PICTURE:
            continue  # `readable` counts it, the caller names it
        images[place], readable[i] = pixels, True
        place += 1
    if not readable.any():
        raise DataError("None of the pictures could be read.")
    return images, readable


def _picture_size(file) -> tuple[int, int] | None:
    try:
        with Image.open(file) as picture:  # reads the header only
            # a PNG without EXIF would be decoded to look for it
            lacks = picture.format == "PNG" and "exif" not in picture.info
            exif = {} if lacks else picture.getexif()
            turned = exif.get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
            return picture.size[::-1] if turned else picture.size
    except BROKEN_PICTURE:
        return None


def _fit(picture: Image.Image, width: int, height: int) -> np.ndarray:
    """The middle of a picture at another size, (height, width, 3) uint8."""
    upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith("I"):  # 16 bits a pixel, which `convert` would cut off at 255
        upright = Image.fromarray((np.asarray(upright) // 256).astype(np.uint8))
    upright = upright.convert("RGB")
    if upright.size != (width, height):
        upright = ImageOps.fit(upright, (width, height), Image.Resampling.BICUBIC)
    return np.asarray(upright)


def _resized(images: ImageSet, size: int | None) -> ImageSet:
    """The same set at another size, masks by nearest neighbour."""
    if size is None or images.images.shape[1:3] == (size, size):
        return images
    pixels = np.stack([_fit(Image.fromarray(image), size, size) for image in images.images])
    masks = images.masks
    if masks is not None:
        masks = np.stack([_fit_mask(mask, size) for mask in masks])
    return image_set(images.name, pixels, images.labels, images.classes, masks=masks)


def _fit_mask(mask: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(ImageOps.fit(Image.fromarray(mask), (size, size), Image.Resampling.NEAREST))


def _key(*parts) -> str:
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()


def _file_key(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
