"""The commands that train a model: to start a run, to stop it, to go on with it."""

import shlex

import streamlit as st

from core.checkpoint import Run
from core.recipes import RECIPES
from ui.settings import SHIPPED


def show(run: Run, state: str) -> None:
    """Commands for a run of one's own and for this one; `state` as in `training_state`."""
    with st.expander("Train one yourself", icon=":material/terminal:", key="commands"):
        name = st.segmented_control(
            "Recipe", list(RECIPES), default=next(iter(RECIPES)), required=True, key="recipe"
        )
        recipe = RECIPES[name]
        st.code(_start(name, "cifar10", f"checkpoints/my-{name}"), language="bash", wrap_lines=True)
        held_out = f", {recipe.validation:,} images held out to choose the epoch"
        st.caption(
            f"{recipe.epochs} epochs with {recipe.optimizer}"
            + (held_out if recipe.validation else ", the test set chooses the epoch")
            + ". It appears under Model once it has begun; Ctrl-C stops it within a step or two, "
            "and the same command with `--resume` goes on where it stopped."
        )
        if command := run.config.get("command"):
            st.markdown(f"{run.name} was started so (PATH: where your images lie):")
            st.code(command, language="bash", wrap_lines=True)
        if command and state != "ended":
            begin = "Ctrl-C where it runs stops it, and" if state == "going" else "It stopped;"
            st.markdown(f"{begin} this goes on with it:")
            st.code(_resume(run, command), language="bash", wrap_lines=True)


def _start(recipe: str, data: str, out: str) -> str:
    return f"python -m core.train --recipe {recipe} --data {data} --out {out}"


def _resume(run: Run, command: str) -> str:
    """The run's own command, its folder where that lies now."""
    root = SHIPPED.parent
    path = run.path.relative_to(root) if run.path.is_relative_to(root) else run.path
    words = shlex.split(command)
    words[words.index("--out") + 1] = str(path)
    return shlex.join([*words, "--resume"])
