"""How good a model is: predictions, confusion matrix, per-class figures, calibration.

`python -m core.evaluate checkpoints/tutorial --images cifar10:test` measures a run folder anew.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import torch
import typer
from tqdm import tqdm

from core.checkpoint import Run, load_run
from core.data import open_images
from core.errors import VitascopeError
from core.hardware import best_batch
from core.model import VisionTransformer
from core.progress import Progress, silent


@torch.inference_mode()
def predict(
    model: VisionTransformer,
    images: np.ndarray | torch.Tensor,
    *,
    keep: torch.Tensor | None = None,
    batch_size: int | None = None,
    progress: Progress = silent,
) -> np.ndarray:
    """Class probabilities (N, classes) float32 of a whole set, in float32.

    Args:
        images: whatever `model.prepare` takes, N of them.
        keep: (L, H) bool, the heads that count (see `core.knockout`); all by default.
        progress: called with the images done and the images in all.
    """
    batch_size = batch_size or best_batch(model)
    keep = None if keep is None else keep.to(model.device)
    probabilities = np.empty((len(images), model.config.classes), np.float32)
    for start in range(0, len(images), batch_size):
        batch = model.prepare(images[start : start + batch_size])
        logits = model(batch, keep=keep).float()
        probabilities[start : start + len(batch)] = logits.softmax(dim=-1).cpu()
        progress(start + len(batch), len(images))
    return probabilities


def test_results(run: Run) -> tuple[np.ndarray, np.ndarray] | None:
    """Labels (n,) int64 and probabilities (n, classes) float32 that a run folder brings with it."""
    if run.predictions is None:
        return None
    probabilities = run.predictions[list(run.classes)].to_numpy(np.float32)
    return run.predictions["label"].to_numpy(), probabilities


def accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Share of images whose most probable class is their label, in [0, 1]; NaN for no image."""
    return float((probabilities.argmax(axis=1) == labels).mean()) if len(labels) else float("nan")


def accuracy_interval(share: float, count: int) -> tuple[float, float]:
    """Where an accuracy lies with 95 % confidence, measured on `count` images (Wilson 1927)."""
    z = 1.96
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    spread = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) / (1 + z**2 / count)
    return max(centre - spread, 0.0), min(centre + spread, 1.0)


def cross_entropy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean of -ln p(label), in nats; NaN for no image."""
    if not len(labels):
        return float("nan")
    chosen = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(chosen, np.finfo(np.float32).tiny)).mean())


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts (classes, classes) int64: rows are labels, columns predictions."""
    pairs = labels * classes + predicted
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def per_class(matrix: np.ndarray, classes: tuple[str, ...]) -> pd.DataFrame:
    """Precision, recall and F1 in [0, 1] and the number of images, a row a class.

    A class that was never predicted has no precision (NaN); one without images has no recall.
    """
    hits = matrix.diagonal().astype(float)
    with np.errstate(invalid="ignore"):
        precision, recall = hits / matrix.sum(axis=0), hits / matrix.sum(axis=1)
        f1 = 2 * hits / (matrix.sum(axis=0) + matrix.sum(axis=1))
    return pd.DataFrame(
        {
            "class": classes,
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "images": matrix.sum(axis=1),
        }
    )


def top_confusions(matrix: np.ndarray, classes: tuple[str, ...], count: int = 10) -> pd.DataFrame:
    """The commonest mistakes: label, prediction, images, and their share of the label's images."""
    mistakes = matrix * ~np.eye(len(matrix), dtype=bool)
    order = np.argsort(-mistakes, axis=None, kind="stable")[:count]
    rows, columns = np.unravel_index(order, matrix.shape)
    table = pd.DataFrame(
        {
            "label": np.array(classes)[rows],
            "prediction": np.array(classes)[columns],
            "images": mistakes[rows, columns],
            "share": mistakes[rows, columns] / np.maximum(matrix.sum(axis=1)[rows], 1),
        }
    )
    return table[table["images"] > 0]


def calibration(
    labels: np.ndarray, probabilities: np.ndarray, bins: int = 10
) -> tuple[pd.DataFrame, float]:
    """Confidence against accuracy (Guo et al., "On Calibration of Modern Neural Networks", 2017).

    Returns:
        a row an equal-width bin that holds images: mean confidence, accuracy, images;
        and the expected calibration error in [0, 1].
    """
    confidence = probabilities.max(axis=1).astype(float)
    correct = probabilities.argmax(axis=1) == labels
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    table = (
        pd.DataFrame({"bin": bin_of, "confidence": confidence, "accuracy": correct})
        .groupby("bin")
        .agg(
            confidence=("confidence", "mean"), accuracy=("accuracy", "mean"), images=("bin", "size")
        )
        .reset_index(drop=True)
    )
    gap = (table["confidence"] - table["accuracy"]).abs()
    return table, float((gap * table["images"]).sum() / max(len(labels), 1))


def main(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    images: Annotated[
        str, typer.Option(help="What to test on: samples, cifar10:test, a Parquet file, a folder.")
    ],
) -> None:
    """Measure a run folder's model on images you name."""
    try:
        opened = load_run(run)
        image_set = open_images(images, opened.model.config.image_size)
    except VitascopeError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    labels = image_set.labels_in(opened.classes)
    known = labels >= 0
    with tqdm(total=len(image_set), unit="img", leave=False) as bar:
        probabilities = predict(
            opened.model, image_set.images, progress=lambda done, _: bar.update(done - bar.n)
        )
    if not known.any():
        typer.echo(f"{image_set.name} has no label that {run.name} knows.", err=True)
        raise typer.Exit(1)
    labels, probabilities = labels[known], probabilities[known]
    typer.echo(f"{run.name} on {image_set.name}, {len(labels):,} images with a known label")
    typer.echo(f"accuracy {accuracy(labels, probabilities):.2%}")
    typer.echo(f"loss     {cross_entropy(labels, probabilities):.4f}")
    matrix = confusion_matrix(labels, probabilities.argmax(axis=1), len(opened.classes))
    typer.echo(
        per_class(matrix, opened.classes).to_string(index=False, float_format="{:.3f}".format)
    )


if __name__ == "__main__":
    typer.run(main)
