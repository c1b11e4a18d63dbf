"""Run folders: one trained model with its config, history, predictions and card.

`python -m core.checkpoint WEIGHTS.pth --heads 4 --out checkpoints/mine` makes one of the weights
that the tutorial saved, for the dashboard to open.
"""

import csv
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated
from zipfile import BadZipFile

import numpy as np
import pandas as pd
import torch
import typer
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from core.data import CIFAR10_CLASSES
from core.errors import CheckpointError
from core.files import atomic_file
from core.model import VisionTransformer, ViTConfig

FORMAT = 1  # raised when an older Vitascope could no longer read what a newer one writes


@dataclass(frozen=True, eq=False)
class Run:
    """A run folder, opened.

    Attributes:
        name: the folder's name.
        path: the folder.
        model: in eval mode, without gradients; safe to share between threads.
        config: what `config.json` holds.
        classes: class names in the order of the model's logits.
        history: a row an epoch (columns in `HISTORY`); empty where the model was imported.
        predictions: test set: index, label, one probability a class; None before the training ends.
        replay: arrays of `replay.npz` by name; None where there is none.
        card: the text of README.md; "" where there is none.
        fingerprint: 16 hexadecimal digits that change with any weight or setting of the model.
    """

    name: str
    path: Path
    model: VisionTransformer
    config: dict
    classes: tuple[str, ...]
    history: pd.DataFrame
    predictions: pd.DataFrame | None
    replay: dict[str, np.ndarray] | None
    card: str
    fingerprint: str

    @property
    def test_set(self) -> dict:
        """`name`, `images` (how many) and `fingerprint` of its test images; {} if unknown."""
        return (self.config.get("data") or {}).get("test") or {}

    @property
    def recipe(self) -> dict:
        """The settings it was trained with; {} where nothing is known of the training."""
        return self.config.get("recipe") or {}

    @property
    def kept_epoch(self) -> int:
        """The epoch that the weights are of; 0 where nothing is known of the training."""
        return kept_epoch(self.history, self.recipe.get("keep_from", 1))


@dataclass(frozen=True)
class RunEntry:
    """A run folder, found but not opened; `problem` says why it does not open, None if it does."""

    name: str
    path: Path
    problem: str | None


FAITHFULNESS = "faithfulness.csv"  # what `python -m core.faithfulness` writes into a run folder
REPLAY = ("source", "index", "epoch", "cls_maps", "rollout", "probabilities")
HISTORY = {
    "epoch": "int64",
    "train_loss": "float64",
    "val_loss": "float64",
    "train_acc": "float64",
    "val_acc": "float64",
    "lr": "float64",
    "seconds": "float64",
    "images_per_second": "float64",
}


def kept_epoch(history: pd.DataFrame, keep_from: int) -> int:
    """The epoch whose weights a run keeps: the lowest validation loss from `keep_from` on.

    Before `keep_from` it is the newest epoch, so that a run folder can be used at any time, and
    also where no validation loss is a number; 0 before the first.
    """
    if history.empty:
        return 0
    eligible = history[(history["epoch"] >= keep_from) & history["val_loss"].notna()]
    if eligible.empty:
        return int(history["epoch"].iloc[-1])
    return int(eligible.loc[eligible["val_loss"].idxmin(), "epoch"])


# --- Reading ----------------------------------------------------------------------------------


def load_run(folder: str | Path) -> Run:
    """Open a run folder.

    Raises:
        CheckpointError: it is missing, truncated, foreign, or its config does not fit its weights.
    """
    folder = Path(folder)
    config, model_config = _checked_config(folder)
    model = VisionTransformer(model_config)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return Run(
        name=folder.name,
        path=folder,
        model=model.eval().requires_grad_(False),
        config=config,
        classes=tuple(config["classes"]),
        history=load_history(folder),
        predictions=_load_predictions(folder, config["classes"]),
        replay=load_replay(folder),
        card=_load_text(folder / "README.md"),
        fingerprint=model.fingerprint(),
    )


def list_runs(roots: list[str | Path]) -> list[RunEntry]:
    """Every run folder in `roots` (each a run folder, or a folder of them), by name.

    A run that does not open is listed with its problem; only headers are read, no weights.
    """
    return [check_run(folder) for folder in find_runs(roots)]


