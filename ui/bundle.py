"""All chosen images as one zip: written in the background, with progress and a way to stop it."""

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

import streamlit as st

from core.attention import last_layer_maps
from core.bundle import write_bundle
from core.errors import VitascopeError
from core.files import cache_folder
from ui import links
from ui.display import Display
from ui.sidebar import Selection

SECONDS_A_LOOK = 0.5


class _Cancelled(Exception):
    pass


@dataclass
class _Job:
    """A zip that a thread writes; its folder goes with the visit that asked for it."""

    name: str
    total: int
    folder: TemporaryDirectory
    done: int = 0
    problem: str = ""
    ended: bool = False
    cancelled: Event = field(default_factory=Event)

    @property
    def path(self) -> Path:
        return Path(self.folder.name) / "vitascope.zip"

    def progress(self, done: int, total: int) -> None:
        self.done = done
        if self.cancelled.is_set():
            raise _Cancelled


def offer(selection: Selection, look: Display) -> None:
    """A popover that makes a zip of all images that pass the filters, and hands it out."""
    # a fragment, so that following the work runs nothing else anew
    st.fragment(_offer)(selection, look, links.settings("bundle", "All chosen images"))


def _offer(selection: Selection, look: Display, settings: dict) -> None:
    popover = st.popover(
        "Export all", icon=":material/folder_zip:", key="bundle_export", on_change="rerun"
    )
    if not popover.open:
        return
    with popover:
        job = st.session_state.get("bundle")
        if job and not job.ended:
            st.fragment(_follow, run_every=SECONDS_A_LOOK)(job)
            return
        if job and job.problem:
            st.error(job.problem)
        elif job and not job.cancelled.is_set():
            st.download_button(
                f"Download ({job.path.stat().st_size / 1e6:.1f} MB)",
                job.path.read_bytes,
                file_name=f"{job.name}.zip",
                mime="application/zip",
                icon=":material/download:",
                type="primary",
                width="stretch",
                on_click="ignore",
            )
            st.caption(f"{job.total:,} images: {links.plain(job.name)}")
        st.caption(
            f"Each of the {len(selection.indices):,} images beside its map (last layer, mean of "
            "the heads) and its amplified picture as PNG; all maps and predictions as numbers; "
            "the settings as JSON."
        )
        st.button(
            f"Make a zip of {len(selection.indices):,} images",
            icon=":material/folder_zip:",
            width="stretch",
            on_click=_start,
            args=(selection, look, settings),
        )


def _follow(job: _Job) -> None:
    if job.ended:
        st.rerun()  # the page, which stops this fragment's clock
    st.progress(job.done / job.total, f"{job.done:,} of {job.total:,} images")
    st.button("Cancel", icon=":material/stop:", width="stretch", on_click=job.cancelled.set)


def _start(selection: Selection, look: Display, settings: dict) -> None:
    name = f"{selection.run.name} on {selection.images.name}".replace("/", "-")
    folder = TemporaryDirectory(dir=cache_folder("exports"), ignore_cleanup_errors=True)
    job = _Job(name, len(selection.indices), folder)
    st.session_state["bundle"] = job
    rows = selection.cls_rows  # here, where reading them may show its progress
    Thread(target=_write, args=(job, selection, rows, look, settings), daemon=True).start()


def _write(job: _Job, selection: Selection, rows, look: Display, settings: dict) -> None:
    grid = selection.run.model.config.grid
    try:
        write_bundle(
            job.path,
            selection.images,
            selection.indices,
            selection.verdicts,
            selection.run.classes,
            lambda indices: last_layer_maps(rows[indices], grid),
            about=f"attention from CLS to the patches, last layer of {selection.run.name}, mean of "
            "its heads",
            settings={**settings, "map": {"method": "attention", "layer": "last", "head": "mean"}},
            gain=look.gain,
            resize=look.resize,
            colors=look.colors,
            progress=job.progress,
        )
    except _Cancelled:
        pass
    except VitascopeError as error:
        job.problem = str(error)
    except Exception:
        job.problem = "The zip could not be made; the server's log says why."
        raise
    finally:
        job.ended = True
