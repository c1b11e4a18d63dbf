import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from core.hardware import can_compile
from core.model import VisionTransformer, ViTConfig
from core.optimize import TrainStep, make_optimizers
from core.processes import process_group
from core.recipes import RECIPES, Recipe

TINY = ViTConfig(width=16, layers=2, heads=2, mlp_width=32)


@pytest.fixture
def batch():
    return torch.randint(0, 256, (12, 32, 32, 3), dtype=torch.uint8), torch.arange(12) % 10


def make_step(compiled=False, **settings):
    torch.manual_seed(0)
    recipe = Recipe("tiny", epochs=1, batch_size=12, lr=0.1, model=TINY, **settings)
    return TrainStep(VisionTransformer(TINY), recipe, "float32", compiled)


@pytest.fixture(autouse=True)
def group():
    with process_group():
        yield


def test_a_step_is_plain_sgd(batch):
    """The same as three lines of PyTorch."""
    step = make_step()
    torch.manual_seed(0)
    model = VisionTransformer(TINY)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        loss = F.cross_entropy(model(model.prepare(batch[0])), batch[1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        notes = step(*batch, lr=0.1)
        assert notes[0] / 12 == pytest.approx(loss.item(), rel=1e-5)
    for found, expected in zip(step.model.parameters(), model.parameters()):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)


def test_it_counts_hits_and_passes_on_the_wish_to_stop(batch):
    step = make_step()
    logits = step.model(step.model.prepare(batch[0]))
    hits = (logits.argmax(dim=1) == batch[1]).sum()
    notes = step(*batch, lr=0.0, stop=True)
    assert notes[1:].tolist() == [hits, 1]
    assert step(*batch, lr=0.0)[2] == 0


def test_a_long_gradient_is_shortened(batch):
    free, clipped = make_step(momentum=0.0), make_step(momentum=0.0, clip_norm=1e-3)
    for step in (free, clipped):
        step(*batch, lr=0.1)
    assert free.gradient.norm() > 1e-3
    assert clipped.gradient.norm() == pytest.approx(1e-3, rel=1e-3)


def test_a_step_may_look_at_some_patches_of_each_image(batch):
    step = make_step()
    before = torch.random.get_rng_state()
    loss = step(*batch, lr=0.0, patches=4)[0]
    torch.random.set_rng_state(before)
    drawn = torch.rand(12, 16).argsort(dim=1)[:, :4]
    assert len({tuple(sorted(patches)) for patches in drawn.tolist()}) > 6
    logits = step.model(step.model.prepare(batch[0]), patches=drawn)
    assert loss == pytest.approx(F.cross_entropy(logits, batch[1], reduction="sum").item())


def test_compiled_it_learns_the_same(batch):
    if not can_compile(torch.device("cpu")):
        pytest.skip("torch.compile needs a C++ compiler and Python's headers")
    plain, compiled = make_step(), make_step(compiled=True)
    for _ in range(3):
        losses = [step(*batch, lr=0.01)[0] for step in (plain, compiled)]
        torch.testing.assert_close(*losses, atol=1e-4, rtol=1e-4)
    for found, expected in zip(compiled.model.parameters(), plain.model.parameters()):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-3)


def test_frozen_weights_stay(batch):
    model = VisionTransformer(TINY)
    model.patch_embedding.requires_grad_(False)
    before = {name: weights.clone() for name, weights in model.named_parameters()}
    recipe = Recipe("tiny", 1, 12, 0.1, optimizer="adamw", weight_decay=0.5, model=TINY)
    TrainStep(model, recipe, "float32", compiled=False)(*batch, lr=0.1)
    for name, weights in model.named_parameters():
        assert torch.equal(weights, before[name]) == name.startswith("patch_embedding.")


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_every_parameter_has_one_optimizer_and_only_matrices_decay(optimizer):
    model = VisionTransformer(TINY)
    recipe = Recipe("tiny", 1, 12, 0.1, optimizer=optimizer, weight_decay=0.05, model=TINY)
    decay = {
        id(weights): group["weight_decay"]
        for made in make_optimizers(model, recipe)
        for group in made.param_groups
        for weights in group["params"]
    }
    assert len(decay) == len(list(model.parameters()))
    for name, weights in model.named_parameters():
        matrix = name.endswith(("qkv.weight", "mlp.0.weight", "mlp.3.weight", "head.weight"))
        matrix = matrix or name == "patch_embedding.projection.weight"
        assert decay[id(weights)] == (0.05 if matrix else 0.0), name


def test_muon_takes_the_matrices_of_the_blocks_and_nothing_else():
    model = VisionTransformer(TINY)
    muon, _ = make_optimizers(model, replace(RECIPES["quick"], model=TINY))
    of_muon = {id(weights) for weights in muon.param_groups[0]["params"]}
    names = {name for name, weights in model.named_parameters() if id(weights) in of_muon}
    parts = ("attention.qkv", "mlp.0", "mlp.3")
    assert names == {f"blocks.{i}.{part}.weight" for i in range(2) for part in parts}


def test_patches_are_left_out_until_the_last_epochs():
    recipe = Recipe("r", 5, 1, 0.1, patch_dropout=0.5, whole_epochs=2)
    assert [recipe.patches_at(epoch) for epoch in range(5)] == [8, 8, 8, 16, 16]
    assert RECIPES["tutorial"].patches_at(0) == 16


# --- The learning rate ------------------------------------------------------------------------


def test_the_tutorials_learning_rate_stays():
    tutorial = RECIPES["tutorial"]
    assert {tutorial.lr_at(epoch) for epoch in (0, 0.5, 50, 100)} == {0.001}


def test_a_cosine_rises_and_falls():
    recipe = Recipe("r", epochs=12, batch_size=1, lr=2.0, warmup=2, cosine=True)
    assert recipe.lr_at(0) == 0
    assert recipe.lr_at(1) == 1
    assert recipe.lr_at(2) == 2
    assert recipe.lr_at(2 + 10 / 3) == pytest.approx(1 + math.cos(math.pi / 3))
    assert recipe.lr_at(7) == pytest.approx(1)
    assert recipe.lr_at(12) == pytest.approx(0)
