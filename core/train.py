"""Train a Vision Transformer into a run folder:  python -m core.train --help

The set lies in memory as uint8 and is worked on a whole batch at a time. Everything random follows
from (seed, epoch, step), so a run that was cut off needs no random state to go on exactly. The same
command under `torchrun` shares the work among processes, on one machine or many.
"""

import platform
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import torch
import typer
from tqdm import tqdm

from core import checkpoint, evaluate
from core.card import model_card
from core.checkpoint import Run, load_run
from core.data import ImageSet, open_images
from core.errors import TrainingError, VitascopeError
from core.files import writing
from core.hardware import best_precision, can_compile, describe_hardware, open_device
from core.model import VisionTransformer
from core.optimize import TrainStep
from core.processes import (
    all_or_none,
    is_first,
    process_count,
    process_group,
    share,
    sum_over_all,
)
from core.recipes import RECIPES, Recipe
from core.replay import Replay
from core.resume import check_folder, load_state, save_state

COMPILE_FROM = 500  # steps: compiling takes half a minute, which a shorter run never regains
LOOK_EVERY = 20  # steps after which a GPU is asked for its losses; each time would slow it down


def train(
    recipe: Recipe,
    train_set: ImageSet,
    test_set: ImageSet,
    out: str | Path,
    *,
    seed: int = 0,
    device: str = "auto",
    resume: bool = False,
    init_from: Run | None = None,
    freeze: int = 0,
    command: str = "",
    stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Train a model, writing its run folder epoch by epoch.

    Interrupt it at any time, even by pulling the plug: the folder opens, holding the best epoch so
    far, and `resume=True` goes on to the same numbers as a run that was never interrupted.

    Args:
        train_set: what is learned from; its classes become the model's.
        test_set: what the predictions are measured on, once, at the end, with the weights that
            were kept; and what chooses these weights where the recipe holds no training images out.
        device: "auto" is CUDA where there is one, else Apple's MPS, else the CPU.
        init_from: a trained model of the recipe's sizes to go on from; its head stays where the
            classes are the same.
        freeze: how many blocks, from the first on, stay as they are; the patch embedding with them.
        command: the command line that does the same, for the card and the dashboard.
        stop: asked after every step; when it says True, the run saves its state and ends.

    Returns:
        whether the run is finished; False when it was stopped before.

    Raises:
        TrainingError: the sets do not fit each other or the recipe; the folder holds another run,
            or already one and `resume` is not set; the loss stopped being a number.
        InputError: there is no such device.
        WriteError: the folder cannot be written, or the disk is full.
    """
    out = Path(out)
    recipe = replace(recipe, validation=min(recipe.validation, len(train_set) // 10))
    _check_sets(recipe, train_set, test_set)
    if init_from:
        _check_start(recipe, init_from, freeze)
    with process_group():
        device = open_device(device)
        torch.manual_seed(seed)
        model = VisionTransformer(recipe.model).to(device)
        if init_from:
            _take_weights(model, init_from, train_set.classes)
        _freeze(model, freeze)
        trainer = Trainer(recipe, model, train_set, test_set, out, seed)
        about = {
            "recipe": {k: v for k, v in asdict(recipe).items() if k != "model"},
            "seed": seed,
            "start": {"weights": init_from.fingerprint, "freeze": freeze} if init_from else None,
            "data": {"train": _describe_set(train_set), "test": _describe_set(test_set)},
            "command": command,
            "hardware": describe_hardware(device),
            "processes": process_count(),
            "precision": trainer.precision,
            "compiled": trainer.compiled,
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
        }
        trainer.open_folder(about, resume)
        finished = trainer.run(stop)
        if finished:
            trainer.measure()
        return finished


class Trainer:
    """A run under way: where it stands, and what takes it on from there.

    Attributes:
        epochs_done: whole epochs that lie behind it.
        steps_done: steps of the epoch after them.
    """

    def __init__(self, recipe, model, train_set, test_set, out, seed):
        self.recipe, self.model, self.out, self.seed = recipe, model, out, seed
        self.test_set, self.classes = test_set, train_set.classes
        self.precision = best_precision(model.device)
        learned, held_out = split(len(train_set), recipe.validation)
        steps = -(-len(learned) // recipe.batch_size)
        self.compiled = steps * recipe.epochs >= COMPILE_FROM and can_compile(model.device)
        self.step = TrainStep(model, recipe, self.precision, self.compiled)
        self.images = torch.tensor(train_set.images[learned], device=model.device)
        self.labels = torch.tensor(train_set.labels[learned], device=model.device)
        if recipe.validation:
            self.val_images, self.val_labels = (
                train_set.images[held_out],
                train_set.labels[held_out],
            )
        else:
            self.val_images = test_set.images
            self.val_labels = test_set.labels_in(train_set.classes)
        self.replay = Replay(model, test_set)
        self.history = checkpoint.empty_history()
        self.epochs_done = self.steps_done = 0
        self.seconds = 0.0  # in the epoch so far, of earlier sittings
        self.losses = torch.zeros(steps, 2, device=model.device)  # summed loss and hits a step

    # --- The run folder -----------------------------------------------------------------------

    def open_folder(self, about: dict, resume: bool) -> None:
        """Begin the run folder with the untrained model, or go on where the one there stopped."""
        config = checkpoint.as_config(self.model.config, self.classes, **about)
        with all_or_none():
            goes_on = check_folder(self.out, config, resume)
        with all_or_none(), writing(self.out):
            if goes_on:
                self._load_state()
                if is_first():
                    checkpoint.save_config(self.out, self.model.config, self.classes, **about)
            elif is_first():
                self.out.mkdir(parents=True, exist_ok=True)
                self._save_state()
                checkpoint.save_run(self.out, self.model, self.classes, **about)

    def _save_state(self) -> None:
        save_state(
            self.out,
            {
                "epochs_done": self.epochs_done,
                "steps_done": self.steps_done,
                "seconds": self.seconds,
                "losses": self.losses[: self.steps_done].clone(),
                **self.step.state_dict(),
            },
        )

    def _load_state(self) -> None:
        state = load_state(self.out, self.model.device)
        self.step.load_state_dict(state)
        self.epochs_done, self.steps_done = state["epochs_done"], state["steps_done"]
        self.seconds = state["seconds"]
        self.losses[: self.steps_done] = state["losses"]
        history = checkpoint.load_history(self.out)
        self.history = history[history["epoch"] <= self.epochs_done]
        if self.epochs_done and (earlier := checkpoint.load_replay(self.out)):
            self.replay.take_over(earlier, self.epochs_done)

    def _save_epoch(self, row: dict) -> None:
        """Write what an epoch brought; with its state, last, the epoch counts as done."""
        self.history = pd.concat([self.history, pd.DataFrame([row])], ignore_index=True)
        self.epochs_done, self.steps_done, self.seconds = row["epoch"], 0, 0.0
        with all_or_none(), writing(self.out):
            if not is_first():
                return
            if checkpoint.kept_epoch(self.history, self.recipe.keep_from) == self.epochs_done:
                for stale in ("predictions.parquet", checkpoint.FAITHFULNESS):  # of other weights
                    (self.out / stale).unlink(missing_ok=True)
                checkpoint.save_weights(self.out, self.model)
            self.replay.add(self.epochs_done)
            checkpoint.save_replay(self.out, self.replay.arrays)
            checkpoint.save_history(self.out, self.history)
            checkpoint.save_text(self.out / "README.md", model_card(self.out))
            self._save_state()

    def measure(self) -> None:
        """Look at the test set, with the weights that were kept."""
        with all_or_none(), writing(self.out):
            if not is_first():
                return
            model = load_run(self.out).model.to(self.model.device)
            probabilities = evaluate.predict(model, self.test_set.images)
            labels = self.test_set.labels_in(self.classes)
            checkpoint.save_predictions(self.out, labels, probabilities, self.classes)
            checkpoint.save_text(self.out / "README.md", model_card(self.out))

    # --- Learning -----------------------------------------------------------------------------

    def run(self, stop: Callable[[], bool]) -> bool:
        """Learn until the last epoch is over, or `stop` says so; returns which, True or False."""
        recipe, count = self.recipe, len(self.images)
        done = self.epochs_done * count + self.steps_done * recipe.batch_size
        total = recipe.epochs * count
        silent = not is_first()
        with tqdm(total=total, initial=done, unit="img", unit_scale=True, disable=silent) as bar:
            how = f"{self.precision}, {'compiled' if self.compiled else 'not compiled'}"
            self._tell(bar, f"{recipe.name} on {describe_hardware(self.model.device)}: {how}")
            while self.epochs_done < recipe.epochs:
                bar.set_description(f"epoch {self.epochs_done + 1}/{recipe.epochs}")
                if not self.learn_epoch(bar, stop):
                    with all_or_none(), writing(self.out):
                        if is_first():
                            self._save_state()
                    return False
                self._finish_epoch(bar)
        return True

    def learn_epoch(self, bar: tqdm, stop: Callable[[], bool]) -> bool:
        """The rest of an epoch; False if it was stopped before its end."""
        self.model.train()
        seed = 100_003 * self.seed + self.epochs_done + 1
        order = torch.randperm(len(self.images), generator=torch.Generator().manual_seed(seed))
        batches = order.to(self.images.device).split(self.recipe.batch_size)
        every = 1 if self.model.device.type == "cpu" else LOOK_EVERY
        patches = self.recipe.patches_at(self.epochs_done)
        before, started = self.seconds, time.perf_counter()
        for i in range(self.steps_done, len(batches)):
            torch.manual_seed(100_003 * seed + i)
            lr = self.recipe.lr_at(self.epochs_done + i / len(batches))
            batch = self.images[batches[i]], self.labels[batches[i]]
            notes = self.step(*batch, lr, patches, stop())
            self.losses[i] = notes[:2]
            self.steps_done = i + 1
            self.seconds = before + time.perf_counter() - started
            bar.update(len(batches[i]))
            if self.steps_done % every and self.steps_done < len(batches):
                continue
            self._check_losses()
            loss, hits = self.losses[: self.steps_done].sum(dim=0).tolist()
            seen = min(self.steps_done * self.recipe.batch_size, len(order))
            bar.set_postfix(loss=f"{loss / seen:.4f}", acc=f"{hits / seen:.1%}", refresh=False)
            if notes[2] and self.steps_done < len(batches):
                return False
        return True

    def _check_losses(self) -> None:
        losses = self.losses[: self.steps_done, 0]
        if not losses.isfinite().all():
            step = int((~losses.isfinite()).int().argmax())
            self._give_up(f"loss became {losses[step]:.0f} at step {step + 1}")

    def _give_up(self, why: str) -> None:
        kept = checkpoint.kept_epoch(self.history, self.recipe.keep_from)
        raise TrainingError(
            f"The {why} of epoch {self.epochs_done + 1}: start again with a lower --lr and another "
            "--out" + (f"; {self.out} keeps epoch {kept}." if kept else ".")
        )

    def _finish_epoch(self, bar) -> None:
        started = time.perf_counter()
        probabilities = self.validate()
        loss, hits = (self.losses.cpu().double().sum(dim=0) / len(self.images)).tolist()
        row = {
            "epoch": self.epochs_done + 1,
            "train_loss": loss,
            "val_loss": evaluate.cross_entropy(self.val_labels, probabilities),
            "train_acc": hits,
            "val_acc": evaluate.accuracy(self.val_labels, probabilities),
            "lr": self.recipe.lr_at(self.epochs_done + 0.5),
            "seconds": self.seconds + time.perf_counter() - started,
            "images_per_second": len(self.images) / self.seconds,
        }
        if not np.isfinite(row["val_loss"]):
            self._give_up(f"validation loss became {row['val_loss']} at the end")
        self._save_epoch(row)
        self._tell(
            bar,
            f"epoch {row['epoch']:3d}  train {row['train_loss']:.4f} {row['train_acc']:6.2%}  "
            f"val {row['val_loss']:.4f} {row['val_acc']:6.2%}  "
            f"{row['images_per_second']:,.0f} img/s",
        )

    def _tell(self, bar: tqdm, words: str) -> None:
        if is_first():
            bar.write(words)

    def validate(self) -> np.ndarray:
        """Probabilities (n, classes) float32 of the validation images, shared out to processes."""
        mine, device = share(len(self.val_images)), self.model.device
        probabilities = torch.zeros(len(self.val_images), len(self.classes), device=device)
        enabled = self.precision != "float32"
        with torch.autocast(device.type, dtype=self.step.dtype, enabled=enabled):
            part = evaluate.predict(self.model.eval(), self.val_images[mine])
        probabilities[mine] = torch.from_numpy(part).to(device)
        return sum_over_all(probabilities).cpu().numpy()


def split(count: int, held_out: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices to learn from and indices held out, the same for every run on the same set."""
    order = np.random.default_rng(0).permutation(count)
    return np.sort(order[held_out:]), np.sort(order[:held_out])


def _take_weights(model: VisionTransformer, run: Run, classes: tuple[str, ...]) -> None:
    """Begin with a run's weights; with its head, too, if that is for the same classes."""
    weights = run.model.state_dict()
    if run.classes != tuple(classes):
        weights |= {f"head.{name}": value for name, value in model.head.state_dict().items()}
    model.load_state_dict(weights)


def _freeze(model: VisionTransformer, blocks: int) -> None:
    if blocks:
        for part in (model.patch_embedding, *model.blocks[:blocks]):
            part.requires_grad_(False)


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
    checkpoint.check_names(train_set.classes)


def _check_start(recipe: Recipe, run: Run, freeze: int) -> None:
    size = run.model.config
    if replace(size, classes=recipe.model.classes) != recipe.model:
        raise TrainingError(f"{run.name} is a model of other sizes than {recipe.name} asks for.")
    if freeze > size.layers:
        raise TrainingError(f"{run.name} has {size.layers} blocks: it cannot keep {freeze}.")


def _describe_set(images: ImageSet) -> dict:
    return {"name": images.name, "images": len(images), "fingerprint": images.fingerprint}


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
    init_from: Annotated[
        Path | None,
        typer.Option(help="Go on from this run's weights, in its network, whatever the recipe's."),
    ] = None,
    freeze: Annotated[
        int, typer.Option(min=0, help="Blocks of it that stay as they are, from the first on.")
    ] = 0,
    resume: Annotated[bool, typer.Option(help="Go on where this folder's run stopped.")] = False,
) -> None:
    """Train a Vision Transformer on images you name, into a run folder the dashboard opens."""
    given = {"epochs": epochs, "batch_size": batch_size, "lr": lr}
    overrides = {name: value for name, value in given.items() if value is not None}
    try:
        with process_group() as first:
            with all_or_none():
                if recipe not in RECIPES:
                    raise TrainingError(
                        f"There is no recipe {recipe}; there are: {', '.join(RECIPES)}."
                    )
                if freeze and not init_from:
                    raise TrainingError(
                        "--freeze keeps blocks of a trained model: name it, --init-from."
                    )
                plan = replace(RECIPES[recipe], **overrides)
                initial = load_run(init_from) if init_from else None
                model = initial.model.config if initial else plan.model
                train_set, test_set = (
                    open_images(f"{data}:{split}", model.image_size) for split in ("train", "test")
                )
                if subset:
                    train_set, test_set = train_set.sample(subset), test_set.sample(subset)
            options = {
                **overrides,
                "seed": seed or None,
                "subset": subset,
                "init_from": initial and f"checkpoints/{initial.name}",
                "freeze": freeze or None,
            }
            with _signals_noted() as stop:
                finished = train(
                    replace(plan, model=replace(model, classes=len(train_set.classes))),
                    train_set,
                    test_set,
                    out,
                    seed=seed,
                    device=device,
                    resume=resume,
                    init_from=initial,
                    freeze=freeze,
                    command=_command(recipe, data, out, options),
                    stop=stop,
                )
    except VitascopeError as error:
        if first:
            typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    if first and not finished:
        typer.echo(f"Stopped. {out} opens as it is; the same command with --resume goes on.")


@contextmanager
def _signals_noted() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or SIGTERM has come since; the first ends nothing by itself, a second does."""
    came = []

    def note(number, frame):
        came.append(number)
        signal.signal(number, before[number])

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, note)
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _command(recipe: str, data: str, out: Path, options: dict) -> str:
    """The command that trains the same model elsewhere."""
    where = data if data == "cifar10" else "PATH"
    words = ["python", "-m", "core.train", "--recipe", recipe, "--data", where]
    for name, value in options.items():
        if value is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join([*words, "--out", f"checkpoints/{out.name}"])


if __name__ == "__main__":
    typer.run(main)
