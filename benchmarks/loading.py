"""How long images take to open:  python benchmarks/loading.py PATH/test.parquet

Prints seconds for decoding the file (first time) and for mapping the decoded array (every later
time), the median of several runs each. The target for 10,000 images is under 3 s the first time.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

RUNS = 5


def main(source: str) -> None:
    first, later = [], []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as cache:
            os.environ["VITASCOPE_CACHE"] = cache
            first.append(seconds(source))
            later.append(seconds(source))
    print(f"decoded  {statistics.median(first):.2f} s  ({min(first):.2f} to {max(first):.2f})")
    print(f"mapped   {statistics.median(later):.2f} s  ({min(later):.2f} to {max(later):.2f})")


def seconds(source: str) -> float:
    from core.data import open_images

    started = time.perf_counter()
    open_images(source)
    return time.perf_counter() - started


if __name__ == "__main__":
    main(sys.argv[1])
