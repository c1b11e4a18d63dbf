"""All chosen images as one zip: written in the background, with progress and a way to stop it."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import streamlit as st

from core.attention import last_layer_maps
from core.bundle import write_bundle
from core.files import cache_folder
from core.progress import Progress
from ui import jobs, links
from ui.display import Display
from ui.sidebar import Selection


@dataclass
class _Zip:
    """A zip that a job writes; its folder goes with the visit that asked for it."""

    name: str
    job: jobs.Job
    folder: TemporaryDirectory

    @property
    def path(self) -> Path:
        return Path(self.folder.name) / "vitascope.zip"


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
        archive = st.session_state.get("bundle")
        if archive and not archive.job.ended:
            st.fragment(jobs.follow, run_every=jobs.SECONDS_A_LOOK)(archive.job)
            return
        if archive and archive.job.problem:
            st.error(archive.job.problem)
        elif archive and not archive.job.cancelled.is_set():
            st.download_button(
                f"Download ({archive.path.stat().st_size / 1e6:.1f} MB)",
                archive.path.read_bytes,
                file_name=f"{archive.name}.zip",
                mime="application/zip",
                icon=":material/download:",
                type="primary",
                width="stretch",
                on_click="ignore",
            )
            st.caption(f"{archive.job.total:,} images: {links.plain(archive.name)}")
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


def _start(selection: Selection, look: Display, settings: dict) -> None:
    name = f"{selection.run.name} on {selection.images.name}".replace("/", "-")
    folder = TemporaryDirectory(dir=cache_folder("exports"), ignore_cleanup_errors=True)
    archive = _Zip(name, jobs.Job(len(selection.indices)), folder)
    st.session_state["bundle"] = archive
    rows = selection.cls_rows  # here, where reading them may show its progress
    archive.job.start(
        lambda progress: _write(archive.path, selection, rows, look, settings, progress), "The zip"
    )


def _write(
    path: Path, selection: Selection, rows, look: Display, settings: dict, progress: Progress
) -> None:
    grid = selection.run.model.config.grid
    write_bundle(
        path,
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
        progress=progress,
    )
