"""Long work, such as the zip of all images: it ends, cancelled or not, and says how."""

from types import SimpleNamespace
from zipfile import ZipFile

import pytest

from core.attention import extract_set
from core.errors import InputError
from core.selection import select, verdicts
from ui import bundle, jobs
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


def write(selection, path, job) -> jobs.Job:
    look = Display(2.0, "bilinear", 0.5, "viridis")
    job.run(
        lambda progress: bundle._write(
            path, selection, selection.cls_rows, look, {"model": "tiny"}, progress
        ),
        "The zip",
    )
    assert job.ended
    return job


def test_it_is_written(selection, tmp_path):
    job = write(selection, tmp_path / "a.zip", jobs.Job(80))
    assert (job.done, job.problem) == (80, "")
    with ZipFile(tmp_path / "a.zip") as archive:
        assert sum(name.endswith(".png") for name in archive.namelist()) == 80


def test_cancelled_it_leaves_nothing(selection, tmp_path):
    job = jobs.Job(80)
    job.cancelled.set()
    write(selection, tmp_path / "a.zip", job)
    assert 0 < job.done < 80
    assert job.problem == ""
    assert list(tmp_path.rglob("*.*")) == []


def test_what_cannot_be_written_is_told(selection, tmp_path):
    job = write(selection, tmp_path / "gone" / "a.zip", jobs.Job(80))
    assert "cannot be written" in job.problem


def test_what_a_user_can_mend_is_told_and_not_raised():
    def work(progress):
        raise InputError("This is not to be had.")

    job = jobs.Job(1)
    job.run(work, "The zip")
    assert (job.problem, job.ended) == ("This is not to be had.", True)


def test_what_nobody_foresaw_is_told_and_logged(selection, tmp_path):
    selection.verdicts = None
    job = jobs.Job(80)
    with pytest.raises(AttributeError):
        write(selection, tmp_path / "a.zip", job)
    assert job.ended
    assert "could not be made" in job.problem
