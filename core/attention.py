"""Attention out of a model: everything for a few images, the CLS rows for a whole set.

`python -m core.attention --model checkpoints/tutorial --data cifar10:test` reads a whole set ahead
of time, so that the dashboard opens it at once. The same command under `torchrun` shares the images
among processes, on one machine or, where they all see the same files, on many.
"""

import os
import signal
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO

import numpy as np
import torch
import torch.distributed as dist
import typer
from tqdm import tqdm

from core.checkpoint import load_run
from core.data import ImageSet, open_images
from core.errors import InputError, VitascopeError
from core.files import atomic_folder, cache_folder, writing
from core.hardware import best_batch, open_device
from core.model import VisionTransformer, ViTConfig
from core.processes import all_or_none, is_first, process_group, share
from core.progress import Progress, silent

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


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
    model: VisionTransformer, images: np.ndarray | torch.Tensor, *, batch_size: int | None = None
) -> np.ndarray:
    """CLS maps (N, L, H, gh, gw) float32 of every layer and head.

    Args:
        images: whatever `model.prepare` takes, N of them.
    """
    maps = np.empty((len(images), *_shape(model)), np.float32)
    done = 0
    for _, rows in _passes(model, images, batch_size, "float32"):
        maps[done : done + len(rows)] = rows
        done += len(rows)
    return maps.reshape(*maps.shape[:3], *model.config.grid)


def token_names(config: ViTConfig) -> list[str]:
    """What to call the T tokens: "CLS", other prefix tokens, then "patch 1", … row by row."""
    registers = [f"register {i}" for i in range(1, config.prefix)]
    return ["CLS", *registers, *(f"patch {i + 1}" for i in range(config.tokens - config.prefix))]


def token_maps(attention: np.ndarray, config: ViTConfig, query: int = 0) -> np.ndarray:
    """Where one token looks, as maps (…, gh, gw) of attention (…, T, T).

    Args:
        query: the token's position; 0, CLS, gives the CLS maps.
    """
    return attention[..., query, config.prefix :].reshape(*attention.shape[:-2], *config.grid)


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
    precision: str = "float32",
    batch_size: int | None = None,
    progress: Progress = silent,
) -> Extraction:
    """Probabilities and CLS rows of a whole set in one pass.

    They are streamed to disk, so memory does not grow with the set, and kept in
    `extractions_folder` under a key of the model's and the set's content: the second call for the
    same pair only opens the files, and so does the first after `python -m core.attention`.

    Args:
        precision: "float32", or "bfloat16", for sets so large that time counts more than digits:
            nearly twice as fast where the processor multiplies it natively (see
            `core.hardware.best_precision`), with CLS rows of the shipped models off by half a
            percent on average and probabilities by up to 0.02. Each is kept on its own; the
            dashboard reads float32.
        progress: called with the images done and the images in all.

    Raises:
        InputError: there is no such precision.
        WriteError: the folder cannot be written, or the disk is full.
    """
    if precision not in PRECISIONS:
        raise InputError(f"There is no precision {precision!r}; choose float32 or bfloat16.")
    folder = extraction_folder(model.fingerprint(), images.fingerprint)
    if precision != "float32":
        folder = folder.with_name(f"{folder.name}-{precision}")
    if not folder.exists():
        with writing(folder), atomic_folder(folder) as part:
            _create(part, model, len(images))
            everything = slice(0, len(images))
            _fill(part, model, images.images, everything, batch_size, precision, progress)
    probabilities = np.load(folder / "probabilities.npy", mmap_mode="r")
    return Extraction(probabilities, np.load(folder / "cls_rows.npy", mmap_mode="r"))


def extract_set_together(
    model: VisionTransformer,
    images: ImageSet,
    out: Path,
    *,
    batch_size: int | None = None,
    progress: Progress = silent,
) -> Path:
    """Write what `extract_set` would, each process of the group (`process_group`) its share.

    Every process calls it, with the same model and images, and sees the same files. A failure in
    one is raised in all, and leaves nothing behind.

    Args:
        out: the folder of extractions, as `extractions_folder` is one.
        progress: called with what is done and what there is to do of this process's share.

    Returns:
        the extraction's own folder in `out`.

    Raises:
        WriteError: `out` cannot be written, or the disk is full.
    """
    folder = extraction_folder(model.fingerprint(), images.fingerprint, out)
    with writing(out), ExitStack() as store:
        part = [None]
        with all_or_none():
            if is_first() and not folder.exists():
                part = [store.enter_context(atomic_folder(folder))]
                _create(part[0], model, len(images))
        dist.broadcast_object_list(part)  # only the first knows where; None: it is there already
        if part[0]:
            with all_or_none():
                mine = share(len(images))
                _fill(part[0], model, images.images, mine, batch_size, "float32", progress)
    return folder


