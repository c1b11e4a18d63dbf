"""Long work in the background: with progress, a way to stop it, and results that are kept."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event, Lock, Thread

import numpy as np
import streamlit as st

from core.errors import VitascopeError
from core.files import atomic_file, cache_folder, writing
from core.progress import Progress

SECONDS_A_LOOK = 0.5


class Cancelled(Exception):
    """Somebody pressed Cancel; raised where the work says how far it is."""


@dataclass
class Job:
    """Work in a thread of its own, as far as it has come."""

    total: int
    done: int = 0
    problem: str = ""
    ended: bool = False
    cancelled: Event = field(default_factory=Event)

    def progress(self, done: int, total: int) -> None:
        self.done, self.total = done, total
        if self.cancelled.is_set():
            raise Cancelled

    def run(self, work: Callable[[Progress], None], name: str) -> None:
        """Do it; what keeps it from being done is told as one sentence about `name`."""
        try:
            work(self.progress)
        except Cancelled:
            pass
        except VitascopeError as error:
            self.problem = str(error)
        except Exception:
            self.problem = f"{name} could not be made; the server's log says why."
            raise
        finally:
            self.ended = True

    def start(self, work: Callable[[Progress], None], name: str) -> None:
        Thread(target=self.run, args=(work, name), daemon=True).start()


def follow(job: Job, words: str = "images") -> None:
    """Its progress and a Cancel button, for a fragment that runs every `SECONDS_A_LOOK`."""
    if job.ended:
        st.rerun()  # the page, which stops this fragment's clock
    stopping = " – stopping …" if job.cancelled.is_set() else ""
    said = f"{job.done:,} of {job.total:,} {words}{stopping}"
    st.progress(job.done / max(job.total, 1), said)
    st.button(
        "Cancel",
        icon=":material/stop:",
        width="stretch",
        key=f"cancel {id(job)}",
        on_click=job.cancelled.set,
    )


def result(
    name: str,
    parts: tuple,
    work: Callable[[Progress], dict[str, np.ndarray]],
    *,
    label: str,
    total: int,
) -> dict[str, np.ndarray] | None:
    """What some work gives, if it is done; else a button that starts it, or how far it is.

    The result is kept on disk, and the work done once for all visitors who ask for the same.

    Args:
        name: what it makes, such as "The table".
        parts: all that the result depends on; each has a `repr` that says what it is.
        work: gives arrays by name; called in a thread.
        label: of the button.
        total: how many images it goes through.
    """
    key = hashlib.blake2b(repr((name, parts)).encode(), digest_size=12).hexdigest()
    path = cache_folder("results") / f"{key}.npz"
    if path.exists():
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    # a fragment, so that following the work runs nothing else anew
    st.fragment(_offer)(name, key, path, work, label, total)
    return None


def _offer(name, key, path, work, label, total) -> None:
    slot = _slot(key)
    job = slot.job
    if job and not job.ended:
        st.fragment(follow, run_every=SECONDS_A_LOOK)(job)
        return
    if job and path.exists():
        st.rerun()  # done meanwhile
    if job and job.problem:
        st.error(job.problem)

    def save(progress: Progress) -> None:
        arrays = work(progress)
        with writing(path), atomic_file(path) as part:
            np.savez(part, **arrays)

    def start() -> None:
        with slot.lock:  # another visitor may have pressed, too
            if slot.job is None or slot.job.ended:
                slot.job = Job(total)
                slot.job.start(save, name)

    st.button(label, icon=":material/play_arrow:", key=f"start {key}", on_click=start)


@dataclass
class _Slot:
    lock: Lock = field(default_factory=Lock)
    job: Job | None = None


@st.cache_resource(max_entries=64, show_spinner=False)
def _slot(key: str) -> _Slot:
    """The work on one result, shared by all who ask for it."""
    return _Slot()
