"""The figures that the dashboard shows, made of what the core computes; a notebook makes the same.

Every function returns a `core.figures.figure.Figure`, for `screen.draw` or `paper.render`.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from core import compare
from core.amplify import AmplificationSteps, amplify
from core.attention import token_maps
from core.checkpoint import Run
from core.figures.figure import Bars, Lines, Matrix, Panel, Panels, Series
from core.figures.palette import DIFFERENCE_COLORS, MAP_COLORS, map_pixels
from core.model import ViTConfig
from core.recipes import published_history
from core.replay import frame_of
from core.selection import Mean, Verdicts, verdicts

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
    resize: str = "bilinear",
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
            picture = amplify(maps[i], picture, gain=gain, resize=resize).amplified
        note = verdict_note(verdicts, index, classes).replace(" → ", "\n→ ")
        right, alt = is_right(verdicts, index), f"#{index}"
        panels.append(Panel(f"image_{index}", "", picture, note=note, right=right, alt=alt))
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
            Panel(f"{index}_attention", "attention", grid, alt=f"#{index} attention"),
            Panel(f"{index}_amplified", "amplified", amplified, alt=f"#{index} amplified"),
        ]
    return Panels(title, panels, columns=6)


def result(
    title: str,
    image: np.ndarray,
    steps: AmplificationSteps,
    gain: float,
    opacity: float = 0.5,
    colors: str = MAP_COLORS,
    patch: int | None = None,
    method: str = "attention",
) -> Panels:
    """An image (H, W, 3) uint8, its map, the map laid over it, and the amplified image.

    Args:
        opacity: of the map where it lies over the image, in [0, 1].
        method: what made the map, for its caption and unit.
        patch: the one that looks, row by row from 0, gets a frame; None of CLS.
    """
    (gh, gw), marked = steps.grid.shape, None
    if patch is not None:
        marked = (patch % gw / gw, patch // gw / gh, 1 / gw, 1 / gh)
    over = overlaid(image, steps, opacity, colors)
    numbers = steps.grid.size <= READABLE
    panels = [
        Panel("image", "image", image, marked=marked),
        Panel(method, method, steps.grid, numbers=numbers, unit=method, marked=marked),
        Panel("overlay", f"overlaid at {opacity:.0%}", over, marked=marked),
        Panel("amplified", f"amplified × {gain:g}", steps.amplified, marked=marked),
    ]
    return Panels(title, panels, columns=4, colors=colors, size=image.shape[:2])


def overlaid(
    image: np.ndarray, steps: AmplificationSteps, opacity: float, colors: str = MAP_COLORS
) -> np.ndarray:
    """An image (H, W, 3) uint8 under its resized map's colours, (H, W, 3) uint8.

    Args:
        opacity: of the map, in [0, 1].
    """
    above = map_pixels(steps.normalised, (0, 1), colors)
    return ((1 - opacity) * image + opacity * above).round().astype(np.uint8)


def amplification(
    title: str,
    steps: AmplificationSteps,
    gain: float,
    query: str | None = "CLS",
    colors: str = MAP_COLORS,
    method: str = "attention",
) -> Panels:
    """The six steps, each with its number and name; `query` says which token looks.

    A map of another method than attention is of no token (`query` None), and begins at step 2.
    """
    numbered = steps.grid.size <= READABLE
    gh, gw = steps.grid.shape
    average = f"1  average: {query} to {gh * gw} patches"
    panels = [
        *([Panel("average", average, steps.average, numbers=True)] if query else []),
        Panel(
            "grid",
            f"2  {'reshape to' if query else 'map of'} {gh} × {gw}",
            steps.grid,
            numbers=numbered,
            unit=method,
        ),
        Panel("resized", "3  resize to the image", steps.resized, unit=method),
        Panel("normalised", "4  min-max to 0 … 1", steps.normalised, (0.0, 1.0), unit="share"),
        Panel("multiplied", "5  × image", steps.multiplied),
        Panel("amplified", f"6  × {gain:g}", steps.amplified),
    ]
    return Panels(title, panels, columns=3, colors=colors, size=steps.resized.shape)


def head_maps(
    title: str, attention: np.ndarray, config: ViTConfig, query: int = 0, colors: str = MAP_COLORS
) -> Panels:
    """Where a token looks in a layer's attention (H, T, T): heads' average and each, one scale."""
    maps = token_maps(attention, config, query)  # (H, gh, gw)
    average = maps.mean(axis=0)
    scale = _scale_of([maps, average])
    panels = [Panel("average", "average", average, scale)]
    panels += [Panel(f"head_{h}", f"head {h}", m, scale) for h, m in enumerate(maps, 1)]
    return Panels(title, panels, columns=5, colors=colors, size=(config.image_size,) * 2)


def all_maps(
    title: str,
    attention: np.ndarray,
    config: ViTConfig,
    shared: bool,
    query: int = 0,
    colors: str = MAP_COLORS,
) -> Panels:
    """Where a token looks in every layer and head of attention (L, H, T, T), a row a layer.

    Args:
        shared: one scale for all, which shows how strongly each looks; else each map has its own,
            which shows where.
    """
    maps = token_maps(attention, config, query)  # (L, H, gh, gw)
    scale = _scale_of([maps]) if shared else None
    panels = [
        Panel(f"layer_{layer}_head_{head}", f"L{layer} H{head}", grid, scale)
        for layer, heads in enumerate(maps, 1)
        for head, grid in enumerate(heads, 1)
    ]
    columns = attention.shape[1]
    return Panels(title, panels, columns, colors, size=(config.image_size,) * 2)


def _scale_of(maps: list[np.ndarray]) -> tuple[float, float]:
    """(low, high) of the colours that several maps share."""
    return min(float(m.min()) for m in maps), max(float(m.max()) for m in maps)


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


def probabilities(
    values: np.ndarray,
    classes: tuple[str, ...],
    label: int,
    title: str = "Probability of each class",
) -> Bars:
    """Probabilities (classes,), most probable first; the true class is marked by its name."""
    order = np.argsort(-values, kind="stable")
    names = tuple(f"{classes[i]} ✓" if i == label else classes[i] for i in order)
    title += " (✓ the label)" if label >= 0 else ""
    return Bars(title, names, values[order], "probability", highlight=(0,))


def confusion(matrix: np.ndarray, classes: tuple[str, ...], shares: bool) -> Matrix:
    """Counts (classes, classes), or each row's shares of its label's images."""
    values = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1) if shares else matrix
    title = "Confusion matrix: " + ("share of each label's images" if shares else "images")
    unit = "of the label's images" if shares else "images"
    form = ".0%" if shares else ","
    return Matrix(title, values, classes, classes, "label", "prediction", unit, form)


def reliability(table: pd.DataFrame, error: float) -> Lines:
    """Confidence against accuracy (see `core.evaluate.calibration`)."""
    ends = np.array([0.0, 1.0])
    series = [
        Series("perfectly calibrated", ends, ends, "dashed", color=6),
        Series("bins", table["confidence"].to_numpy(), table["accuracy"].to_numpy(), "points"),
    ]
    title = f"Calibration: expected calibration error {error:.1%}"
    return Lines(title, "confidence", "accuracy", series, percent=True)


def mean_pictures(title: str, means: dict[str, Mean], colors: str = MAP_COLORS) -> Panels:
    """Mean image, mean map and mean amplified image of every group of images, by its name."""
    scale = _scale_of([mean.grid for mean in means.values()])
    panels = []
    for name, mean in means.items():
        note = f"{mean.count:,} image" + "s" * (mean.count != 1)
        panels += [
            Panel(f"{name}_image", name, mean.image, note=note),
            Panel(f"{name}_map", "mean attention", mean.grid, scale),
            Panel(f"{name}_amplified", "mean amplified", mean.amplified),
        ]
    size = panels[0].values.shape[:2]
    return Panels(title, panels, 6 if len(means) > 1 else 3, colors, size)


def smooth(values: np.ndarray, weight: float) -> np.ndarray:
    """Exponential moving average, (n,): the point k places back counts `weight` ** k, in [0, 1)."""
    return pd.Series(values).ewm(alpha=1 - weight, adjust=True).mean().to_numpy()


_PARTS = (("train", "training"), ("val", "validation"))
_PUBLISHED = 6  # the colour of the published losses beside several runs


def time_axis(history: pd.DataFrame, over: str) -> np.ndarray:
    """Where the epochs lie, (E,): over "epochs" their numbers, over "minutes" when they ended."""
    if over == "minutes":
        return history["seconds"].cumsum().to_numpy() / 60
    return history["epoch"].to_numpy()


def curves(
    runs: list[Run],
    what: str,
    smoothing: float = 0.0,
    published: bool = False,
    epoch: int = 0,
    over: str = "epochs",
) -> Lines:
    """Training and validation curves; of several runs each has its colour.

    Args:
        what: "loss" (cross-entropy in nats) or "acc" (accuracy).
        smoothing: as `weight` in `smooth`; the raw values stay visible, faintly.
        published: add the tutorial's own losses, if over epochs: nobody knows how long they took.
        epoch: mark this one of the first run; 0 marks none.
        over: "epochs", or "minutes" of training.
    """
    several = len(runs) > 1
    series, marks = [], []
    for i, run in enumerate(runs):
        x, kept = time_axis(run.history, over), run.kept_epoch
        for j, (part, words) in enumerate(_PARTS):
            name = f"{run.name}: {words}" if several else words
            if several and kept and part == "val":
                name += f" (● kept: epoch {kept})"
            y = run.history[f"{part}_{what}"].to_numpy()
            color, style = (i, ("dashed", "solid")[j]) if several else (j, "solid")
            if smoothing and len(y):
                series.append(Series(f"{name}, raw", x, y, "faint", color))
                y = smooth(y, smoothing)
            series.append(Series(name, x, y, style, color))
        at = run.history["epoch"].to_numpy() == kept
        if kept and several:
            series.append(Series(f"{run.name}: kept epoch", x[at], y[at], "dot", i))
        elif kept:
            marks.append((x[at].item(), f"kept: epoch {kept}"))
        if i == 0 and epoch and (several or epoch != kept):
            here = x[run.history["epoch"].to_numpy() == epoch].item()
            marks.append((here, f"epoch {epoch}" + (f" of {run.name}" if several else "")))
    if published and what == "loss" and over == "epochs":
        history = published_history()
        for j, (part, words) in enumerate(_PARTS):
            y = history[f"{part}_loss"].to_numpy()
            color, style = (_PUBLISHED, ("dashed", "solid")[j]) if several else (j, "dashed")
            series.append(Series(f"published: {words}", history["epoch"], y, style, color))
    label = {"epochs": "epoch", "minutes": "minutes of training"}[over]
    if what == "loss":
        return Lines("Loss", label, "cross-entropy (nats)", series, marks)
    return Lines("Accuracy", label, "accuracy", series, marks, percent=True)


def comparability(runs: list[Run]) -> list[str]:
    """What keeps curves from being compared at face value, in sentences."""
    notes = []
    validated = {}
    for run in runs:
        validated.setdefault(_validated_on(run), []).append(run.name)
    if len(validated) > 1:
        parts = (f"{', '.join(names)} on {words}" for (words, _), names in validated.items())
        notes.append(f"Not validated on the same images: {'; '.join(parts)}.")
    if harder := [run.name for run in runs if _learns_harder(run)]:
        notes.append(
            f"{', '.join(harder)}: altered pictures or softened labels make training harder than "
            "validation, so go by the validation curve."
        )
    return notes


def _validated_on(run: Run) -> tuple[str, str | None]:
    """Words for the images that a run's validation is measured on, and what tells them apart."""
    held_out = run.recipe.get("validation", 0)
    split = "train" if held_out else "test"
    about = (run.config.get("data") or {}).get(split) or {}
    name = about.get("name", "images unknown")
    return f"{held_out:,} of {name}" if held_out else name, about.get("fingerprint")


