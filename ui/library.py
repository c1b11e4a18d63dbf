"""Models, images and what the one says of the other: opened once, shared by all sessions."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import TypeVar

import numpy as np
import streamlit as st
import torch
from streamlit.runtime.uploaded_file_manager import UploadedFile

from core import checkpoint, data, heads
from core.attention import Extraction, extract, extract_set, extraction_folder
from core.attention import cls_maps as read_cls_maps
from core.checkpoint import Run, RunEntry
from core.cover import mean_color
from core.data import ImageSet
from core.errors import DataError, VitascopeError
from core.evaluate import predict, test_results
from core.explain import OF_ATTENTION, explain, map_of
from core.faithfulness import deletion, insertion, random_maps
from core.heads import HeadMeasures, cls_entropy, measure_heads
from core.occlusion import occlusion
from core.progress import Progress
from core.selection import Mean, Verdicts, mean_of, verdicts
from ui.settings import settings

T = TypeVar("T")
RUN_FILES = (
    "config.json",
    "model.safetensors",
    "history.csv",
    "replay.npz",
    "predictions.parquet",
    "README.md",
)


def runs() -> list[RunEntry]:
    """Every run folder; listed anew every few seconds, because training writes new ones."""
    return [_run_entry(folder, _stamps(folder)) for folder in _run_folders()]


@st.cache_data(ttl="5s", show_spinner=False)
def _run_folders() -> list[Path]:
    return checkpoint.find_runs(settings().checkpoints)


@st.cache_data(max_entries=256, show_spinner=False)
def _run_entry(folder: Path, stamps: tuple[int, ...]) -> RunEntry:
    return checkpoint.check_run(folder)


def open_run(path: Path, name: str) -> Run:
    """A run folder under its name of `runs_by_name`, opened anew once its files have changed."""
    run = _open_run(path, _stamps(path))
    return replace(run, name=name)


def _stamps(folder: Path) -> tuple[int, ...]:
    return tuple(_stamp(folder / file) for file in RUN_FILES)


def _stamp(path: Path) -> int:
    """When a file changed, in nanoseconds; 0 where there is none (a training run removes some)."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def newest(run: Run) -> Run:
    """A run as its folder is now; as it was where that cannot be read any more."""
    try:
        return open_run(run.path, run.name)
    except (VitascopeError, OSError):
        return run


def runs_by_name() -> dict[str, Path]:
    """The run folders that open."""
    return by_unique_name([(entry.name, entry.path) for entry in runs() if not entry.problem])


def by_unique_name(named: list[tuple[str, T]]) -> dict[str, T]:
    """Things under their names; the second of a name is called "name (2)", and so on."""
    unique = {}
    for name, thing in named:
        free, n = name, 2
        while free in unique:
            free, n = f"{name} ({n})", n + 1
        unique[free] = thing
    return unique


@st.cache_resource(max_entries=8, show_spinner="Opening the model …")
def _open_run(path: Path, stamps: tuple[int, ...]) -> Run:
    return checkpoint.load_run(path)


@st.cache_data(ttl="5s", show_spinner=False)
def sources() -> tuple[list[str], list[str]]:
    """What `core.data.open_images` can open here, and what is wrong with places that it can't."""
    found, problems = [], []
    for place in settings().data:
        try:
            found += data.find_sources(place)
        except DataError as error:
            problems.append(str(error))
    found.append("samples")  # after what somebody named
    if data.has_cifar10():
        found += ["cifar10:test", "cifar10:train"]
    return found, problems


@st.cache_resource(max_entries=4, show_spinner="Opening the images …")
def _open_images(source: str, size: int, stamp: tuple[int, ...]) -> ImageSet:
    return data.open_images(source, size)


def open_images(source: str, size: int) -> ImageSet:
    """A source of `sources`, opened; opened anew once its file or folders have changed."""
    path = Path(source)
    paths = [path, *(p for p in path.iterdir() if p.is_dir())] if path.is_dir() else [path]
    return _open_images(source, size, tuple(p.stat().st_mtime_ns for p in paths if p.exists()))


def open_uploads(uploads: list[UploadedFile], size: int) -> ImageSet:
    """Uploaded pictures; opened once for as long as the uploads stay the same."""
    return _open_uploads(tuple(upload.file_id for upload in uploads), size, uploads)


@st.cache_resource(max_entries=4, show_spinner="Opening the pictures …")
def _open_uploads(file_ids: tuple[str, ...], size: int, _uploads: list[UploadedFile]) -> ImageSet:
    return data.open_pictures([(upload.name, upload) for upload in _uploads], size)


