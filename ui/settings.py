"""What the person who starts the dashboard decides: where images and models lie."""

import argparse
import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SHIPPED = Path(__file__).parent.parent / "checkpoints"


@dataclass(frozen=True)
class Settings:
    """Places on disk, from the command line, else from the environment."""

    data: tuple[Path, ...]
    checkpoints: tuple[Path, ...]  # the shipped runs are always among them


@cache
def settings() -> Settings:
    """`streamlit run dashboard.py -- --data PATH --checkpoints PATH`, each as often as you like.

    Where an option is missing, VITASCOPE_DATA and VITASCOPE_CHECKPOINTS are read: paths separated
    like those of PATH.
    """
    parser = argparse.ArgumentParser(prog="streamlit run dashboard.py --")
    parser.add_argument("--data", action="append", type=Path, metavar="PATH")
    parser.add_argument("--checkpoints", action="append", type=Path, metavar="PATH")
    # unknown options belong to whoever runs the script, a test runner for one
    given, _ = parser.parse_known_args(sys.argv[1:])
    data = given.data or _paths("VITASCOPE_DATA")
    checkpoints = given.checkpoints or _paths("VITASCOPE_CHECKPOINTS")
    return Settings(
        tuple(path.resolve() for path in data),  # "samples" may be a folder's name, too
        (SHIPPED, *(path.resolve() for path in checkpoints)),
    )


def _paths(variable: str) -> list[Path]:
    return [Path(part) for part in os.environ.get(variable, "").split(os.pathsep) if part]