def _learns_harder(run: Run) -> bool:
    augmentation = run.recipe.get("augmentation") or {}
    return any(augmentation.values()) or bool(run.recipe.get("label_smoothing"))


def replay_maps(
    run: Run, epoch: int, source: str, pictures: np.ndarray, labels: np.ndarray, method: str
) -> Panels:
    """What the fixed images of one source looked like to the model after an epoch.

    Args:
        epoch: one that `core.replay.kept_frame` gives.
        source: "samples" or "test", as in `replay.npz`.
        pictures: (n, H, W, 3) uint8, the images of that source, in the replay's order.
        labels: (n,) in the model's classes, -1 where unknown.
        method: "attention" (last layer, mean of the heads) or "rollout".
    """
    frame = frame_of(run.replay, epoch, source)
    said = verdicts(labels, frame.probabilities)
    panels = []
    for i, (picture, grid) in enumerate(zip(pictures, frame.maps(method))):
        note = f"{run.classes[said.predicted[i]]} {said.confidence[i]:.0%}"
        panels += [
            Panel(
                f"{source}_{i}_amplified",
                "",
                amplify(grid, picture).amplified,
                alt=f"{i + 1} amplified",
            ),
            Panel(
                f"{source}_{i}_map",
                "",
                grid,
                note=note,
                right=is_right(said, i),
                alt=f"{i + 1} map",
            ),
        ]
    what = {"samples": "sample scenes", "test": "test images"}[source]
    return Panels(f"{run.name}, after epoch {epoch}: {what}", panels, columns=8)


