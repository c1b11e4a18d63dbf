"""How a run that was cut off finds its way back: `resume.pt`, and whether a folder is its own."""

import io
import json
from pathlib import Path

import torch

from core import checkpoint
from core.errors import TrainingError
from core.files import atomic_file


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

    Images may have moved to another place. The number of epochs may grow where the learning rate
    does not depend on it.
    """
    config = json.loads(json.dumps(config))
    recipe, data = dict(config.get("recipe") or {}), config.get("data") or {}
    if not recipe.get("cosine"):
        recipe.pop("epochs", None)
    return {
        "model": config.get("model"),
        "classes": config.get("classes"),
        "recipe": recipe,
        "seed": config.get("seed"),
        "start": config.get("start"),
        "data": {split: images.get("fingerprint") for split, images in data.items()},
    }


def save_state(out: Path, state: dict) -> None:
    """Write resume.pt. Only with it what came before in the folder counts as done."""
    buffer = io.BytesIO()  # torch tells of a full disk with a RuntimeError, Python with an OSError
    torch.save(state, buffer)
    with atomic_file(out / "resume.pt") as part:
        part.write_bytes(buffer.getbuffer())


def load_state(out: Path, device: torch.device) -> dict:
    """What `save_state` wrote last.

    Raises:
        TrainingError: there is no resume.pt, or it is damaged.
    """
    try:
        return torch.load(out / "resume.pt", map_location=device, weights_only=True)
    except FileNotFoundError:
        raise TrainingError(
            f"{out} cannot go on: it has no resume.pt (a shipped run comes without)."
        ) from None
    except Exception as error:  # torch raises a dozen kinds for files that are not whole
        raise TrainingError(f"{out}/resume.pt is damaged: choose another --out.") from error
