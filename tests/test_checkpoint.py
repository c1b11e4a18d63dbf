import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import typer
from reference import as_tutorial, forward, is_one_sentence, make_model
from typer.testing import CliRunner

from core import checkpoint
from core.checkpoint import HISTORY, import_tutorial, kept_epoch, list_runs, load_run, save_run
from core.errors import CheckpointError

CLASSES = ("ant", "bee", "cat", "dög", "eel")
ROOT = Path(__file__).parents[1]
FIXTURE = __file__.replace("test_checkpoint.py", "tutorial_vit_small")


def make_history(val_losses):
    history = pd.DataFrame(dict.fromkeys(HISTORY, 0.1), index=range(len(val_losses)))
    history["epoch"] = range(1, len(val_losses) + 1)
    history["val_loss"] = val_losses
    return history.astype(HISTORY)


@pytest.fixture
def run_folder(tmp_path):
    """A whole run folder of a tiny model."""
    folder = tmp_path / "runs" / "tiny"
    save_run(folder, make_model(), CLASSES, recipe={"keep_from": 2}, seed=3)
    checkpoint.save_history(folder, make_history([1.0, 1 / 3, 0.7]))
    probabilities = np.random.default_rng(0).dirichlet(np.ones(5), 6).astype(np.float32)
    checkpoint.save_predictions(folder, np.array([0, 1, 2, 3, 4, 0]), probabilities, CLASSES)
    replay = {name: np.arange(3) for name in checkpoint.REPLAY}
    checkpoint.save_replay(folder, {**replay, "source": np.array(["a", "bc"])})
    checkpoint.save_text(folder / "README.md", "# tiny ✓")
    return folder


# --- Run folders ------------------------------------------------------------------------------


def test_a_run_comes_back_as_it_was_saved(run_folder):
    run, model = load_run(run_folder), make_model()
    assert (run.name, run.path, run.classes, run.card) == ("tiny", run_folder, CLASSES, "# tiny ✓")
    assert run.model.config == model.config
    assert run.config["seed"] == 3
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(run.model(images), model(images))
    assert not run.model.training
    assert not any(weights.requires_grad for weights in run.model.parameters())
    assert run.fingerprint == model.fingerprint()
    pd.testing.assert_frame_equal(run.history, make_history([1.0, 1 / 3, 0.7]), check_exact=True)
    assert list(run.predictions) == ["index", "label", *CLASSES]
    expected = np.random.default_rng(0).dirichlet(np.ones(5), 6).astype(np.float32)
    np.testing.assert_array_equal(run.predictions[list(CLASSES)], expected)
    assert run.replay["source"].tolist() == ["a", "bc"]
    assert run.kept_epoch == 2


def test_weights_and_config_are_enough_for_a_run(tmp_path):
    save_run(tmp_path / "bare", make_model(), CLASSES)
    run = load_run(tmp_path / "bare")
    assert run.history.empty
    assert dict(run.history.dtypes) == HISTORY
    assert (run.predictions, run.replay, run.card, run.kept_epoch) == (None, None, "", 0)


def cut(path, keep=0.5):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])


def edit_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_model(folder, **changes):
    edit_config(
        folder, model={**json.loads((folder / "config.json").read_text())["model"], **changes}
    )


