"""The thread that writes the zip of all chosen images: it ends, cancelled or not, and says how."""

from tempfile import TemporaryDirectory
from types import SimpleNamespace
from zipfile import ZipFile

import pytest

from core.attention import extract_set
from core.selection import select, verdicts
from ui import bundle
from ui.display import Display


@pytest.fixture
def selection(tiny, samples):
    probabilities = tiny.predictions[list(tiny.classes)].to_numpy()
    columns = verdicts(samples.labels, probabilities)
    chosen = select(columns, classes=[3, 4, 5, 6])
    rows = extract_set(tiny.model, samples).cls_rows
    return SimpleNamespace(
        run=tiny, images=samples, verdicts=columns, indices=chosen, cls_rows=rows
    )


def write(selection, tmp_path, **changed) -> bundle._Job:
    job = bundle._Job("all", len(selection.indices), TemporaryDirectory(dir=tmp_path))
    for name, value in changed.items():
        setattr(job, name, value)
    look = Display(2.0, "bilinear", 0.5, "viridis")
    bundle._write(job, selection, selection.cls_rows, look, {"model": "tiny"})
    assert job.ended
    return job


def test_it_is_written(selection, tmp_path):
    job = write(selection, tmp_path)
    assert (job.done, job.problem) == (80, "")
    with ZipFile(job.path) as archive:
        assert sum(name.endswith(".png") for name in archive.namelist()) == 80


def test_cancelled_it_leaves_nothing(selection, tmp_path):
    cancelled = bundle.Event()
    cancelled.set()
    job = write(selection, tmp_path, cancelled=cancelled)
    assert 0 < job.done < 80
    assert job.problem == ""
    assert list(tmp_path.rglob("*.*")) == []


def test_what_cannot_be_written_is_told(selection, tmp_path):
    gone = SimpleNamespace(name=str(tmp_path / "gone"))
    job = write(selection, tmp_path, folder=gone)
    assert "cannot be written" in job.problem


def test_what_nobody_foresaw_is_told_and_logged(selection, tmp_path):
    selection.verdicts = None
    job = bundle._Job("all", len(selection.indices), TemporaryDirectory(dir=tmp_path))
    with pytest.raises(AttributeError):
        bundle._write(job, selection, selection.cls_rows, Display(), {})
    assert job.ended
    assert "could not be made" in job.problem
