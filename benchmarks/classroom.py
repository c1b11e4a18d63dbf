"""How long to the tutorial's 57 %:  python benchmarks/classroom.py PATH

PATH holds CIFAR-10 as train.parquet and test.parquet. Ours is `python -m core.train --recipe quick`
from start to finish, a process of its own: reading, compiling, training, testing. The tutorial's
way took 88 epochs (its published best); a part of one is timed here and counted 88 times.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import torch
import typer

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.training import QUICK, WARM_UP, Tutorial
from core import evaluate
from core.checkpoint import load_run
from core.data import open_images
from core.hardware import best_device
from core.recipes import RECIPES, published_history


def main(
    path: Annotated[Path, typer.Argument(help="Where train.parquet and test.parquet lie.")],
) -> None:
    """Time recipe quick, whole, against the tutorial's way to the same accuracy."""
    sets = [open_images(f"{path}:{part}") for part in ("train", "test")]
    tutorial = Tutorial(RECIPES["tutorial"], *sets, torch.device(best_device()))
    tutorial.epoch(*WARM_UP)
    started = time.perf_counter()
    tutorial.epoch(*QUICK)
    an_epoch = (time.perf_counter() - started) * len(sets[0]) / QUICK[0]
    epochs = int(published_history().set_index("epoch")["val_loss"].idxmin())
    theirs = epochs * an_epoch
    print(f"tutorial: {epochs} epochs of {an_epoch:.0f} s, {theirs / 60:.0f} minutes", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "quick")
        command = ["-m", "core.train", "--recipe", "quick", "--data", str(path), "--out", str(out)]
        started = time.perf_counter()
        subprocess.run([sys.executable, *command], cwd=Path(__file__).parent.parent, check=True)
        ours = time.perf_counter() - started
        accuracy = evaluate.accuracy(*evaluate.test_results(load_run(out)))
    print(f"quick: {accuracy:.2%} on the test set in {ours / 60:.1f} minutes")
    print(f"ratio: {theirs / ours:.1f}")


if __name__ == "__main__":
    typer.run(main)