DAMAGES = {
    "no config": lambda f: (f / "config.json").unlink(),
    "half a config": lambda f: cut(f / "config.json"),
    "not text": lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x80"),
    "someone else's config": lambda f: (f / "config.json").write_text('{"model_type": "bert"}'),
    "a list": lambda f: (f / "config.json").write_text("[1, 2]"),
    "a newer format": lambda f: edit_config(f, format=2),
    "no model": lambda f: edit_config(f, model=None),
    "unknown setting": lambda f: edit_model(f, rotary=True),
    "impossible heads": lambda f: edit_model(f, heads=3),
    "impossible dropout": lambda f: edit_model(f, dropout=2.0),
    "another width": lambda f: edit_model(f, width=16),
    "more layers": lambda f: edit_model(f, layers=4),
    "fewer layers": lambda f: edit_model(f, layers=2),
    "fewer class names": lambda f: edit_config(f, classes=["ant"]),
    "no classes": lambda f: edit_config(f, classes=None),
    "no weights": lambda f: (f / "model.safetensors").unlink(),
    "half the weights": lambda f: cut(f / "model.safetensors"),
    "empty weights": lambda f: cut(f / "model.safetensors", 0),
    "other weights": lambda f: (f / "model.safetensors").write_bytes(b"GGUF" * 100),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_is_listed_with_its_problem(run_folder, damage):
    DAMAGES[damage](run_folder)
    (entry,) = list_runs([run_folder.parent])
    assert entry.name == "tiny"
    assert is_one_sentence(entry.problem)
    with pytest.raises(CheckpointError) as error:
        load_run(run_folder)
    assert str(error.value) == entry.problem


@pytest.mark.parametrize("name", ["history.csv", "predictions.parquet", "replay.npz"])
@pytest.mark.parametrize("damage", [cut, lambda p: p.write_bytes(b"\x00\xff,\n" * 40)])
def test_a_damaged_part_is_named(run_folder, name, damage):
    damage(run_folder / name)
    if name == "history.csv" and damage is cut:
        (run_folder / name).write_text("epoch,train_loss\n1,0.5\n")  # half a line is still a line
    with pytest.raises(CheckpointError, match=name) as error:
        load_run(run_folder)
    assert is_one_sentence(error.value)


def test_list_runs_finds_folders_at_any_root(tmp_path, run_folder):
    save_run(run_folder.parent / "another", make_model(), CLASSES)
    save_run(run_folder.parent / ".hidden", make_model(), CLASSES)
    (run_folder.parent / "notes").mkdir()
    (run_folder.parent / "config.txt").write_text("")
    found = list_runs([run_folder.parent, str(run_folder), tmp_path / "missing"])
    assert [entry.name for entry in found] == ["another", "tiny"]  # however often it is named
    assert found[1].path == run_folder
    assert all(entry.problem is None for entry in found)
    assert list_runs([]) == []


def test_a_failing_write_leaves_the_old_weights(run_folder, monkeypatch):
    before = {path.name: path.read_bytes() for path in run_folder.iterdir()}

    def disk_full(path, data):
        with open(path, "wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_bytes", disk_full)
    with pytest.raises(OSError):
        checkpoint.save_weights(run_folder, make_model(seed=1))
    assert {path.name: path.read_bytes() for path in run_folder.iterdir()} == before
    assert load_run(run_folder).fingerprint == make_model().fingerprint()


@pytest.mark.parametrize(
    ("val_losses", "keep_from", "kept"),
    [
        ([], 1, 0),
        ([3, 2, 1], 1, 3),
        ([1, 2, 3], 1, 1),
        ([1, 3, 2, 4], 2, 3),
        ([1, 3, 2, 2], 3, 3),  # the first of equals
        ([1, 2, 3], 4, 3),  # none may be kept yet: the newest
        ([1, 3, 2], 3, 3),
        ([2, float("nan"), 1, 3], 1, 3),
        ([float("nan"), float("nan")], 1, 2),  # a run that diverged still opens
    ],
)
def test_kept_epoch(val_losses, keep_from, kept):
    assert kept_epoch(make_history(val_losses), keep_from) == kept


@pytest.mark.parametrize("name", ["index", "label"])
def test_a_class_may_be_called_like_a_column(run_folder, name):
    """A folder of pictures can have any name; its training must not end in a stack trace."""
    classes = (name, *CLASSES[1:])
    probabilities = np.full((2, 5), 0.2, np.float32)
    try:
        checkpoint.save_run(run_folder, make_model(), classes)
        checkpoint.save_predictions(run_folder, np.array([4, 3]), probabilities, classes)
    except CheckpointError as error:
        assert is_one_sentence(error)
    else:
        assert load_run(run_folder).predictions["label"].tolist() == [4, 3]


# --- The tutorial's weights -------------------------------------------------------------------


def test_the_tutorials_weights_give_the_tutorials_outputs():
    model = import_tutorial(f"{FIXTURE}.pth", heads=4)
    expected = np.load(f"{FIXTURE}_expected.npz")
    logits, attention = model(torch.from_numpy(expected["images"]), return_attention=True)
    np.testing.assert_allclose(logits, expected["logits"], atol=1e-5)
    np.testing.assert_allclose(attention[:, -1], expected["attention"], atol=1e-5)
    assert (model.config.patch_size, model.config.width, model.config.layers) == (8, 32, 2)
    assert model.config.mean == model.config.std == (0.5, 0.5, 0.5)
    assert not model.training
    assert not any(weights.requires_grad for weights in model.parameters())


@pytest.fixture
def tutorial_state():
    """A state_dict under the tutorial's key names, of other sizes than the tutorial's."""
    settings = {"image_size": 12, "patch_size": 4, "width": 48, "layers": 3, "heads": 3}
    model = make_model(**settings, mlp_width=20, classes=7)
    return {name: torch.tensor(values) for name, values in as_tutorial(model).items()}


def test_sizes_are_read_from_the_tensors(tmp_path, tutorial_state):
    torch.save(tutorial_state, tmp_path / "vit.pth")
    model = import_tutorial(str(tmp_path / "vit.pth"), heads=3)
    images = torch.rand(2, 3, 12, 12) * 2 - 1
    logits, attention = model(images, return_attention=True)
    expected = forward(tutorial_state, images.numpy(), heads=3, patch=4)
    np.testing.assert_allclose(logits, expected[0], atol=1e-4)
    np.testing.assert_allclose(attention, expected[1], atol=1e-5)
    config = model.config
    assert (config.image_size, config.patch_size, config.classes) == (12, 4, 7)
    assert (config.width, config.layers, config.heads, config.mlp_width) == (48, 3, 3, 20)


def without(name):
    return lambda state: {key: values for key, values in state.items() if key != name}


FOREIGN = {
    "empty": lambda state: {},
    "another model": lambda state: {"conv1.weight": torch.zeros(8, 3, 3, 3)},
    "a bare tensor": lambda state: torch.zeros(3),
    "a checkpoint around it": lambda state: {"epoch": 3, "state_dict": state},
    "a lost tensor": without("transformer.1.work1.fn.1.key.bias"),
    "a lost head": without("mlp_head.1.weight"),
    "a lost block": lambda s: {k: v for k, v in s.items() if not k.startswith("transformer.1.")},
    "another width": lambda s: {**s, "mlp_head.1.weight": torch.zeros(7, 32)},
    "oblong": lambda s: {**s, "patchembedding.positions": torch.zeros(9, 48)},
    "batched positions": lambda s: {**s, "patchembedding.positions": torch.zeros(1, 10, 48)},
    "flat projection": lambda s: {**s, "patchembedding.projection.1.weight": torch.zeros(48)},
    "tensors the model has no place for": lambda s: {
        **s,
        "transformer.0.work1.fn.1.out.weight": torch.eye(48),
    },
}


@pytest.mark.parametrize("foreign", FOREIGN)
def test_foreign_weights_are_refused(tmp_path, tutorial_state, foreign):
    torch.save(FOREIGN[foreign](tutorial_state), tmp_path / "vit.pth")
    with pytest.raises(CheckpointError, match=r"vit\.pth") as error:
        import_tutorial(tmp_path / "vit.pth", heads=3)
    assert is_one_sentence(error.value)


@pytest.mark.parametrize("heads", [5, 0, -3])
def test_impossible_heads_are_refused(tmp_path, tutorial_state, heads):
    torch.save(tutorial_state, tmp_path / "vit.pth")
    with pytest.raises(CheckpointError, match="heads") as error:
        import_tutorial(tmp_path / "vit.pth", heads=heads)
    assert is_one_sentence(error.value)


def test_files_that_are_no_weights_are_refused(tmp_path, tutorial_state):
    torch.save(tutorial_state, tmp_path / "cut.pth")
    cut(tmp_path / "cut.pth", 0.7)
    (tmp_path / "text.pth").write_text("hello")
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "folder.pth").mkdir()
    for name in ("cut.pth", "text.pth", "empty.pth", "folder.pth", "missing.pth"):
        with pytest.raises(CheckpointError, match=name) as error:
            import_tutorial(tmp_path / name, heads=3)
        assert is_one_sentence(error.value)


