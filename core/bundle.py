"""Many images with their maps as one zip: pictures to look at, numbers to work with."""

import io
import json
import re
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from zipfile import ZipFile, ZipInfo

import numpy as np
import pandas as pd
from PIL import Image

from core.amplify import amplify
from core.data import ImageSet
from core.errors import InputError
from core.figures.palette import MAP_COLORMAPS, MAP_COLORS, map_pixels
from core.files import atomic_file, writing
from core.progress import Progress, silent
from core.selection import Verdicts

CHUNK = 64  # images whose maps are in memory at once
_HEIGHT = 192  # pixels, at least, of a picture in the file
_GAP = 8  # pixels between neighbours
_README = """\
Vitascope: {n} of the {total} images of {name}, with maps of a Vision Transformer.
The maps: {about}.

pictures/      Each image beside its map and the image amplified by it (x {gain:g}). A file is named
               after the image's position in the set, its label, and what the model took it for;
               where no label is known, only the latter.
images.csv     One row an image: index (its position in the set, from 0), label, prediction, right,
               confidence (the prediction's probability), margin (that less the label's
               probability, so 0 where the model is right) and the picture's file. UTF-8.
maps.npy       The maps' values, {n} x {gh} x {gw} float32 in the order of images.csv; in Python,
               numpy.load("maps.npy").
settings.json  What made all this.

Every map's colours ({colors}) span its own lowest to highest value: they show where the model
looks, and not how strongly one image is looked at beside another. That, maps.npy tells.
"""


def write_bundle(
    path: str | Path,
    images: ImageSet,
    indices: np.ndarray,
    verdicts: Verdicts,
    classes: tuple[str, ...],
    maps: Callable[[np.ndarray], np.ndarray],
    *,
    about: str,
    settings: dict,
    gain: float = 2.0,
    resize: str = "bilinear",
    colors: str = MAP_COLORS,
    progress: Progress = silent,
) -> None:
    """Write chosen images, each beside its map and its amplified self, with all numbers.

    The zip is streamed to disk, so memory does not grow with what it holds; it is at `path` only
    once it is whole. The same input gives the same bytes. Its README.txt says what is inside.

    Args:
        indices: (n,) int64, positions in the set, in the order wanted.
        verdicts: of the whole set.
        classes: the model's class names, which `verdicts` number.
        maps: for positions (k,), at most `CHUNK`, returns their maps (k, gh, gw).
        about: what the maps are and of which model, for people.
        settings: what made the maps, as JSON can hold it; gain, resize and colors are added.
        gain, resize: as in `amplify`.
        colors: of the maps, one of `MAP_COLORMAPS`.
        progress: called after every chunk, with images; what it raises ends the writing, and
            leaves nothing behind.

    Raises:
        InputError: no image is chosen, or the maps do not fit the images, each other, or `amplify`.
        ValueError: a position is not in the set or comes twice, or the colours are others.
        TypeError: settings hold what JSON does not.
        WriteError: the folder cannot be written, or the disk is full.
    """
    path, indices = Path(path), np.asarray(indices, np.int64)
    if not len(indices):
        raise InputError("There is no image to write; choose some first.")
    in_set = indices.min() >= 0 and indices.max() < len(images)
    if not in_set or len(np.unique(indices)) < len(indices):
        raise ValueError(f"The positions must differ and lie in 0 … {len(images) - 1}.")
    if colors not in MAP_COLORMAPS:
        raise ValueError(
            f"There are no colours {colors!r}; choose from {', '.join(MAP_COLORMAPS)}."
        )
    drawing = {"gain": gain, "resize": resize, "colors": colors}
    made = json.dumps({**settings, **drawing}, indent=2, ensure_ascii=False) + "\n"
    table = _table(indices, verdicts, classes)

    # a zip takes one file at a time: values wait beside it while the pictures are written
    with (
        writing(path),
        atomic_file(path) as part,
        TemporaryFile(dir=path.parent) as values,
        ZipFile(part, "w") as archive,
    ):
        shape = None
        for start in range(0, len(indices), CHUNK):
            chunk = indices[start : start + CHUNK]
            grids = np.ascontiguousarray(maps(chunk), "<f4")  # (k, gh, gw)
            shape = shape or grids.shape[1:]
            if grids.ndim != 3 or grids.shape != (len(chunk), *shape):
                raise InputError(f"{len(chunk)} images have maps of the shape {grids.shape}.")
            for index, grid, file in zip(chunk, grids, table["file"][start:]):
                picture = _picture(images.images[index], grid, gain, resize, colors)
                archive.writestr(_member(file), picture)
            values.write(grids)
            progress(start + len(chunk), len(indices))

        archive.writestr(_member("images.csv"), table.to_csv(index=False, lineterminator="\n"))
        archive.writestr(_member("settings.json"), made)
        readme = {"n": len(indices), "total": len(images), "name": images.name, "about": about}
        readme |= {"gh": shape[0], "gw": shape[1], "gain": gain, "colors": colors}
        archive.writestr(_member("README.txt"), _README.format(**readme))
        values.seek(0)
        with archive.open(_member("maps.npy"), "w", force_zip64=True) as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (len(indices), *shape)}
            np.lib.format.write_array_header_1_0(file, header)
            shutil.copyfileobj(values, file)


