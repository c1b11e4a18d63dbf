"""Whole run folders of tiny models, made in a second, for the tests of the dashboard."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from core import checkpoint, evaluate
from core.data import ImageSet, image_set, open_images
from core.model import VisionTransformer, ViTConfig
from core.replay import Replay

VAL_LOSSES = (2.2, 1.9, 1.5, 1.7, 1.8, 1.9, 2.0, 2.1, 2.2, 2.3, 2.4, 2.5)  # kept: epoch 3


def make_tiny_runs(folder: Path) -> Path:
    """Two run folders: `elsewhere` (recipe "tutorial") and `tiny`.

    `tiny` was tested on the sample scenes, which the dashboard always has; `elsewhere` on 60
    pictures that nobody has, and it has fewer layers and more heads.
    """
    samples = open_images("samples")
    sixty = samples.sample(60)
    gone = image_set("Gone", 255 - sixty.images, sixty.labels, sixty.classes)
    sizes = {"width": 24, "mlp_width": 32}
    _make_run(folder / "tiny", ViTConfig(layers=3, heads=2, **sizes), samples, "tiny", VAL_LOSSES)
    _make_run(
        folder / "elsewhere",
        ViTConfig(layers=2, heads=3, **sizes),
        gone,
        "tutorial",
        VAL_LOSSES[:3],
    )
    return folder


def make_live_run(folder: Path, source: Path, epochs: int) -> None:
    """A run folder like `source` in the midst of its training, which has two more epochs to come.

    Its epochs take ten minutes, so that it does not look stopped while a test is slow.
    """
    shutil.copytree(source, folder)
    config = json.loads((folder / "config.json").read_text())
    config["recipe"] |= {"epochs": epochs + 2}
    config["command"] = "python -m core.train --recipe quick --data PATH --out checkpoints/else"
    (folder / "config.json").write_text(json.dumps(config))
    history = checkpoint.load_history(folder)[:epochs].assign(seconds=600.0)
    checkpoint.save_history(folder, history)
    replay = checkpoint.load_replay(folder)
    grow = ("epoch", "cls_maps", "rollout", "probabilities")
    checkpoint.save_replay(folder, {k: v[:epochs] if k in grow else v for k, v in replay.items()})
    (folder / "predictions.parquet").unlink()
    (folder / "resume.pt").write_bytes(b"for core.train alone")


def add_epoch(folder: Path) -> None:
    """Write one more epoch in the order of `core.train`: replay, history, state."""
    replay, history = checkpoint.load_replay(folder), checkpoint.load_history(folder)
    for name in ("epoch", "cls_maps", "rollout", "probabilities"):
        replay[name] = np.concatenate([replay[name], replay[name][-1:]])
    replay["epoch"][-1] += 1
    checkpoint.save_replay(folder, replay)
    row = history[-1:].assign(epoch=history["epoch"].iloc[-1] + 1, val_loss=1.25)
    checkpoint.save_history(folder, pd.concat([history, row]))
    (folder / "resume.pt").touch()


@torch.inference_mode()
def _make_run(folder: Path, config: ViTConfig, test_set: ImageSet, recipe: str, losses) -> None:
    torch.manual_seed(1)
    model = VisionTransformer(config).eval()
    for name, weights in model.named_parameters():
        if "weight" in name and "norm" not in name:
            weights *= 8  # so that attention differs between patches and heads
    _fit_head(model, test_set)
    about = {"name": test_set.name, "images": len(test_set), "fingerprint": test_set.fingerprint}
    checkpoint.save_run(
        folder,
        model,
        test_set.classes,
        recipe={"name": recipe, "epochs": len(losses), "keep_from": 1},
        data={"train": about, "test": about},
    )
    epochs = np.arange(1, len(losses) + 1)
    history = pd.DataFrame(dict.fromkeys(checkpoint.HISTORY, 0.25), index=epochs)
    history = history.assign(epoch=epochs, val_loss=losses, train_loss=2.5 - epochs / 5)
    history["images_per_second"] = 1000.0 * epochs
    checkpoint.save_history(folder, history)
    probabilities = evaluate.predict(model, test_set.images)
    checkpoint.save_predictions(folder, test_set.labels, probabilities, test_set.classes)
    checkpoint.save_text(folder / "README.md", f"A card that says *{recipe}*.")
    replay = Replay(model, test_set)
    for epoch in epochs.tolist():
        model.head.weight.mul_(1.1)  # so that no two frames are alike
        replay.add(epoch)
    checkpoint.save_replay(folder, replay.arrays)


def _fit_head(model: VisionTransformer, images: ImageSet) -> None:
    """Let the head tell most of a set's images by least squares, so that it is right and wrong."""
    head, model.head = model.head, torch.nn.Identity()
    features = []
    for start in range(0, len(images), 50):
        pixels = torch.tensor(images.images[start : start + 50])
        pixels = (pixels.movedim(-1, 1).float() / 255 - 0.5) / 0.5
        features.append(model(pixels))
    features = torch.cat(features)  # (N, D)
    wanted = torch.nn.functional.one_hot(torch.tensor(images.labels), head.out_features).float()
    ridge = features.T @ features + torch.eye(features.shape[1])
    head.weight.copy_(6 * torch.linalg.solve(ridge, features.T @ (wanted - 0.1)).T)
    model.head = head