def test_the_command_makes_a_run_folder(tmp_path, tutorial_state):
    app = typer.Typer()
    app.command()(checkpoint.main)
    torch.save(tutorial_state, tmp_path / "vit.pth")
    words = [str(tmp_path / "vit.pth"), "--heads", "3", "--out", str(tmp_path / "run")]
    names = ["--classes", "a,b,c,d,e,f,g"]
    # seven classes without names, then all is well, then the folder is taken
    for given, code in ((words, 1), (words + names, 0), (words + names, 1)):
        result = CliRunner().invoke(app, given)
        assert result.exit_code == code
        assert code == 0 or is_one_sentence(result.stderr.strip())
    run = load_run(tmp_path / "run")
    assert run.classes == tuple("abcdefg")
    assert run.fingerprint == import_tutorial(tmp_path / "vit.pth", heads=3).fingerprint()


class Code:
    """Unpickling this makes a folder."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_code_in_a_pickle_does_not_run(tmp_path):
    code = Code(tmp_path / "made")
    torch.save({"patchembedding.positions": code}, tmp_path / "zip.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(code))
    for name in ("zip.pth", "plain.pth"):
        with pytest.raises(CheckpointError) as error:
            import_tutorial(tmp_path / name, heads=3)
        assert is_one_sentence(error.value)
    assert not (tmp_path / "made").exists()
    pickle.loads((tmp_path / "plain.pth").read_bytes())
    assert (tmp_path / "made").exists()  # it would have run


def test_runs_are_listed_without_torchs_compiler():
    """It takes a second to import, which the first page of the dashboard would wait for."""
    code = """if True:
        import sys
        from core.checkpoint import list_runs
        assert all(entry.problem is None for entry in list_runs(["checkpoints"]))
        assert "torch._dynamo" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
