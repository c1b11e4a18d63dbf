import os
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from core.data import ImageSet, image_set, open_images
from core.model import ViTConfig
from core.recipes import Recipe


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """No test reads or fills the user's own cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VITASCOPE_CACHE", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def samples() -> ImageSet:
    return open_images("samples")


@pytest.fixture(scope="session")
def cifar10() -> Path:
    """A folder with CIFAR-10 as train.parquet and test.parquet."""
    folder = os.environ.get("VITASCOPE_DATA")
    if not folder or not (Path(folder) / "test.parquet").is_file():
        pytest.skip("VITASCOPE_DATA names no folder with CIFAR-10's train.parquet and test.parquet")
    return Path(folder)


@dataclass(frozen=True)
class Plan:
    """What to train: a recipe that takes a second, and parts of the sample scenes."""

    recipe: Recipe
    train_set: ImageSet
    test_set: ImageSet


@pytest.fixture(scope="session")
def plan(samples) -> Plan:
    model = ViTConfig(width=16, layers=2, heads=2, mlp_width=32)
    recipe = Recipe(
        "tiny", epochs=2, batch_size=24, lr=0.02, momentum=0.9, keep_from=9, model=model
    )
    train_set = image_set("Even", samples.images[::2], samples.labels[::2].copy(), samples.classes)
    # its classes in another order than the training set's
    test_set = image_set(
        "Odd", samples.images[1::4], 9 - samples.labels[1::4], samples.classes[::-1]
    )
    return Plan(recipe, train_set, test_set)