def extraction(run: Run, images: ImageSet) -> Extraction:
    """Probabilities and CLS rows of the whole set, with a progress bar the first time."""
    slot = _extraction_slot(run.fingerprint, images.fingerprint)
    return slot.fill(lambda progress: extract_set(run.model, images, progress=progress))


def is_extracted(run: Run, images: ImageSet) -> bool:
    """Whether `extraction` only has to open files."""
    if _extraction_slot(run.fingerprint, images.fingerprint).content is not None:
        return True
    return extraction_folder(run.fingerprint, images.fingerprint).exists()


@dataclass
class _Slot:
    """What one pass over a set finds, once it is done."""

    lock: Lock = field(default_factory=Lock)
    content: Extraction | HeadMeasures | None = None

    def fill(self, work: Callable[[Progress], Extraction | HeadMeasures]):
        with self.lock:  # a second session waits for the first instead of doing the same beside it
            if self.content is None:
                bar = st.empty()

                def progress(done, total):
                    bar.progress(done / total, f"Reading the attention of {done:,} of {total:,} …")

                self.content = work(progress)
                bar.empty()
        return self.content


@st.cache_resource(max_entries=8, show_spinner=False)
def _extraction_slot(model: str, images: str) -> _Slot:
    """Empty at first; filled outside, because a cached function cannot show its progress."""
    return _Slot()


def head_measures(run: Run, images: ImageSet) -> HeadMeasures:
    """What every head does with every image of the set, with a progress bar the first time."""
    slot = _measures_slot(run.fingerprint, images.fingerprint)
    return slot.fill(lambda progress: measure_heads(run.model, images, progress=progress))


@st.cache_resource(max_entries=8, show_spinner=False)
def _measures_slot(model: str, images: str) -> _Slot:
    return _Slot()


def agreement(run: Run, images: ImageSet, positions: np.ndarray) -> np.ndarray:
    """How alike heads look, (L*H, L*H) (see `core.heads.agreement`)."""
    key = (run.fingerprint, images.fingerprint, positions.tobytes())
    return _agreement(key, run, images, positions)


@st.cache_resource(max_entries=64, show_spinner="Comparing the heads …")
def _agreement(key, _run: Run, _images: ImageSet, _positions: np.ndarray) -> np.ndarray:
    return heads.agreement(extraction(_run, _images).cls_rows, _positions)


def probabilities(run: Run, images: ImageSet) -> np.ndarray:
    """(N, classes) float32: from the run folder where it was tested on just these images."""
    if is_test_set(run, images) and (results := test_results(run)):
        return results[1]
    return extraction(run, images).probabilities


def is_test_set(run: Run, images: ImageSet) -> bool:
    """Whether a set is the one that the run was tested on, to the pixel."""
    return run.test_set.get("fingerprint") == images.fingerprint


def verdicts_of(run: Run, images: ImageSet, with_entropy: bool) -> Verdicts:
    """What the model says of every image of the set."""
    chances = probabilities(run, images)
    cls_rows = extraction(run, images).cls_rows if with_entropy else None
    key = (run.fingerprint, run.classes, images.fingerprint, with_entropy)
    return _verdicts(key, run, images, chances, cls_rows)


@st.cache_resource(max_entries=8, show_spinner=False)
def _verdicts(key, _run: Run, _images: ImageSet, _probabilities, _cls_rows) -> Verdicts:
    entropy = None if _cls_rows is None else cls_entropy(_cls_rows[:, -1])
    return verdicts(_images.labels_in(_run.classes), _probabilities, entropy)


def attention(run: Run, images: ImageSet, index: int) -> np.ndarray:
    """Attention (L, H, T, T) float32 of one image, read-only."""
    return _attention(run.fingerprint, images.fingerprint, index, run, images)


@st.cache_resource(max_entries=8, show_spinner=False)
def _attention(model: str, image_set: str, index: int, _run: Run, _images: ImageSet) -> np.ndarray:
    attention = extract(_run.model, _images.images[index : index + 1])[0].numpy()
    attention.flags.writeable = False
    return attention


def mean(run: Run, images: ImageSet, positions: np.ndarray, gain: float) -> Mean:
    """What some of the images have in common (see `core.selection.mean_of`)."""
    key = (run.fingerprint, images.fingerprint, positions.tobytes(), gain)
    return _mean(key, run, images, positions)


