"""How a run that was cut off finds its way back: `resume.pt`, whose it is, how a run stands."""

import io
import json
import time
from dataclasses import asdict
from pathlib import Path

import torch

from core import checkpoint
from core.augment import Augmentation
from core.checkpoint import Run
from core.errors import TrainingError
from core.files import atomic_file
from core.model import ViTConfig
from core.recipes import Recipe

RESUME = "resume.pt"


def check_folder(out: Path, config: dict, resume: bool) -> bool:
    """Whether `out` already holds this run.

    Args:
        config: what config.json would hold (see `checkpoint.as_config`).

    Raises:
        TrainingError: it holds another run, or this one and `resume` is not set.
    """
    if not (out / "config.json").exists():
        return False
    if not resume:
        raise TrainingError(f"{out} already holds a run: add --resume, or choose another --out.")
    before, now = _identity(checkpoint.read_config(out)), _identity(config)
    for what in now:
        if before[what] != now[what]:
            raise TrainingError(f"{out} holds a run with another {what}: choose another --out.")
    return True


def _identity(config: dict) -> dict:
    """What two sittings of one run have in common, as JSON keeps it.

    What an earlier Vitascope had no setting for has its default. Images may have moved to another
    place. The number of epochs may grow where nothing else depends on it.
    """
    config = json.loads(json.dumps(config))
    defaults = asdict(Recipe(name="", epochs=1, batch_size=1, lr=0.0))
    recipe = {**defaults, **(config.get("recipe") or {}), "model": None}
    recipe["augmentation"] = asdict(Augmentation()) | recipe["augmentation"]
    if not recipe["cosine"] and not recipe["whole_epochs"]:
        del recipe["epochs"]
    return {
        "model": json.loads(json.dumps(asdict(ViTConfig()))) | config["model"],
        "classes": config["classes"],
        "recipe": recipe,
        "seed": config.get("seed"),
        "start": config.get("start"),
        "data": {
            split: images.get("fingerprint") for split, images in (config.get("data") or {}).items()
        },
    }


def save_state(out: Path, state: dict) -> None:
    """Write resume.pt. Only with it what came before in the folder counts as done."""
    buffer = io.BytesIO()  # torch tells of a full disk with a RuntimeError, Python with an OSError
    torch.save(state, buffer)
    with atomic_file(out / RESUME) as part:
        part.write_bytes(buffer.getbuffer())


def load_state(out: Path, device: torch.device) -> dict:
    """What `save_state` wrote last.

    Raises:
        TrainingError: there is no resume.pt, or it is damaged.
    """
    try:
        return torch.load(out / RESUME, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise TrainingError(
            f"{out} cannot go on: it has no resume.pt (a shipped run comes without)."
        ) from None
    except Exception as error:  # torch raises a dozen kinds for files that are not whole
        raise TrainingError(f"{out / RESUME} is damaged: choose another --out.") from error


def training_state(run: Run, now: float | None = None) -> str:
    """How the training of a run stands: "going", "stopped" (it can be resumed) or "ended".

    Its files tell, because the process may run on another machine: it is going on while the folder
    changes as often as its epochs are long. A run that was told to stop writes its state within an
    epoch, long after the other files.

    Args:
        now: the time, as `time.time` gives it; None reads the clock.
    """
    changed = {}
    for name in ("config.json", "history.csv", RESUME):
        try:
            changed[name] = (run.path / name).stat().st_mtime
        except OSError:  # not there, or being replaced
            continue
    if len(run.history) >= run.recipe.get("epochs", 0) or RESUME not in changed:
        return "ended"
    state = changed.pop(RESUME)
    told_to_stop = state > max(changed.values(), default=state) + 5
    # the first epoch begins with reading the images and compiling
    patience = 900 if run.history.empty else 60 + 2 * run.history["seconds"].median()
    quiet = (time.time() if now is None else now) - max(state, *changed.values())
    return "going" if quiet < patience and not told_to_stop else "stopped"
