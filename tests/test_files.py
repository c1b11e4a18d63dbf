from pathlib import Path

import pytest

from core.files import atomic_file, atomic_folder, cache_folder


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with open(path) as reader:
        with atomic_file(path) as part:
            part.write_text("new")
            assert part.suffix == ".txt"
            assert path.read_text() == "old"
        assert reader.read() == "old"  # who had it open before is not disturbed
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o044 == 0o044  # others may read it
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_write_that_fails_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), atomic_file(path) as part:
        part.write_text("ne")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_appears_when_it_is_full(tmp_path):
    path = tmp_path / "deep" / "folder"
    with atomic_folder(path) as part:
        (part / "a").write_text("1")
        assert not path.exists()
    assert (path / "a").read_text() == "1"
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "other") as part:
        (part / "a").write_text("1")
        raise KeyboardInterrupt
    assert [p.name for p in tmp_path.iterdir()] == ["deep"]
    assert [p.name for p in path.parent.iterdir()] == ["folder"]


def test_the_first_to_finish_a_folder_wins(tmp_path):
    path = tmp_path / "folder"
    with atomic_folder(path) as mine:
        (mine / "a").write_text("mine")
        with atomic_folder(path) as theirs:
            (theirs / "a").write_text("theirs")
    assert (path / "a").read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("VITASCOPE_CACHE", str(tmp_path / "a"))
    assert cache_folder("x", "y") == tmp_path / "a" / "x" / "y"
    assert (tmp_path / "a" / "x" / "y").is_dir()
    monkeypatch.setenv("VITASCOPE_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    assert cache_folder() == tmp_path / "b" / "vitascope"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    assert cache_folder("x") == tmp_path / "home" / ".cache" / "vitascope" / "x"
