"""The figures that the dashboard shows, made of what the core computes; a notebook makes the same.

Every function returns a `core.figures.figure.Figure`, for `screen.draw` or `paper.render`.
"""

import numpy as np
import pandas as pd

from core.amplify import AmplificationSteps, amplify
from core.checkpoint import Run
from core.figures.figure import Bars, Lines, Matrix, Panel, Panels, Series
from core.model import ViTConfig
from core.recipes import published_history
from core.selection import Verdicts

READABLE = 36  # as many numbers can be read in one panel


def verdict_note(verdicts: Verdicts, index: int, classes: tuple[str, ...]) -> str:
    """ "deer → horse 41%": an image's label, if it has one, and prediction with probability."""
    label, predicted = verdicts.labels[index], verdicts.predicted[index]
    prediction = f"{classes[predicted]} {verdicts.confidence[index]:.0%}"
    return f"{classes[label]} → {prediction}" if label >= 0 else prediction


def is_right(verdicts: Verdicts, index: int) -> bool | None:
    """Whether an image is predicted rightly; None where its label is unknown."""
    return bool(verdicts.correct[index]) if verdicts.known[index] else None


def gallery(
    title: str,
    images: np.ndarray,
    verdicts: Verdicts,
    classes: tuple[str, ...],
    indices: np.ndarray,
    maps: np.ndarray | None = None,
    gain: float = 2.0,
) -> Panels:
    """Pictures with label and prediction.

    Args:
        images: (N, H, W, 3) uint8, the whole set.
        indices: (n,) positions of those to show.
        maps: (n, gh, gw), one a picture shown: then each is amplified where its map is high.
    """
    panels = []
    for i, index in enumerate(indices.tolist()):
        picture = images[index]
        if maps is not None:
            picture = amplify(maps[i], picture, gain=gain).amplified
        note = verdict_note(verdicts, index, classes).replace(" → ", "\n→ ")
        panels.append(
            Panel(f"image_{index}", "", picture, note=note, right=is_right(verdicts, index))
        )
    return Panels(title, panels, columns=10)


def triplets(
    title: str,
    images: np.ndarray,
    verdicts: Verdicts,
    classes: tuple[str, ...],
    indices: np.ndarray,
    maps: np.ndarray,
    gain: float = 2.0,
) -> Panels:
    """The tutorial's picture: image, attention map and amplified image, side by side.

    Args:
        images: (N, H, W, 3) uint8, the whole set.
        indices: (n,) positions of those to show.
        maps: (n, gh, gw), one a picture shown.
    """
    panels = []
    for index, grid in zip(indices.tolist(), maps):
        note = verdict_note(verdicts, index, classes)
        right = is_right(verdicts, index)
        amplified = amplify(grid, images[index], gain=gain).amplified
        panels += [
            Panel(f"{index}_image", f"#{index}", images[index], note=note, right=right),
            Panel(f"{index}_attention", "attention", grid),
            Panel(f"{index}_amplified", "amplified", amplified),
        ]
    return Panels(title, panels, columns=6)


def result(title: str, image: np.ndarray, steps: AmplificationSteps, gain: float) -> Panels:
    """An image (H, W, 3) beside its map and what came of it."""
    panels = [
        Panel("image", "image", image),
        Panel("attention", "attention", steps.grid, numbers=steps.grid.size <= READABLE),
        Panel("amplified", f"amplified × {gain:g}", steps.amplified),
    ]
    return Panels(title, panels, columns=3)


def amplification(title: str, steps: AmplificationSteps, gain: float) -> Panels:
    """The six steps, each with its number and name."""
    numbered = steps.grid.size <= READABLE
    gh, gw = steps.grid.shape
    panels = [
        Panel("average", f"1  average: CLS to {gh * gw} patches", steps.average, numbers=True),
        Panel("grid", f"2  reshape to {gh} × {gw}", steps.grid, numbers=numbered),
        Panel("resized", "3  resize to the image", steps.resized),
        Panel("normalised", "4  min-max to 0 … 1", steps.normalised, (0.0, 1.0), unit="share"),
        Panel("multiplied", "5  × image", steps.multiplied),
        Panel("amplified", f"6  × {gain:g}", steps.amplified),
    ]
    return Panels(title, panels, columns=3)


def head_maps(title: str, attention: np.ndarray, config: ViTConfig) -> Panels:
    """CLS maps of a layer's attention (H, T, T): heads' average and each head, on one scale."""
    maps = attention[:, 0, config.prefix :].reshape(-1, *config.grid)  # (H, gh, gw)
    average = maps.mean(axis=0)
    scale = (float(min(maps.min(), average.min())), float(maps.max()))
    panels = [Panel("average", "average", average, scale)]
    panels += [Panel(f"head_{h}", f"head {h}", m, scale) for h, m in enumerate(maps, 1)]
    return Panels(title, panels, columns=5)


def patches(image: np.ndarray, grid: tuple[int, int]) -> Panels:
    """An image (H, W, 3) uint8 cut into the patches (gh, gw) that become tokens."""
    gh, gw = grid
    height, width = image.shape[0] // gh, image.shape[1] // gw
    panels = [
        Panel(f"patch_{r * gw + c + 1}", f"{r * gw + c + 1}", cut)
        for r, row in enumerate(np.split(image, gh, axis=0))
        for c, cut in enumerate(np.split(row, gw, axis=1))
    ]
    title = f"The same picture as {gh * gw} patches of {height} × {width} pixels"
    return Panels(title, panels, columns=gw)


