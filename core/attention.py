"""Attention out of a model: everything for a few images, the CLS rows for a whole set."""

from dataclasses import dataclass

import numpy as np
import torch

from core.data import ImageSet
from core.files import atomic_folder, cache_folder
from core.model import VisionTransformer
from core.progress import Progress, silent


@dataclass(frozen=True, eq=False)
class Extraction:
    """What one pass of a model over an image set found; arrays of a cache on disk, read-only.

    Attributes:
        probabilities: (N, classes) float32.
        cls_rows: (N, L, H, gh*gw) float16, memory-mapped; attention from CLS to every patch.
    """

    probabilities: np.ndarray
    cls_rows: np.ndarray


@torch.inference_mode()
def extract(model: VisionTransformer, images: np.ndarray | torch.Tensor) -> torch.Tensor:
    """Post-softmax attention (B, L, H, T, T) float32 of a batch, on the model's device.

    Args:
        images: whatever `model.prepare` takes, B of them.
    """
    _, attention = model(model.prepare(images), return_attention=True)
    return attention


def cls_maps(
    model: VisionTransformer, images: np.ndarray | torch.Tensor, *, batch_size: int = 256
) -> np.ndarray:
    """CLS maps (N, L, H, gh, gw) float32 of every layer and head.

    Args:
        images: whatever `model.prepare` takes, N of them.
    """
    maps = np.empty((len(images), *_shape(model)), np.float32)
    done = 0
    for _, rows in _passes(model, images, batch_size):
        maps[done : done + len(rows)] = rows
        done += len(rows)
    return maps.reshape(*maps.shape[:3], *model.config.grid)


def last_layer_maps(cls_rows: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """CLS maps (n, gh, gw) float32 of the last layer, mean of its heads.

    Args:
        cls_rows: (n, L, H, gh*gw), as in `Extraction`.
        grid: (gh, gw).
    """
    return cls_rows[:, -1].mean(axis=1, dtype=np.float32).reshape(-1, *grid)


def extract_set(
    model: VisionTransformer,
    images: ImageSet,
    *,
    batch_size: int = 256,
    progress: Progress = silent,
) -> Extraction:
    """Probabilities and CLS rows of a whole set in one pass, in float32.

    They are streamed to disk, so memory does not grow with the set, and kept under a key of the
    model's and the set's content: the second call for the same pair only opens the files.
    """
    key = f"{model.fingerprint()}-{images.fingerprint}"
    folder = cache_folder("extractions") / key
    if not folder.exists():
        with atomic_folder(folder) as part:
            _extract_to(part, model, images.images, batch_size, progress)
    probabilities = np.load(folder / "probabilities.npy", mmap_mode="r")
    return Extraction(probabilities, np.load(folder / "cls_rows.npy", mmap_mode="r"))


def _extract_to(folder, model, images, batch_size, progress):
    create = np.lib.format.open_memmap
    shape = (len(images), *_shape(model))
    classes = (len(images), model.config.classes)
    cls_rows = create(folder / "cls_rows.npy", "w+", np.float16, shape)
    probabilities = create(folder / "probabilities.npy", "w+", np.float32, classes)
    done = 0
    for batch_probabilities, rows in _passes(model, images, batch_size):
        end = done + len(rows)
        cls_rows[done:end] = rows
        probabilities[done:end] = batch_probabilities
        done = end
        progress(done, len(images))
    cls_rows.flush()
    probabilities.flush()


@torch.inference_mode()
def _passes(model, images, batch_size):
    """Batch by batch: probabilities (B, classes) and CLS rows (B, L, H, gh*gw), NumPy float32."""
    for start in range(0, len(images), batch_size):
        batch = model.prepare(images[start : start + batch_size])
        logits, attention = model(batch, return_attention=True)
        rows = attention[:, :, :, 0, model.config.prefix :]
        yield logits.softmax(dim=-1).cpu().numpy(), rows.cpu().numpy()


def _shape(model) -> tuple[int, int, int]:
    """(L, H, gh*gw)"""
    config = model.config
    return config.layers, config.heads, config.tokens - config.prefix