def find_runs(roots: list[str | Path]) -> list[Path]:
    """The run folders in `roots`, as `list_runs` lists them, unopened and unchecked."""
    folders = []
    for root in map(Path, roots):
        if (root / "config.json").is_file():
            folders.append(root)
        elif root.is_dir() and os.access(root, os.R_OK | os.X_OK):
            folders += sorted(p for p in root.iterdir() if _looks_like_run(p))
    return list({folder.resolve(): folder for folder in folders}.values())


def check_run(folder: Path) -> RunEntry:
    """Whether a run folder opens; only headers are read, no weights."""
    try:
        _checked_config(folder)
        problem = None
    except CheckpointError as error:
        problem = str(error)
    return RunEntry(folder.name, folder, problem)


def _looks_like_run(path: Path) -> bool:
    hidden = path.name.startswith(".")
    return not hidden and any(
        (path / name).is_file() for name in ("config.json", "model.safetensors")
    )


def _checked_config(folder: Path) -> tuple[dict, ViTConfig]:
    """The config and the model's part of it, once the weights' header is seen to fit them."""
    name = folder.name
    config = read_config(folder)
    try:
        model_config = ViTConfig(**config["model"])
        classes = len(config["classes"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{name}: config.json does not describe a model ({error})."
        ) from error
    if classes != model_config.classes:
        raise CheckpointError(
            f"{name}: config.json names {classes} classes for a model of {model_config.classes}."
        )
    with torch.device("meta"):
        model = VisionTransformer(model_config)
    try:
        with safe_open(folder / "model.safetensors", "pt") as weights:
            found = {key: weights.get_slice(key).get_shape() for key in list(weights.keys())}
    except FileNotFoundError as error:
        raise CheckpointError(f"{name}: model.safetensors is missing.") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{name}: model.safetensors is cut off or damaged.") from error
    if misfit := _misfit(found, model):
        raise CheckpointError(f"{name}: the weights do not fit config.json; {misfit}.")
    return config, model_config


def _misfit(found: dict[str, list[int]], model: VisionTransformer) -> str | None:
    """What is wrong with the shapes of weights that are meant for a model; None if nothing."""
    expected = {key: list(weights.shape) for key, weights in model.state_dict().items()}
    for key in [*expected, *found]:
        if expected.get(key) != found.get(key):
            is_now, should_be = found.get(key, "missing"), expected.get(key, "absent")
            return f"`{key}` is {is_now} and should be {should_be}"
    return None


def read_config(folder: Path) -> dict:
    """config.json of a run folder.

    Raises:
        CheckpointError: it is missing, not JSON, or of a newer format than this Vitascope knows.
    """
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"There is no run folder at {folder}: it has no config.json."
        ) from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder.name}: config.json is damaged.") from error
    if not isinstance(config, dict) or not isinstance(config.get("format"), int):
        raise CheckpointError(f"{folder.name}: config.json is not Vitascope's.")
    if config["format"] > FORMAT:
        raise CheckpointError(f"{folder.name} was written by a newer Vitascope; please update.")
    return config


def load_history(folder: Path) -> pd.DataFrame:
    """history.csv with the columns of `HISTORY`; no rows where there is no file.

    Raises:
        CheckpointError: the file is damaged or lacks a column.
    """
    try:
        # the C engine of older pandas rounds the last digit
        history = pd.read_csv(folder / "history.csv", engine="python")
        return history[list(HISTORY)].astype(HISTORY)
    except (FileNotFoundError, NotADirectoryError):
        return empty_history()
    except (ValueError, KeyError, OSError, csv.Error) as error:
        raise CheckpointError(f"{folder.name}: history.csv is damaged.") from error


def empty_history() -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in HISTORY.items()})


def load_replay(folder: Path) -> dict[str, np.ndarray] | None:
    """replay.npz as arrays by name (see `core.replay.Replay`); None where there is no file.

    Raises:
        CheckpointError: the file is damaged.
    """
    try:
        with np.load(folder / "replay.npz", allow_pickle=False) as file:
            return {name: file[name] for name in REPLAY}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, OSError, EOFError, BadZipFile) as error:
        raise CheckpointError(f"{folder.name}: replay.npz is damaged.") from error