def replay_probabilities(run: Run, epoch: int, source: str, place: int, label: int) -> Bars:
    """Probabilities of one fixed image after an epoch, in the classes' order.

    Args:
        epoch: one that `core.replay.kept_frame` gives.
        source, place: the image, counted among those of its source.
        label: in the model's classes, -1 where unknown.
    """
    values = frame_of(run.replay, epoch, source).probabilities[place]
    names = tuple(f"{name} ✓" if i == label else name for i, name in enumerate(run.classes))
    title = f"{run.name}, after epoch {epoch}"
    return Bars(title, names, values, "probability", highlight=(int(values.argmax()),))


@dataclass(frozen=True, eq=False)
class Compared:
    """One of several maps that stand beside each other.

    Attributes:
        letter: what to call it for short.
        name: what tells it from the others.
        picture: (H, W, 3) uint8.
        grid: (gh, gw), its map.
        note: what the model says of the picture; `right` as in `Panel`.
    """

    letter: str
    name: str
    picture: np.ndarray
    grid: np.ndarray
    note: str = ""
    right: bool | None = None

    @property
    def title(self) -> str:
        return f"{self.letter}  {self.name}".strip()


def comparison(
    title: str,
    compared: list[Compared],
    *,
    shared: bool = True,
    gain: float = 2.0,
    resize: str = "bilinear",
    colors: str = MAP_COLORS,
    unit: str = "attention",
) -> Panels:
    """Pictures over their maps over the amplified pictures, a column each.

    Args:
        unit: of all maps.
        shared: one colour scale for all maps; else each has its own.
    """
    scale = _scale_of([one.grid for one in compared]) if shared else None
    images, maps, amplified = [], [], []
    for one in compared:
        letter = one.letter
        steps = amplify(one.grid, one.picture, gain=gain, resize=resize)
        images.append(
            Panel(f"{letter}_image", one.title, one.picture, note=one.note, right=one.right)
        )
        maps.append(
            Panel(
                f"{letter}_map",
                f"{letter}: map",
                one.grid,
                scale,
                numbers=one.grid.size <= READABLE,
                unit=unit,
                size=one.picture.shape[:2],
            )
        )
        amplified.append(Panel(f"{letter}_amplified", f"{letter}: × {gain:g}", steps.amplified))
    return Panels(title, [*images, *maps, *amplified], len(compared), colors)


def difference(first: Compared, second: Compared) -> Panels:
    """Where the second map has more (red) and less (blue) than the first."""
    values = compare.difference(first.grid, second.grid)
    most = float(np.abs(values).max()) or 1.0  # of maps that are the same, all is the middle
    whose = f"{second.letter} − {first.letter}"
    panel = Panel(
        "difference",
        f"{second.title} less {first.title}",
        values,
        (-most, most),
        numbers=values.size <= READABLE,
        unit=whose,
        cell="patch" if first.grid.shape == second.grid.shape else "part",
    )
    return Panels(f"Difference {whose}", [panel], 1, DIFFERENCE_COLORS, second.picture.shape[:2])
