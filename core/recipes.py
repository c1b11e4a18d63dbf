"""Named ways to train a model. Each says what it costs and what it reaches."""

import math
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import pandas as pd

from core.augment import Augmentation
from core.model import ViTConfig


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run apart from the data and the seed."""

    name: str
    epochs: int
    batch_size: int  # images a step, over all processes
    lr: float  # at its highest
    optimizer: str = "sgd"  # or "adamw", or "muon": Muon for the blocks' matrices, AdamW beside it
    momentum: float = 0.9  # of SGD and Muon
    weight_decay: float = 0.0  # on matrices only
    warmup: float = 0.0  # epochs in which the learning rate rises from zero
    cosine: bool = False  # let it fall to zero along a half cosine; else it stays
    clip_norm: float | None = None  # the longest gradient that is followed
    label_smoothing: float = 0.0
    augmentation: Augmentation = field(default_factory=Augmentation)
    patch_dropout: float = 0.0  # share of an image's patches that a step leaves out, at random
    whole_epochs: int = 0  # the last epochs, in which none is left out
    validation: int = 0  # images held out of the training set to choose the epoch by, a tenth of
    # it at most; 0: the test set chooses, as in the tutorial
    keep_from: int = 1  # first epoch that may be kept; of those the lowest validation loss wins
    model: ViTConfig = field(default_factory=ViTConfig)

    def __post_init__(self):
        if self.optimizer not in ("sgd", "adamw", "muon"):
            raise ValueError(f"optimizer must be sgd, adamw or muon, not {self.optimizer!r}")
        if not 0 <= self.patch_dropout < 1:
            raise ValueError("patch_dropout must be at least 0 and below 1")

    def lr_at(self, epoch: float) -> float:
        """The learning rate after `epoch` epochs, a fraction within one included."""
        if epoch < self.warmup:
            return self.lr * epoch / self.warmup
        if not self.cosine:
            return self.lr
        gone = (epoch - self.warmup) / max(self.epochs - self.warmup, 1e-9)
        return self.lr * 0.5 * (1 + math.cos(math.pi * min(gone, 1.0)))

    def patches_at(self, epoch: int) -> int:
        """How many patches of an image are looked at in an epoch, counted from 0."""
        gh, gw = self.model.grid
        whole = epoch >= self.epochs - self.whole_epochs
        return gh * gw if whole else max(1, round(gh * gw * (1 - self.patch_dropout)))


# The tutorial: 57 % on CIFAR-10 after 100 epochs, lowest validation loss 1.2002 at epoch 88.
#   python -m core.train --recipe tutorial --data cifar10 --out checkpoints/my-tutorial
# SGD without augmentation; the validation set is the test set, so its 57 % is a little optimistic.
TUTORIAL = Recipe(name="tutorial", epochs=100, batch_size=256, lr=0.001, keep_from=12)

# For a classroom: past the tutorial's 57 % in four epochs (60.2 % on the JPEG copy), in 4.7 minutes
# on 2 CPU cores without AMX, reading and compiling included.
#   python -m core.train --recipe quick --data cifar10 --out checkpoints/my-quick
# The tutorial's network; what is quicker is the start (small tokens), Muon, and one cosine.
QUICK = Recipe(
    name="quick",
    epochs=4,
    batch_size=256,
    lr=2e-3,
    optimizer="muon",
    weight_decay=0.05,
    warmup=0.5,
    cosine=True,
    augmentation=Augmentation(crop=3, mirror=True),
    validation=5_000,
    model=ViTConfig(token_std=0.02),
)

# The most of the tutorial's network: 79.4 % (JPEG copy) in 91 minutes on the same 2 cores.
#   python -m core.train --recipe strong --data cifar10 --out checkpoints/my-strong
STRONG = replace(
    QUICK,
    name="strong",
    epochs=70,
    warmup=2,
    clip_norm=1.0,
    label_smoothing=0.1,
    augmentation=Augmentation(crop=4, mirror=True, colour=0.2, cutmix=0.5),
)

# Maps of 8 × 8 in place of 4 × 4: 80.5 % (JPEG copy) in 95 minutes on the same 2 cores.
#   python -m core.train --recipe strong-p4 --data cifar10 --out checkpoints/my-strong-p4
# A step on all of the 64 patches takes more than twice as long as one on half of them
# (PatchDropout: Liu et al., WACV 2023); the last three epochs see all.
STRONG_P4 = replace(
    STRONG,
    name="strong-p4",
    epochs=20,
    warmup=1,
    augmentation=Augmentation(crop=4, mirror=True),
    patch_dropout=0.5,
    whole_epochs=3,
    model=ViTConfig(
        patch_size=4,
        width=192,
        heads=12,
        mlp_width=768,
        patch_embedding="conv",
        positions="sincos",
        token_std=0.02,
    ),
)

RECIPES = {recipe.name: recipe for recipe in (TUTORIAL, QUICK, STRONG, STRONG_P4)}


@cache
def published_history() -> pd.DataFrame:
    """The losses that the tutorial printed for its 100 epochs: epoch, train_loss, val_loss."""
    return pd.read_csv(Path(__file__).parent / "tutorial_history.csv")