@st.cache_resource(max_entries=512, show_spinner=False)
def _mean(key, _run: Run, _images: ImageSet, _positions: np.ndarray) -> Mean:
    rows = extraction(_run, _images).cls_rows
    return mean_of(_images.images, rows, _positions, _run.model.config.grid, gain=key[-1])


def explanation(
    run: Run,
    images: ImageSet,
    index: int,
    method: str,
    layer: int,
    head: int | None = None,
    target: int | None = None,
    **rollout,
) -> np.ndarray:
    """Map (gh, gw) float32 of one image; arguments as in `core.explain.explain`."""
    if method in OF_ATTENTION:
        of_image = torch.tensor(attention(run, images, index))[None]  # (1, L, H, T, T)
        config = run.model.config
        return map_of(of_image, config, method, layer=layer, head=head, **rollout)[0].numpy()
    layer = layer if method == "gradcam" else None  # relevance goes through all of them
    key = (run.fingerprint, images.fingerprint, index, method, layer, target)
    return _gradient_map(key, run, images)


@st.cache_resource(max_entries=64, show_spinner=False)
def _gradient_map(key, _run: Run, _images: ImageSet) -> np.ndarray:
    *_, index, method, layer, target = key
    picture = _images.images[index : index + 1]
    return explain(_run.model, picture, method, layer=layer, target=target)[0].cpu().numpy()


@st.cache_resource(max_entries=64, show_spinner=False)
def _occlusion(key, _run: Run, _images: ImageSet) -> np.ndarray:
    *_, index, target = key
    picture = _images.images[index : index + 1]
    return occlusion(_run.model, picture, target=target, color=color_of(_images))[0]


def occluded(run: Run, images: ImageSet, index: int, target: int) -> np.ndarray:
    """How much a class's probability falls as each patch is covered, (gh, gw)."""
    return _occlusion((run.fingerprint, images.fingerprint, index, target), run, images)


def color_of(images: ImageSet) -> np.ndarray:
    """(C,) in [0, 1], the mean colour of a set."""
    return _color(images.fingerprint, images)


@st.cache_resource(max_entries=8, show_spinner=False)
def _color(fingerprint: str, _images: ImageSet) -> np.ndarray:
    return mean_color(_images.images)


@st.cache_resource(max_entries=256, show_spinner=False)
def _curves(key, _run: Run, _images: ImageSet, _maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pictures = np.repeat(_images.images[key[2] : key[2] + 1], len(_maps), axis=0)
    return (
        deletion(_run.model, pictures, _maps, color=color_of(_images))[0],
        insertion(_run.model, pictures, _maps)[0],
    )


def curves(
    run: Run, images: ImageSet, index: int, maps: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Deletion and insertion scores (k, gh*gw + 1) of one image by k maps (k, gh, gw)."""
    maps = np.ascontiguousarray(maps, np.float32)
    key = (run.fingerprint, images.fingerprint, index, maps.tobytes())
    return _curves(key, run, images, maps)


def random_curves(
    run: Run, images: ImageSet, index: int, orders: int
) -> tuple[np.ndarray, np.ndarray]:
    """The same by random orders, (orders, gh*gw + 1) each."""
    return curves(run, images, index, random_maps(orders, run.model.config.grid))


def verdict(run: Run, images: ImageSet, index: int) -> Verdicts:
    """What the model says of one image, as columns of length 1; the rest of the set is not read."""
    return _verdict((run.fingerprint, run.classes, images.fingerprint, index), run, images)


@st.cache_resource(max_entries=64, show_spinner=False)
def _verdict(key, _run: Run, _images: ImageSet) -> Verdicts:
    index = key[-1]
    chances = predict(_run.model, _images.images[index : index + 1])
    return verdicts(_images.labels_in(_run.classes)[index : index + 1], chances)


def cls_maps(run: Run, images: ImageSet, indices: tuple[int, ...]) -> np.ndarray:
    """CLS maps (n, L, H, gh, gw) float32 of a few images; from the extraction if it is there."""
    if is_extracted(run, images):
        rows = extraction(run, images).cls_rows[list(indices)].astype(np.float32)
        return rows.reshape(*rows.shape[:3], *run.model.config.grid)
    return _cls_maps(run.fingerprint, images.fingerprint, indices, run, images)


@st.cache_resource(max_entries=16, show_spinner=False)
def _cls_maps(
    model: str, image_set: str, indices: tuple[int, ...], _run: Run, _images: ImageSet
) -> np.ndarray:
    maps = read_cls_maps(_run.model, _images.images[list(indices)])
    maps.flags.writeable = False
    return maps