def extractions_folder() -> Path:
    """Where extractions are kept, a folder each.

    `VITASCOPE_EXTRACTIONS` names it; else it is `extractions` in the cache folder.
    """
    named = os.environ.get("VITASCOPE_EXTRACTIONS")
    return Path(named) if named else cache_folder("extractions")


def extraction_folder(model: str, images: str, out: Path | None = None) -> Path:
    """Where the extraction of a model and a set, given by their fingerprints, lies or will lie."""
    return (out or extractions_folder()) / f"{model}-{images}"


def _create(folder, model, count):
    """Both files at their full size, for `_fill` to fill."""
    create = np.lib.format.open_memmap
    create(folder / "cls_rows.npy", "w+", np.float16, (count, *_shape(model)))
    create(folder / "probabilities.npy", "w+", np.float32, (count, model.config.classes))


def _fill(folder, model, images, part, batch_size, precision, progress):
    """Write a part of the rows of both files; others may write other parts at the same time.

    Args:
        images: all of the set, N of them.
        part: a slice of the N; the model sees no other image.
    """
    done, total = 0, part.stop - part.start
    with (
        _open_at(folder / "cls_rows.npy", part.start) as cls_rows,
        _open_at(folder / "probabilities.npy", part.start) as probabilities,
    ):
        for batch_probabilities, rows in _passes(model, images[part], batch_size, precision):
            cls_rows.write(np.ascontiguousarray(rows, np.float16))
            probabilities.write(np.ascontiguousarray(batch_probabilities, np.float32))
            done += len(rows)
            progress(done, total)


def _open_at(path: Path, row: int) -> BinaryIO:
    """A .npy file to write to, from one of its rows on.

    Plain writes, not a memory map: a full disk is then an error that can be told, where a map ends
    the process; and the maps of two machines would undo each other's work in the memory page where
    their parts meet.
    """
    array = np.load(path, mmap_mode="r")
    file = open(path, "rb+")  # noqa: SIM115 - the caller's block closes it
    file.seek(array.offset + row * array.strides[0])
    return file


@torch.inference_mode()
def _passes(model, images, batch_size, precision):
    """Batch by batch: probabilities (B, classes) and CLS rows (B, L, H, gh*gw), NumPy float32."""
    batch_size, dtype = batch_size or best_batch(model), PRECISIONS[precision]
    network = model if dtype == torch.float32 else deepcopy(model).to(dtype)
    for start in range(0, len(images), batch_size):
        batch = model.prepare(images[start : start + batch_size])
        x = network.patch_embedding(batch.to(dtype))  # (B, T, D)
        rows = []
        for block in network.blocks:
            x, attention = block(x)
            # a copy of the CLS row lets go of the rest, which is most of the memory
            rows.append(attention[:, :, 0, model.config.prefix :].clone())
        probabilities = network.classify(x).float().softmax(dim=-1)
        yield probabilities.cpu().numpy(), torch.stack(rows, dim=1).float().cpu().numpy()


def _shape(model) -> tuple[int, int, int]:
    """(L, H, gh*gw)"""
    config = model.config
    return config.layers, config.heads, config.tokens - config.prefix


def main(
    model: Annotated[Path, typer.Option(help="A run folder.")],
    data: Annotated[
        str, typer.Option(help="What to read: samples, cifar10:test, a Parquet file, a folder.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="The folder of extractions to add to, for a dashboard that is started with "
            "VITASCOPE_EXTRACTIONS naming it; else the one that every dashboard here reads."
        ),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, show_default="by the model")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps")] = "auto",
) -> None:
    """Read a whole image set's attention ahead of time, every layer and head, for the dashboard."""
    try:
        with process_group() as first:
            with all_or_none():
                run = load_run(model)
                images = open_images(data, run.model.config.image_size)
                run.model.to(open_device(device))
            # the first process stands for all: their shares differ by one image at most
            with tqdm(unit="img", leave=False, disable=not first) as bar:

                def progress(done, total):
                    bar.total = total
                    bar.update(done - bar.n)

                folder = extract_set_together(
                    run.model,
                    images,
                    out or extractions_folder(),
                    batch_size=batch_size,
                    progress=progress,
                )
    except VitascopeError as error:
        if first:
            typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    if first:
        typer.echo(f"{run.name} on {images.name}, {len(images):,} images: {folder}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # cleans up, as Ctrl-C does
    typer.run(main)
