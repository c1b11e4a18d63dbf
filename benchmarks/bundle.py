"""How long a bundle takes:  python benchmarks/bundle.py PATH/test.parquet --images 1000

Writes images with the maps of their attention's rollout, which the model makes meanwhile. Prints
seconds, images/s, the process's highest memory and how much of it came with the writing, and the
zip's size. The target for 1,000 images is under a minute and under 500 MB added.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

sys.path.insert(0, str(Path(__file__).parent.parent))

from core.bundle import CHUNK, write_bundle
from core.checkpoint import load_run
from core.data import open_images
from core.evaluate import predict
from core.explain import explain
from core.selection import verdicts


def main(
    source: Annotated[str, typer.Argument(help="What core.data.open_images opens.")],
    images: Annotated[int, typer.Option(help="How many to write.", min=1)] = 1000,
    model: Annotated[Path, typer.Option(help="A run folder.")] = Path("checkpoints/tutorial"),
) -> None:
    run, opened = load_run(model), open_images(source)
    chosen = np.arange(min(images, len(opened)))
    # in chunks as small, so that this does not set the memory's peak
    probabilities = predict(run.model, opened.images, batch_size=CHUNK)
    columns = verdicts(opened.labels_in(run.classes), probabilities)

    def maps(positions: np.ndarray) -> np.ndarray:
        return explain(run.model, opened.images[positions], "rollout").cpu().numpy()

    with tempfile.TemporaryDirectory() as folder:
        path, before = Path(folder, "bundle.zip"), peak_memory()
        started = time.perf_counter()
        write_bundle(
            path,
            opened,
            chosen,
            columns,
            run.classes,
            maps,
            about="their rollout",
            settings={"model": str(model)},
        )
        seconds = time.perf_counter() - started
        size = path.stat().st_size / 1e6
    print(
        f"written  {len(chosen):,} images in {seconds:.1f} s: {len(chosen) / seconds:,.0f} images/s"
    )
    print(f"memory   {peak_memory():,.0f} MB at most, {peak_memory() - before:,.0f} of them added")
    print(f"zip      {size:,.1f} MB")


def peak_memory() -> float:
    """The most that this process has held so far, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes of what getrusage counts
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


if __name__ == "__main__":
    typer.run(main)
