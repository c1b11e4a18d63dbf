"""Files that are either whole or not there, and the folder for what can be computed again."""

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

from core.errors import WriteError


def cache_folder(*parts: str) -> Path:
    """A folder for decoded images and extracted attention; deleting it costs only time.

    `VITASCOPE_CACHE` names it; else it is `vitascope` in the user's cache folder.

    Raises:
        WriteError: it cannot be made.
    """
    base = os.environ.get("VITASCOPE_CACHE") or Path(
        os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "vitascope"
    )
    folder = Path(base, *parts)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def writing(path: Path):
    """Whatever keeps the block from writing to `path` becomes a WriteError that names it."""
    try:
        yield
    except OSError as error:
        raise WriteError(f"{path} cannot be written: {error.strerror or error}.") from error


@contextmanager
def atomic_file(path: Path):
    """Yield a path beside `path` to write to; it replaces `path` only when the block succeeds."""
    path = Path(path)
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    part = Path(part)
    try:
        yield part
        part.chmod(0o644)  # mkstemp lets only the owner read
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
        _sync(path.parent)  # the new name, too, is there after a power cut
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path):
    """Yield a new folder to fill; it becomes `path` when the block succeeds.

    If another process finished the same folder first, its copy stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield part
        part.chmod(0o755)  # mkdtemp lets only the owner in
        for file in filter(Path.is_file, part.iterdir()):
            with open(file, "rb+") as written:
                os.fsync(written.fileno())
        try:
            part.rename(path)
            _sync(path.parent)
        except OSError:
            if not path.exists():
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _sync(folder: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