def probabilities(values: np.ndarray, classes: tuple[str, ...], label: int) -> Bars:
    """Probabilities (classes,), most probable first; the true class is marked by its name."""
    order = np.argsort(-values, kind="stable")
    names = tuple(f"{classes[i]} ✓" if i == label else classes[i] for i in order)
    title = "Probability of each class" + (" (✓ the label)" if label >= 0 else "")
    return Bars(title, names, values[order], "probability", highlight=(0,))


def confusion(matrix: np.ndarray, classes: tuple[str, ...], shares: bool) -> Matrix:
    """Counts (classes, classes), or each row's shares of its label's images."""
    values = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1) if shares else matrix
    title = "Confusion matrix: " + ("share of each label's images" if shares else "images")
    unit = "of the label's images" if shares else "images"
    return Matrix(title, values, classes, classes, "label", "prediction", unit)


def reliability(table: pd.DataFrame, error: float) -> Lines:
    """Confidence against accuracy (see `core.evaluate.calibration`)."""
    ends = np.array([0.0, 1.0])
    series = [
        Series("perfectly calibrated", ends, ends, "dashed", color=6),
        Series("bins", table["confidence"].to_numpy(), table["accuracy"].to_numpy(), "points"),
    ]
    title = f"Calibration: expected calibration error {error:.1%}"
    return Lines(title, "confidence", "accuracy", series, percent=True)


def mean_pictures(title: str, images: np.ndarray, maps: np.ndarray, gain: float = 2.0) -> Panels:
    """Mean image, mean map and their amplification; images (n, H, W, 3) uint8, maps (n, gh, gw)."""
    image = images.mean(axis=0, dtype=np.float32) / 255
    grid = maps.mean(axis=0, dtype=np.float32)
    steps = amplify(grid, image, gain=gain)
    panels = [
        Panel("mean_image", "mean image", image),
        Panel("mean_map", "mean attention", grid, numbers=grid.size <= READABLE),
        Panel("mean_amplified", "amplified", steps.amplified),
    ]
    return Panels(title, panels, columns=3)


def smooth(values: np.ndarray, weight: float) -> np.ndarray:
    """Exponential moving average, (n,): the point k places back counts `weight` ** k, in [0, 1)."""
    return pd.Series(values).ewm(alpha=1 - weight, adjust=True).mean().to_numpy()


def curves(
    runs: list[Run], what: str, smoothing: float = 0.0, published: bool = False, epoch: int = 0
) -> Lines:
    """Training and validation curves.

    Args:
        what: "loss" (cross-entropy in nats) or "acc" (accuracy).
        smoothing: as `weight` in `smooth`; the raw values stay visible, faintly.
        published: add the tutorial's own losses.
        epoch: mark this one; 0 marks none.
    """
    series, marks = [], []
    for i, run in enumerate(runs):
        x = run.history["epoch"].to_numpy()
        for j, (part, words) in enumerate((("train", "training"), ("val", "validation"))):
            name = f"{run.name}: {words}" if len(runs) > 1 else words
            y = run.history[f"{part}_{what}"].to_numpy()
            color = 2 * i + j
            if smoothing and len(y):
                series.append(Series(f"{name}, raw", x, y, "faint", color))
                y = smooth(y, smoothing)
            series.append(Series(name, x, y, color=color))
        if run.kept_epoch:
            marks.append((run.kept_epoch, f"kept: epoch {run.kept_epoch}"))
    if published and what == "loss":
        history = published_history()
        for j, (part, words) in enumerate((("train", "training"), ("val", "validation"))):
            y = history[f"{part}_loss"].to_numpy()
            series.append(Series(f"published: {words}", history["epoch"], y, "dashed", j))
    if epoch and all(epoch != kept for kept, _ in marks):
        marks.append((epoch, f"epoch {epoch}"))
    if what == "loss":
        return Lines("Loss", "epoch", "cross-entropy (nats)", series, marks)
    return Lines("Accuracy", "epoch", "accuracy", series, marks, percent=True)


def replay_maps(
    run: Run, epoch: int, source: str, pictures: np.ndarray, labels: np.ndarray, method: str
) -> Panels:
    """What the fixed images of one source looked like to the model after an epoch.

    Args:
        source: "samples" or "test", as in `replay.npz`.
        pictures: (n, H, W, 3) uint8, the images of that source, in the replay's order.
        labels: (n,) in the model's classes, -1 where unknown.
        method: "attention" (last layer, mean of the heads) or "rollout".
    """
    replay = run.replay
    frame = int(np.flatnonzero(replay["epoch"] == epoch)[0])
    rows = np.flatnonzero(replay["source"] == source)
    if method == "rollout":
        maps = replay["rollout"][frame, rows].astype(np.float32)  # (n, gh, gw)
    else:
        maps = replay["cls_maps"][frame, rows].astype(np.float32).mean(axis=1)
    chances = replay["probabilities"][frame, rows].astype(np.float32)  # (n, classes)
    panels = []
    for i, (picture, grid, label) in enumerate(zip(pictures, maps, labels)):
        predicted = int(chances[i].argmax())
        note = f"{run.classes[predicted]} {chances[i, predicted]:.0%}"
        right = bool(predicted == label) if label >= 0 else None
        panels += [
            Panel(f"{source}_{i}_amplified", "", amplify(grid, picture).amplified),
            Panel(f"{source}_{i}_map", "", grid, note=note, right=right),
        ]
    return Panels(f"After epoch {epoch}", panels, columns=8)
