"""Train a Vision Transformer into a run folder:  python -m core.train --help

The set lies in memory as uint8 and is worked on a whole batch at a time. Everything random in an
epoch follows from (seed, epoch), so a run that was cut off needs no random state to go on exactly.
"""

import json
import platform
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import pandas as pd
import torch
import torch.nn.functional as F
import typer
from tqdm import tqdm

from core import checkpoint, evaluate
from core.card import model_card
from core.data import ImageSet, open_images
from core.errors import TrainingError, VitascopeError
from core.files import atomic_file
from core.hardware import best_device, best_precision, can_compile, describe_hardware
from core.model import VisionTransformer
from core.recipes import RECIPES, Recipe
from core.replay import Replay

COMPILE_FROM = (
    50  # steps an epoch: compiling takes half a minute, which a shorter run never regains
)


def train(
    recipe: Recipe,
    train_set: ImageSet,
    test_set: ImageSet,
    out: str | Path,
    *,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    command: str = "",
) -> None:
    """Train a model, writing its run folder epoch by epoch.

    Interrupt it (Ctrl-C, or an end of the machine) at any time: the folder opens, holding the best
    epoch so far, and `resume=True` goes on from the last whole epoch to the same numbers as a run
    that was never interrupted.

    Args:
        train_set: what is learned from; its classes become the model's.
        test_set: what the loss to keep the best epoch by, and the predictions, are measured on.
        device: "auto" is CUDA where there is one, else Apple's MPS, else the CPU.
        command: how the run was started, for its card.

    Raises:
        TrainingError: the sets do not fit each other or the recipe; the folder holds another run,
            or already one and `resume` is not set.
    """
    out = Path(out)
    _check_sets(recipe, train_set, test_set)
    device = _device(best_device() if device == "auto" else device)
    precision = best_precision(device)
    compiled = len(train_set) >= COMPILE_FROM * recipe.batch_size and can_compile(device)
    about = {
        "recipe": {k: v for k, v in asdict(recipe).items() if k != "model"},
        "seed": seed,
        "data": {"train": _describe_set(train_set), "test": _describe_set(test_set)},
        "command": command,
        "hardware": describe_hardware(device),
        "precision": precision,
        "compiled": compiled,
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }
    torch.manual_seed(seed)
    model = VisionTransformer(recipe.model).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=recipe.lr, momentum=recipe.momentum)
    _open_folder(out, model, optimizer, train_set.classes, about, resume)
    done = _load_state(out, model, optimizer)
    history = checkpoint.load_history(out)
    history = history[history["epoch"] <= done]
    replay = Replay(model, test_set)
    if done and (earlier := checkpoint.load_replay(out)):
        replay.take_over(earlier, done)

    images = torch.tensor(train_set.images, device=device)  # (N, S, S, C) uint8
    labels = torch.tensor(train_set.labels, device=device)  # (N,)
    test_labels = test_set.labels_in(train_set.classes)
    step = TrainStep(model, optimizer, recipe.batch_size, precision, compiled)
    total = recipe.epochs * len(images)
    with tqdm(total=total, initial=done * len(images), unit="img", unit_scale=True) as bar:
        how = f"{precision}, {'compiled' if compiled else 'not compiled'}"
        bar.write(f"{recipe.name} on {about['hardware']}: {how}")
        for epoch in range(done + 1, recipe.epochs + 1):
            started = time.perf_counter()
            bar.set_description(f"epoch {epoch}/{recipe.epochs}")
            train_loss, train_acc = train_epoch(step, images, labels, 100_003 * seed + epoch, bar)
            trained = time.perf_counter()
            probabilities = evaluate.predict(model.eval(), test_set.images)
            row = {
                "epoch": epoch,
                "train_loss": train_loss,
                "val_loss": evaluate.cross_entropy(test_labels, probabilities),
                "train_acc": train_acc,
                "val_acc": evaluate.accuracy(test_labels, probabilities),
                "lr": recipe.lr,
                "seconds": time.perf_counter() - started,
                "images_per_second": len(images) / (trained - started),
            }
            history = pd.concat([history, pd.DataFrame([row])], ignore_index=True)
            if checkpoint.kept_epoch(history, recipe.keep_from) == epoch:
                checkpoint.save_weights(out, model)
                checkpoint.save_predictions(out, test_labels, probabilities, train_set.classes)
            replay.add(epoch)
            checkpoint.save_replay(out, replay.arrays)
            checkpoint.save_history(out, history)
            checkpoint.save_text(out / "README.md", model_card(out))
            _save_state(out, model, optimizer, epoch)  # last: only now the epoch counts as done
            bar.write(
                f"epoch {epoch:3d}  train {train_loss:.4f} {train_acc:6.2%}  "
                f"val {row['val_loss']:.4f} {row['val_acc']:6.2%}  "
                f"{row['images_per_second']:,.0f} img/s"
            )


