"""The model card of a run folder, written from what the folder holds."""

from pathlib import Path

import pandas as pd

from core import evaluate
from core.checkpoint import Run, load_run


def model_card(folder: str | Path) -> str:
    """README.md of a run folder that `core.train` wrote, as Markdown.

    Raises:
        CheckpointError: the folder does not open.
    """
    run = load_run(folder)
    about = run.config
    size = run.model.config
    rows = {
        "Model": f"ViT, patch {size.patch_size}, {size.width} wide, {size.layers} layers, "
        f"{size.heads} heads, {run.model.parameter_count:,} parameters",
        "Started from": _start_words(about.get("start")),
        "Trained on": _set_words(about["data"]["train"]),
        "Tested on": _set_words(about["data"]["test"]),
        "Test accuracy": _accuracy_words(run),
        "Kept epoch": _epoch_words(run),
        "Hardware": _hardware_words(about),
        "Time": _time_words(run.history),
        "Versions": ", ".join(f"{name} {version}" for name, version in about["versions"].items()),
    }
    lines = [f"| {name} | {words} |" for name, words in rows.items() if words]
    recipe = about["recipe"]
    settings = ", ".join(f"{name} {value}" for name, value in recipe.items() if name != "name")
    return f"""# {run.name}

| | |
| --- | --- |
{chr(10).join(lines)}

Recipe `{recipe["name"]}`: {settings}.

## Reproduce

    {about["command"]}

## Limits

- {_choice_words(about)}
- It knows {len(run.classes)} classes and nothing else: {", ".join(run.classes)}.
- It sees {size.image_size}×{size.image_size} pixels in a grid of {size.grid[0]}×{size.grid[1]} \
patches: its attention maps cannot be finer than that.
"""


def _choice_words(about: dict) -> str:
    held_out = about["recipe"].get("validation", 0)
    if held_out:
        return (
            f"{held_out:,} training images, held out, chose the epoch that was kept; the test set "
            "had no part in it."
        )
    return (
        "The test set also chose the epoch that was kept, so the accuracy is a little optimistic."
    )


def _start_words(start: dict | None) -> str:
    if not start:
        return ""
    words = f"trained weights ({start['weights']})"
    if start["freeze"]:
        words += f"; the patch embedding and {start['freeze']} blocks stayed as they were"
    return words


def _hardware_words(about: dict) -> str:
    words = [about["hardware"], about["precision"]]
    if about.get("processes", 1) > 1:
        words.insert(1, f"{about['processes']} processes")
    return ", ".join([*words, "compiled"] if about["compiled"] else words)


def _set_words(about: dict) -> str:
    return f"{about['name']}: {about['images']:,} images"


def _accuracy_words(run: Run) -> str:
    results = evaluate.test_results(run)
    if results is None:
        return "not yet measured: that is done once, when the training has ended"
    share, count = evaluate.accuracy(*results), len(results[0])
    low, high = evaluate.accuracy_interval(share, count)
    return (
        f"{share:.2%} (one run; {low:.2%} to {high:.2%} with 95 % confidence, for the size of the "
        "test set)"
    )


def _time_words(history: pd.DataFrame) -> str:
    seconds = history["seconds"].sum()
    time = f"{seconds:.0f} seconds" if seconds < 100 else f"{seconds / 60:.0f} minutes"
    speed = history["images_per_second"].median()
    return f"{time} for {len(history)} epochs, median {speed:,.0f} images/s"


def _epoch_words(run: Run) -> str:
    epoch = run.kept_epoch
    if not epoch:
        return "none yet"
    loss = run.history.set_index("epoch").loc[epoch, "val_loss"]
    return f"{epoch} of {len(run.history)}, validation loss {loss:.4f}"
