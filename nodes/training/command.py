"""The words of `uso train` for a node's inputs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...uso_model.errors import UserError
from ...uso_model.untrusted import quoted
from .folders import training_folder
from .sets import TrainingSet

__all__ = ["LAUNCHER", "prompt_setting", "run_settings", "train_words", "typed_settings"]

LAUNCHER = Path(__file__).resolve().parents[2] / "trainer/launcher/from_folder.py"
"""What runs the command line of this folder, whatever it is called and wherever it lies."""

_OURS = ("data", "data.manifests", "data.cache", "family", "loop.run_dir", "name", "out")
"""Settings that the node makes, so that all it writes stays in ComfyUI's folders."""


def train_words(python: str, recipe: Path, settings: Sequence[str], allow_change: bool = False) -> list[str]:
    """Return the command that trains, as a list of words for no shell."""
    change = ["--allow-change"] if allow_change else []
    return [python, str(LAUNCHER), "train", "--progress", "json", *change, str(recipe), *settings]


def typed_settings(text: str) -> dict[str, str]:
    """Return the settings of a text with one `name=value` a line; what follows a # at the start of a line is a note.

    Raises:
        UserError: a line is none, or sets what the node sets.
    """
    found = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("#"):
            continue
        name, separator, value = line.partition("=")
        name = name.strip()
        if not separator or not name or name.startswith("-"):
            raise UserError(
                f"Got the setting {quoted(line)!r}, expected name=value, such as lora.alpha=8: correct that line."
            )
        if any(ours == name or ours.startswith(f"{name}.") for ours in _OURS):
            which = "which" if name in _OURS else "a section of which a part"
            raise UserError(
                f"Got the setting {quoted(name)!r}, {which} follows from the node's inputs, expected others, such as "
                "lora.alpha=8: leave that line out."
            )
        found[name] = value.strip()
    return found


def run_settings(
    made: TrainingSet, run: Path, given: Mapping[str, str | float | None], typed: Mapping[str, str]
) -> list[str]:
    """Return the settings of a run: where it reads and writes, and those inputs that are not left to the recipe.

    Args:
        made: the set.
        run: folder of the run.
        given: settings and their values; None leaves one to the recipe.
        typed: settings that the user has typed, which win.
    """
    ours = {
        "data": made.manifest,
        # One for all sets: an encoding is kept under what it was made of, so that sets may share pictures.
        "data.cache": training_folder("cache"),
        "loop.run_dir": run,
        "out": run / "out",
        "loop.loggers": "[]",  # TensorBoard would be one more package to install
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    return [f"{name}={value}" for name, value in {**ours, **chosen, **typed}.items()]


def prompt_setting(text: str, made: TrainingSet) -> str | None:
    """Return the setting for samples of prompts, one a line, each with a picture of the set as its reference."""
    role = "style" if made.kind == "style" else "content"
    # Half a character, which a graph can hold, would be written nowhere.
    lines = map(str.strip, text.encode("utf-8", "replace").decode().splitlines())
    prompts = [{"prompt": line, role: [str(made.first)]} for line in lines if line]
    told = json.dumps(prompts, ensure_ascii=False)
    # In YAML, unlike JSON, a character beyond 16 bits is one escape and not two.
    return "".join(c if " " <= c <= "~" else f"\\U{ord(c):08x}" for c in told) if prompts else None