class TrainStep:
    """One step on one batch: forward, backward, update; compiled where that pays."""

    def __init__(self, model, optimizer, batch_size, precision, compiled):
        self.model = model
        self.optimizer = optimizer
        self.batch_size = batch_size
        self.device = model.device
        self.dtype = getattr(torch, precision)
        self.compiled = torch.compile(model, dynamic=False) if compiled else model

    def __call__(self, images, labels):
        """Learn from pictures (B, S, S, C) uint8; returns the summed loss and the hits, 0-d."""
        # the last batch of an epoch is smaller: running it plainly saves compiling a second graph
        forward = self.compiled if len(images) == self.batch_size else self.model
        enabled = self.dtype != torch.float32
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=enabled):
            logits = forward(self.model.prepare(images))  # (B, classes)
        loss = F.cross_entropy(logits.float(), labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach() * len(labels), (logits.argmax(dim=-1) == labels).sum()


def train_epoch(step, images, labels, seed, bar) -> tuple[float, float]:
    """One pass over the shuffled set; returns its mean loss (nats) and accuracy while learning."""
    step.model.train()
    torch.manual_seed(seed)
    order = torch.randperm(len(images)).to(images.device)
    loss_sum = torch.zeros((), device=images.device)
    hits = torch.zeros((), device=images.device)
    seen = 0
    for batch in order.split(step.batch_size):
        loss, correct = step(images[batch], labels[batch])
        loss_sum += loss
        hits += correct
        seen += len(batch)
        if bar.update(len(batch)):  # it was drawn; reading the sums at every step would slow a GPU
            bar.set_postfix(loss=f"{loss_sum / seen:.4f}", acc=f"{hits / seen:.1%}", refresh=False)
    return loss_sum.item() / seen, hits.item() / seen


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise TrainingError(f"There is no device {name} here; leave --device out.") from error
    return device


def _check_sets(recipe: Recipe, train_set: ImageSet, test_set: ImageSet) -> None:
    size = (recipe.model.image_size,) * 2
    for images in (train_set, test_set):
        if images.labels is None:
            raise TrainingError(f"{images.name} has no labels to learn from.")
        if images.images.shape[1:3] != size:
            raise TrainingError(
                f"{images.name} is not {size[0]}×{size[1]} pixels, as {recipe.name} is."
            )
    if recipe.model.classes != len(train_set.classes):
        raise TrainingError(
            f"The recipe is for {recipe.model.classes} classes, {train_set.name} has "
            f"{len(train_set.classes)}."
        )
    unknown = sorted(set(test_set.classes) - set(train_set.classes))
    if unknown:
        raise TrainingError(
            f"{test_set.name} has the class {unknown[0]}; {train_set.name} lacks it."
        )


def _describe_set(images: ImageSet) -> dict:
    return {"name": images.name, "images": len(images), "fingerprint": images.fingerprint}


def _open_folder(out: Path, model, optimizer, classes, about: dict, resume: bool) -> None:
    """Begin a run folder with the untrained model, or check that the one there is the same run."""
    if not (out / "config.json").exists():
        out.mkdir(parents=True, exist_ok=True)
        _save_state(out, model, optimizer, epoch=0)
        checkpoint.save_run(out, model, classes, **about)
        return
    if not resume:
        raise TrainingError(f"{out} already holds a run: add --resume, or choose another --out.")
    before = _identity(checkpoint.read_config(out))
    now = _identity(checkpoint.as_config(model.config, classes, **about))
    for what in now:
        if before[what] != now[what]:
            raise TrainingError(f"{out} holds a run with another {what}: choose another --out.")
    checkpoint.save_config(out, model.config, classes, **about)


def _identity(config: dict) -> dict:
    """What two sittings of one run have in common, as JSON keeps it.

    The number of epochs may grow, and images may have moved to another place.
    """
    config = json.loads(json.dumps(config))
    recipe, data = config.get("recipe") or {}, config.get("data") or {}
    return {
        "model": config.get("model"),
        "classes": config.get("classes"),
        "recipe": {name: value for name, value in recipe.items() if name != "epochs"},
        "seed": config.get("seed"),
        "data": {split: images.get("fingerprint") for split, images in data.items()},
    }


def _save_state(out: Path, model, optimizer, epoch: int) -> None:
    with atomic_file(out / "resume.pt") as part:
        state = {"epoch": epoch, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save(state, part)


def _load_state(out: Path, model, optimizer) -> int:
    """Bring model and optimizer to where the run stopped; returns the epochs that are done."""
    try:
        state = torch.load(out / "resume.pt", map_location=model.device, weights_only=True)
    except FileNotFoundError:
        raise TrainingError(
            f"{out} cannot go on: it has no resume.pt (a shipped run comes without)."
        ) from None
    except Exception as error:  # torch raises a dozen kinds for files that are not whole
        raise TrainingError(f"{out}/resume.pt is damaged: choose another --out.") from error
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return state["epoch"]


def main(
    data: Annotated[str, typer.Option(help="Where train and test lie, or `cifar10`.")],
    out: Annotated[Path, typer.Option(help="The run folder to write.")],
    recipe: Annotated[str, typer.Option(help="One of: " + ", ".join(RECIPES))] = "tutorial",
    epochs: Annotated[int | None, typer.Option(min=1)] = None,
    batch_size: Annotated[int | None, typer.Option(min=1)] = None,
    lr: Annotated[float | None, typer.Option(min=0)] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps")] = "auto",
    subset: Annotated[int | None, typer.Option(min=1, help="Only this many images.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on where this folder's run stopped.")] = False,
) -> None:
    """Train a Vision Transformer on images you name, into a run folder the dashboard opens."""
    given = {"epochs": epochs, "batch_size": batch_size, "lr": lr}
    overrides = {name: value for name, value in given.items() if value is not None}
    try:
        if recipe not in RECIPES:
            raise TrainingError(f"There is no recipe {recipe}; there are: {', '.join(RECIPES)}.")
        plan = replace(RECIPES[recipe], **overrides)
        train_set, test_set = (
            open_images(f"{data}:{split}", plan.model.image_size) for split in ("train", "test")
        )
        if subset:
            train_set, test_set = train_set.sample(subset), test_set.sample(subset)
        plan = replace(plan, model=replace(plan.model, classes=len(train_set.classes)))
        options = {**overrides, "seed": seed or None, "subset": subset}
        train(
            plan,
            train_set,
            test_set,
            out,
            seed=seed,
            device=device,
            resume=resume,
            command=_command(recipe, data, out, options),
        )
    except VitascopeError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        begun = (out / "config.json").exists()
        goes_on = f" {out} opens as it is; the same command with --resume goes on."
        typer.echo("\nStopped." + goes_on * begun)


def _command(recipe: str, data: str, out: Path, options: dict) -> str:
    """The command that trains the same model elsewhere."""
    where = data if data == "cifar10" else "PATH"
    words = ["python -m core.train", f"--recipe {recipe}", f"--data {where}"]
    words += [f"--{name.replace('_', '-')} {value}" for name, value in options.items() if value]
    return " ".join([*words, f"--out checkpoints/{out.name}"])


if __name__ == "__main__":
    typer.run(main)