def _load_predictions(folder: Path, classes: list[str]) -> pd.DataFrame | None:
    try:
        return pd.read_parquet(folder / "predictions.parquet")[["index", "label", *classes]]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, OSError) as error:  # pyarrow's errors are ValueErrors
        raise CheckpointError(f"{folder.name}: predictions.parquet is damaged.") from error


def _load_text(path: Path) -> str:
    return path.read_text("utf-8", errors="replace") if path.is_file() else ""


# --- Writing ----------------------------------------------------------------------------------


def save_run(folder: str | Path, model: VisionTransformer, classes, **about) -> None:
    """Write the two files that make a run folder: weights and config.

    Args:
        classes: class names in the order of the logits.
        about: what else config.json should hold (recipe, data, seed, versions …), as JSON values.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder, model)
    save_config(folder, model.config, classes, **about)


def save_config(folder: Path, model_config: ViTConfig, classes, **about) -> None:
    config = as_config(model_config, classes, **about)
    save_text(folder / "config.json", json.dumps(config, indent=2, ensure_ascii=False) + "\n")


def as_config(model_config: ViTConfig, classes, **about) -> dict:
    """What config.json holds; arguments as in `save_run`."""
    return {"format": FORMAT, "model": asdict(model_config), "classes": list(classes), **about}


def save_weights(folder: Path, model: VisionTransformer) -> None:
    with atomic_file(folder / "model.safetensors") as part:
        part.write_bytes(save({k: v.contiguous() for k, v in model.state_dict().items()}))


def save_history(folder: Path, history: pd.DataFrame) -> None:
    with atomic_file(folder / "history.csv") as part:
        history.to_csv(part, index=False)


def save_replay(folder: Path, replay: dict[str, np.ndarray]) -> None:
    with atomic_file(folder / "replay.npz") as part:
        np.savez_compressed(part, **replay)


def save_predictions(folder: Path, labels, probabilities, classes) -> None:
    """Write predictions.parquet: index, label, one probability (float32) a class.

    Raises:
        CheckpointError: a class is called like one of the first two columns.
    """
    check_names(classes)
    table = pd.DataFrame(probabilities, columns=list(classes))
    table.insert(0, "label", labels)
    table.insert(0, "index", np.arange(len(table)))
    with atomic_file(folder / "predictions.parquet") as part:
        table.to_parquet(part, index=False)


def check_names(classes) -> None:
    """Raise a CheckpointError where predictions.parquet could not hold a class of that name."""
    if taken := {"index", "label"} & set(classes):
        raise CheckpointError(f"A class cannot be called {taken.pop()}; rename it.")


def save_text(path: Path, text: str) -> None:
    with atomic_file(path) as part:
        part.write_text(text, "utf-8")


# --- The tutorial's own weights ---------------------------------------------------------------

# (ours, the tutorial's); {i} is a block's number
_TUTORIAL_KEYS = {
    "patch_embedding.cls_token": "patchembedding.cls_token",
    "patch_embedding.positions": "patchembedding.positions",
    "patch_embedding.projection": "patchembedding.projection.1",
    "norm": "mlp_head.0",
    "head": "mlp_head.1",
    "blocks.{i}.norm1": "transformer.{i}.work1.fn.0",
    "blocks.{i}.norm2": "transformer.{i}.work2.fn.0",
    "blocks.{i}.mlp.0": "transformer.{i}.work2.fn.1.mlp.0",
    "blocks.{i}.mlp.3": "transformer.{i}.work2.fn.1.mlp.3",
}


def import_tutorial(path: str | Path, heads: int) -> VisionTransformer:
    """Read a `state_dict` that the tutorial saved as `.pth`.

    Every size is inferred from the tensors except the number of heads, which leaves no trace in
    them. Images are taken to be square, of 3 channels where that fits, and normalised to
    mean 0.5, std 0.5, as in the tutorial.

    Raises:
        CheckpointError: the file is missing, damaged, not the tutorial's, or `heads` cannot be.
    """
    path = Path(path)
    tutorial = _read_state_dict(path)
    try:
        config = _infer_config(tutorial, heads)
        state = _translate(tutorial, config.layers)
    except KeyError as error:
        raise CheckpointError(
            f"{path.name} is not the tutorial's model: it lacks {error}."
        ) from error
    except (ValueError, IndexError, RuntimeError) as error:
        reason = str(error).splitlines()[0].rstrip(".:")
        raise CheckpointError(f"{path.name} is not the tutorial's model: {reason}.") from error
    model = VisionTransformer(config)
    if misfit := _misfit({key: list(weights.shape) for key, weights in state.items()}, model):
        raise CheckpointError(f"{path.name} is not the tutorial's model: {misfit}.")
    model.load_state_dict(state)
    return model.eval().requires_grad_(False)


def _read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no file at {path}.") from error
    except Exception as error:  # torch raises a dozen kinds for files that are not its own
        raise CheckpointError(
            f"{path.name} is not a file of weights: it is cut off, or holds more than tensors."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise CheckpointError(f"{path.name} does not hold a state_dict.")
    return state


def _infer_config(tutorial: dict[str, torch.Tensor], heads: int) -> ViTConfig:
    tokens, width = tutorial["patchembedding.positions"].shape
    inputs = tutorial["patchembedding.projection.1.weight"].shape[1]  # patch² · channels
    channels = 3 if _root(inputs / 3) else 1
    patch_size, side = _root(inputs / channels), _root(tokens - 1)
    if not patch_size or not side:
        raise ValueError(f"{tokens - 1} patches of {inputs} values are not square")
    blocks = {int(m[1]) for key in tutorial if (m := re.match(r"transformer\.(\d+)\.", key))}
    return ViTConfig(
        image_size=patch_size * side,
        patch_size=patch_size,
        channels=channels,
        classes=len(tutorial["mlp_head.1.weight"]),
        width=width,
        layers=len(blocks),
        heads=heads,
        mlp_width=len(tutorial["transformer.0.work2.fn.1.mlp.0.weight"]),
        mean=(0.5,) * channels,
        std=(0.5,) * channels,
    )


def _root(n: float) -> int:
    """The whole square root of n, 0 where there is none."""
    root = round(n**0.5)
    return root if root * root == n else 0


def _translate(tutorial: dict[str, torch.Tensor], layers: int) -> dict[str, torch.Tensor]:
    """The tutorial's tensors under our names, its three attention layers joined into one.

    A tensor that the tutorial does not have keeps its name, for `_misfit` to find.
    """
    tutorial, state = dict(tutorial), {}
    for ours, theirs in _TUTORIAL_KEYS.items():
        for i in range(layers if "{i}" in ours else 1):
            target, source = ours.format(i=i), theirs.format(i=i)
            if source in tutorial:  # a bare parameter
                state[target] = tutorial.pop(source)
                continue
            for part in ("weight", "bias"):
                state[f"{target}.{part}"] = tutorial.pop(f"{source}.{part}")
    for i in range(layers):
        attention = f"transformer.{i}.work1.fn.1"
        for part in ("weight", "bias"):
            names = (f"{attention}.{name}.{part}" for name in ("query", "key", "value"))
            state[f"blocks.{i}.attention.qkv.{part}"] = torch.cat([tutorial.pop(n) for n in names])
    return state | tutorial


def main(
    weights: Annotated[Path, typer.Argument(help="The .pth that the tutorial saved.")],
    heads: Annotated[int, typer.Option(min=1, help="Attention heads; the file does not say.")],
    out: Annotated[Path, typer.Option(help="The run folder to write.")],
    classes: Annotated[str, typer.Option(help="Class names, separated by commas.")] = "",
) -> None:
    """Make a run folder of the tutorial's own weights."""
    try:
        model = import_tutorial(weights, heads)
        names = classes.split(",") if classes else list(CIFAR10_CLASSES)
        if len(names) != model.config.classes:
            raise CheckpointError(
                f"{weights.name} has {model.config.classes} classes; name them with --classes."
            )
        if (out / "config.json").exists():
            raise CheckpointError(f"{out} already holds a run: choose another --out.")
        save_run(out, model, names, imported_from=weights.name)
    except CheckpointError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{out} is ready; the dashboard lists it under Model.")


if __name__ == "__main__":
    typer.run(main)