def _member(name: str) -> ZipInfo:
    """A file of the zip, with no date and readable by all; PNGs are compressed already."""
    member = ZipInfo(name)
    member.external_attr = 0o644 << 16
    return member


def _table(indices: np.ndarray, verdicts: Verdicts, classes: tuple[str, ...]) -> pd.DataFrame:
    """images.csv, a row a position; where the label is unknown, nothing is right or wrong."""
    names = np.array(classes, object)
    known = verdicts.known[indices]
    label = pd.Series(names[verdicts.labels[indices]]).where(known)
    prediction = names[verdicts.predicted[indices]]
    columns = {
        "index": indices,
        "label": label,
        "prediction": prediction,
        "right": pd.Series(verdicts.correct[indices], dtype="boolean").where(known),
        "confidence": verdicts.confidence[indices],
        "margin": pd.Series(verdicts.margin[indices]).where(known),
    }
    safe = np.array([_safe(name, i) for i, name in enumerate(classes)], object)
    of_label, of_prediction = safe[verdicts.labels[indices]], safe[verdicts.predicted[indices]]
    columns["file"] = [
        f"pictures/{index:05d} {f'{a} as {b}' if has_label else b}.png"
        for index, has_label, a, b in zip(indices, known, of_label, of_prediction)
    ]
    return pd.DataFrame(columns)


def _safe(name: str, number: int) -> str:
    """A class's name in letters that a file's name may have on every system."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]+", "-", plain).strip("-")[:40] or f"class-{number}"


def _picture(image: np.ndarray, grid: np.ndarray, gain: float, resize: str, colors: str) -> bytes:
    """Image | map | amplified image, as the bytes of a PNG; an image's pixels become squares."""
    amplified = amplify(grid, image, gain=gain, resize=resize).amplified
    panels = [
        image,
        map_pixels(grid, (grid.min(), grid.max()), colors),
        (amplified * 255).round().astype(np.uint8),
    ]
    factor = -(-_HEIGHT // len(image))  # whole, so that no pixel is wider than another
    height, width = len(image) * factor, image.shape[1] * factor
    sheet = Image.new("RGB", (3 * width + 2 * _GAP, height), "white")
    for place, panel in enumerate(panels):
        enlarged = Image.fromarray(panel).resize((width, height), Image.Resampling.NEAREST)
        sheet.paste(enlarged, (place * (width + _GAP), 0))
    file = io.BytesIO()
    sheet.save(file, "PNG", compress_level=1)
    return file.getvalue()
