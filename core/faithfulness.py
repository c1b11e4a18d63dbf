"""Does the model depend on what a map shows? Patches are taken away, or given back, in its order.

Deletion and insertion (Petsiuk et al., "RISE", 2018) in steps of whole patches: the sooner the
score falls as the patches with the highest values go, and the sooner it rises as they come, the
better the map says what the prediction depends on. Beside it belongs what `random_maps` gives: an
order that knows nothing.

`python -m core.faithfulness --model checkpoints/strong --data cifar10:test` measures every map over
a set and writes the table into the run folder.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import torch
import typer
from tqdm import tqdm

from core.checkpoint import FAITHFULNESS, load_run
from core.cover import blurred, canvas, mean_color, turns
from core.data import ImageSet, open_images
from core.errors import InputError, VitascopeError
from core.explain import METHODS, explain
from core.files import atomic_file, writing
from core.hardware import best_batch, open_device
from core.intervals import mean_interval
from core.model import VisionTransformer
from core.occlusion import occlusion, rank_correlation
from core.progress import Progress, silent

MAPS = (*METHODS, "occlusion", "random")
# what is measured of every map of every image, in the order of the tables
MEASURES = ("deletion", "insertion", "occlusion", "object")
_COLUMNS = ["map", "measure", "mean", "low", "high", "count", "images"]
_CHUNK = 16  # images whose maps are in memory at once, and between two signs of progress


def deletion(
    model: VisionTransformer,
    images: np.ndarray,
    maps: np.ndarray | torch.Tensor,
    *,
    color: np.ndarray | None = None,
    batch_size: int | None = None,
    progress: Progress = silent,
) -> tuple[np.ndarray, np.ndarray]:
    """Scores as the patches with the highest values are painted over, one after the other.

    Args:
        images: (B, S, S, C) uint8.
        maps: (B, gh, gw); of equal values the patch that comes first, row by row, goes first.
        color: (C,) in [0, 1], what patches are painted with; the images' mean by default.
        batch_size: pictures that the model sees at once.
        progress: called with the images done and the images in all.

    Returns:
        scores (B, gh*gw + 1) float32, the softmax probability of the class that the model predicts
        for the whole image, after 0, 1, … all patches; and the areas under them (B,) float32, in
        [0, 1]: low where the map is faithful.

    Raises:
        InputError: the maps do not fit the images and the model.
    """
    color = mean_color(images) if color is None else color

    def painted(pictures: torch.Tensor) -> torch.Tensor:
        return canvas(model, color).expand_as(pictures)

    return _curves(model, images, maps, painted, False, batch_size, progress)


def insertion(
    model: VisionTransformer,
    images: np.ndarray,
    maps: np.ndarray | torch.Tensor,
    *,
    batch_size: int | None = None,
    progress: Progress = silent,
) -> tuple[np.ndarray, np.ndarray]:
    """Scores as the patches with the highest values come back into a blurred picture.

    Arguments (but for the colour), results and errors as in `deletion`; the area is high where the
    map is faithful.
    """
    return _curves(model, images, maps, blurred, True, batch_size, progress)


def pictures_at(
    image: np.ndarray, grid: np.ndarray, step: int, color: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What the model sees after so many steps of `deletion` and of `insertion`.

    Args:
        image: (S, S, C) uint8.
        grid: (gh, gw), its map.
        color: (C,) in [0, 1], as in `deletion`.

    Returns:
        two pictures (S, S, C) uint8.
    """
    gone = turns(torch.tensor(grid)[None], image.shape[0] // grid.shape[0])[0] < step  # (S, S)
    gone = gone[..., None].numpy()
    painted = np.broadcast_to(np.round(np.multiply(color, 255)), image.shape)
    floats = torch.tensor(image, dtype=torch.float32).permute(2, 0, 1)[None]  # (1, C, S, S)
    out_of_focus = blurred(floats)[0].permute(1, 2, 0).round().numpy()
    pictures = np.where(gone, painted, image), np.where(gone, image, out_of_focus)
    return tuple(picture.astype(np.uint8) for picture in pictures)


def on_object(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Share of each map's mass that lies on the object, in [0, 1]; NaN for a map of zeros.

    The energy-based pointing game (Wang et al., "Score-CAM", 2020). A uniform map gets the share of
    the picture that the object covers, `masks.mean(axis=(1, 2))`.

    Args:
        maps: (…, B, gh, gw), non-negative; a patch's mass lies evenly over its pixels.
        masks: (B, S, S) bool, True on the object.

    Raises:
        InputError: the patches do not divide the masks.
    """
    maps, (gh, gw) = np.asarray(maps, np.float64), np.shape(maps)[-2:]
    count, height, width = masks.shape
    if maps.shape[-3] != count or height % gh or width % gw:
        raise InputError(
            f"Maps of shape {maps.shape} do not fit masks of shape {masks.shape}: there must be "
            "as many, and whole pixels in every patch."
        )
    covered = masks.reshape(count, gh, height // gh, gw, width // gw).mean(axis=(2, 4))
    mass = maps.sum(axis=(-2, -1))
    inside = (maps * covered).sum(axis=(-2, -1))
    return np.divide(inside, mass, where=mass > 0, out=np.full(mass.shape, np.nan))


def random_maps(count: int, grid: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Maps (count, gh, gw) whose order of patches is random, float32: the baseline."""
    return np.random.default_rng(seed).random((count, *grid), np.float32)


def area(scores: np.ndarray) -> np.ndarray:
    """Area under curves (…, n + 1) over [0, 1], by trapezoids."""
    ends = (scores[..., 0] + scores[..., -1]) / 2
    return (scores.sum(axis=-1) - ends) / (scores.shape[-1] - 1)


@torch.inference_mode()
def _curves(model, images, maps, background, comes, batch_size, progress):
    """Both measures; `comes` says whether patches of the image come to the background, or go."""
    grid = model.config.grid
    batch_size = batch_size or best_batch(model)
    maps = torch.as_tensor(maps, dtype=torch.float32, device=model.device)
    if tuple(maps.shape) != (len(images), *grid) or not torch.isfinite(maps).all():
        raise InputError(
            f"{len(images)} images of this model need finite maps of the shape "
            f"{(len(images), *grid)}, not {tuple(maps.shape)}."
        )
    patches = grid[0] * grid[1]
    scores = np.empty((len(images), patches + 1), np.float32)
    at_once = max(1, batch_size // (patches + 1))
    for start in range(0, len(images), at_once):
        part = slice(start, start + at_once)
        pictures = model.prepare(images[part])  # (b, C, S, S)
        empty = background(pictures)
        rank = turns(maps[part], model.config.patch_size)  # (b, S, S)
        target = model(pictures).argmax(dim=-1)  # (b,)
        old, new = (empty, pictures) if comes else (pictures, empty)
        for steps, versions in _versions(rank, old, new, patches + 1, batch_size):
            chances = model(versions.flatten(0, 1)).softmax(dim=-1)
            chances = chances.unflatten(0, versions.shape[:2])  # (b, steps, classes)
            of_target = chances[torch.arange(len(target)), :, target]  # (b, steps)
            scores[part, steps] = of_target.float().cpu().numpy()
        progress(min(part.stop, len(images)), len(images))
    return scores, area(scores)


def _versions(
    rank: torch.Tensor, old: torch.Tensor, new: torch.Tensor, count: int, batch_size: int
) -> Iterator[tuple[slice, torch.Tensor]]:
    """The pictures after steps 0 … count - 1, as many steps at a time as fit into a batch.

    Args:
        rank: (b, S, S), a pixel is new from step rank + 1 on.
        old, new: (b, C, S, S)

    Yields:
        which steps, and their pictures (b, steps, C, S, S).
    """
    at_once = max(1, batch_size // len(rank))
    for first in range(0, count, at_once):
        steps = torch.arange(first, min(first + at_once, count), device=rank.device)
        is_new = rank[:, None] < steps[:, None, None]  # (b, steps, S, S)
        yield (
            slice(first, first + len(steps)),
            torch.where(is_new[:, :, None], new[:, None], old[:, None]),
        )


def measure(
    model: VisionTransformer, images: ImageSet, *, progress: Progress = silent
) -> dict[str, np.ndarray]:
    """Every map of `MAPS` for what the model predicts, measured on every image of a set.

    "attention" and "gradcam" are of the last layer; "random" is one random order an image.

    Args:
        progress: called with the images done and the images in all.

    Returns:
        (maps, N) float32 by measure: "deletion" and "insertion", the areas; "occlusion", the rank
        correlation of the other maps with the map of that name; and where the set has masks,
        "object", the share of the map's mass on the object (of occlusion's, of what is above 0).
        NaN where a map has none.
    """
    grid, count = model.config.grid, len(images)
    color = mean_color(images.images)
    at_random = random_maps(count, grid)
    wanted = [name for name in MEASURES if name != "object" or images.masks is not None]
    found = {name: np.empty((len(MAPS), count), np.float32) for name in wanted}
    for start in range(0, count, _CHUNK):
        part = slice(start, start + _CHUNK)
        pictures = images.images[part]
        drops = occlusion(model, pictures, color=color)
        for i, name in enumerate(MAPS):
            if name in METHODS:
                maps = explain(model, pictures, name).cpu().numpy()
            else:
                maps = drops if name == "occlusion" else at_random[part]
            found["deletion"][i, part] = deletion(model, pictures, maps, color=color)[1]
            found["insertion"][i, part] = insertion(model, pictures, maps)[1]
            with_itself = name == "occlusion"
            found["occlusion"][i, part] = np.nan if with_itself else rank_correlation(maps, drops)
            if images.masks is not None:
                found["object"][i, part] = on_object(np.maximum(maps, 0), images.masks[part])
        progress(min(part.stop, count), count)
    return found


def summary(measured: dict[str, np.ndarray], images: str) -> pd.DataFrame:
    """A row a map and measure of what `measure` returns, where there is any value.

    Columns: map, measure, mean, low and high (of its 95 % interval), count (how many images have a
    value), and images, which says what they are.
    """
    rows = []
    for name, values in measured.items():
        for method, of_map in zip(MAPS, values):
            if count := int((~np.isnan(of_map)).sum()):
                rows.append((method, name, *mean_interval(of_map), count, images))
    return pd.DataFrame(rows, columns=_COLUMNS)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a `summary` as CSV.

    Raises:
        WriteError: it cannot be written.
    """
    with writing(path), atomic_file(path) as part:
        table.to_csv(part, index=False, float_format="%.4f", lineterminator="\n")


def read_table(path: Path) -> pd.DataFrame | None:
    """What `write_table` wrote; None where there is no such file.

    Raises:
        InputError: it is another table.
    """
    try:
        table = pd.read_csv(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise InputError(f"{path} is no table of measures.") from error
    numbers = table.dtypes.reindex(["mean", "low", "high"]).map(lambda kind: kind == np.float64)
    known = set(table.get("map", [])) <= set(MAPS) and set(table.get("measure", [])) <= set(
        MEASURES
    )
    if list(table.columns) != _COLUMNS or not numbers.all() or not known:
        raise InputError(f"{path} is no table of measures.")
    return table


def main(
    model: Annotated[Path, typer.Option(help="A run folder.")],
    data: Annotated[
        str, typer.Option(help="What to read: samples, cifar10:test, a Parquet file, a folder.")
    ],
    images: Annotated[
        int, typer.Option(help="How many, drawn at random, the same every time.", min=1)
    ] = 1000,
    out: Annotated[
        Path | None,
        typer.Option(
            help=f"The table to write; else {FAITHFULNESS} in the run folder.", dir_okay=False
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps")] = "auto",
) -> None:
    """Measure which map to trust on a model: deletion, insertion, and agreement with occlusion."""
    try:
        run = load_run(model)
        whole = open_images(data, run.model.config.image_size)
        run.model.to(open_device(device))
        chosen = whole.sample(images)
        with tqdm(total=len(chosen), unit="img", leave=False) as bar:
            measured = measure(run.model, chosen, progress=lambda done, _: bar.update(done - bar.n))
        table = summary(measured, chosen.name)
        write_table(out or model / FAITHFULNESS, table)
    except VitascopeError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{run.name} on {chosen.name}: mean [95 % interval]")
    for name, rows in table.groupby("measure", sort=False):
        typer.echo(f"\n{name}")
        for row in rows.itertuples():
            typer.echo(f"  {row.map:<10} {row.mean:7.4f}  [{row.low:.4f}, {row.high:.4f}]")


if __name__ == "__main__":
    typer.run(main)
