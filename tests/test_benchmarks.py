from dataclasses import replace

import torch

from benchmarks import explain, training
from core.augment import Augmentation
from core.checkpoint import import_tutorial
from core.model import VisionTransformer, ViTConfig


def test_the_tutorials_model_is_the_tutorials(tmp_path):
    """Its weights, read as the tutorial's, give our model the same answers."""
    model = training.TutorialViT().eval()
    assert sum(weights.numel() for weights in model.parameters()) == 2_209_674
    torch.save(model.state_dict(), tmp_path / "tutorial.pth")
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        ours = import_tutorial(tmp_path / "tutorial.pth", heads=4)(images)
        torch.testing.assert_close(model(images), ours, atol=1e-4, rtol=1e-4)


def test_both_ways_run_and_the_ratio_is_last(plan, capsys):
    recipe = replace(plan.recipe, augmentation=Augmentation(crop=2, mirror=True))
    device = torch.device("cpu")
    with training.process_group():
        training.race(recipe, plan.train_set, plan.test_set, device, rounds=2, quick=True)
    *_, spread, ratio = capsys.readouterr().out.splitlines()
    assert spread.startswith("spread of the ratio: ")
    assert float(ratio.removeprefix("ratio: ")) > 0


def test_operations_of_a_step():
    """By hand: 12 blocks and the patches of an image, twice more for the backward pass."""
    block = 17 * 128 * (3 * 128 + 2 * 512) + 2 * 17 * 17 * 128  # multiplications
    forward = 12 * block + 16 * 192 * 128 + 128 * 10
    assert training.step_flops(ViTConfig()) == 3 * 2 * forward


def test_every_way_to_attention_gives_the_same_shapes(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("VITASCOPE_EXTRACTIONS", str(tmp_path))
    config = ViTConfig(width=16, layers=2, heads=2, mlp_width=32)
    model = VisionTransformer(config).eval().requires_grad_(False)
    images = torch.randn(3, 3, 32, 32)
    for make in explain.PEERS.values():
        with torch.inference_mode():
            probabilities, rows = make(config)(images)
        torch.testing.assert_close(probabilities.sum(dim=-1), torch.ones(3))
        assert rows.shape == (3, 2, 2, 16)
        assert ((rows > 0) & (rows.sum(dim=-1, keepdim=True) < 1)).all()
    speeds = explain.race(model, 512, rounds=2)
    assert set(speeds) >= {*explain.PEERS, "float32"}
    assert all(len(values) == 2 and min(values) > 0 for values in speeds.values())
