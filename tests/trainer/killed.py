"""Train in child processes that die by SIGKILL at random moments, and move and rename the run in between.

Called as `killed.py RECIPE PLACE KILLS`; the output is the folder in which the run ended, and how often it was killed
in which event. One process that has imported everything forks the others: an import takes seconds.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from comfyui_uso.trainer.encoders import Encoders, Gaussian
from comfyui_uso.trainer.reading.recipe_files import make_recipe
from comfyui_uso.trainer.reading.values import read_yaml
from comfyui_uso.trainer.run_folder import CONFIG, read_run
from comfyui_uso.trainer.train import train
from comfyui_uso.uso_model.style import StyleFeatures
from PIL import Image

EVENTS = {
    "encode": ("trainer.data.cache", "write_safetensors"),
    "step": ("trainer.engine.loop", "_gradients"),
    "save": ("trainer.engine.checkpoint", "write_safetensors"),
    "commit": ("trainer.engine.checkpoint", "tell"),
    "prune": ("trainer.engine.loop", "prune"),
    "export": ("trainer.train", "export"),
    "between files": ("trainer.export.files", "read_safetensors"),
    "sample": ("trainer.drawing", "velocity"),
}
"""Function that begins each."""


def encoders() -> Encoders:
    """Return formulas of the mean colour and the prompt's length."""

    def colour(picture: Image.Image) -> float:
        return float(np.asarray(picture).mean()) / 255

    return Encoders(
        latent=lambda picture: Gaussian(torch.full((16, 4, 4), colour(picture)), None),
        style=lambda picture: StyleFeatures(*(torch.full((4, 6), colour(picture) + n) for n in range(3))),
        text=lambda prompt: (torch.full((3, 8), len(prompt) / 10), torch.full((8,), len(prompt) / 10)),
        decode=lambda latents: torch.nn.functional.interpolate(latents[:, :3], scale_factor=8.0),
        judges={},
        names={"latent": "colour", "style": "colour features", "text": "length"},
        release=lambda: None,
    )


def tell_events(pipe: int) -> None:
    """Let every event write its number into a pipe when it begins."""
    for number, (module, name) in enumerate(EVENTS.values()):
        room = importlib.import_module(f"comfyui_uso.{module}")
        setattr(room, name, telling(getattr(room, name), pipe, bytes([number])))


def telling(call: Callable[..., Any], pipe: int, number: bytes) -> Callable[..., Any]:
    def told(*args: Any, **named: Any) -> Any:
        os.write(pipe, number)
        return call(*args, **named)

    return told


def attempt(recipe: dict, folder: Path, event: int | None, count: int, delay: float) -> bool:
    """Train in a child that is killed a moment after an event has begun `count` times; say whether it was."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        code = 1
        try:
            tell_events(writing)
            changed = {**recipe, "loop": {**recipe["loop"], "run_dir": str(folder)}}
            train(read_run(folder) if (folder / CONFIG).is_file() else make_recipe(changed), encoders())
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.close(writing)
    seen = 0
    while told := os.read(reading, 1):
        seen += event is not None and told[0] == event
        if event is not None and seen == count:
            time.sleep(delay)
            os.kill(child, signal.SIGKILL)
            break
    os.close(reading)
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status)
    assert killed or os.waitstatus_to_exitcode(status) == 0, status
    return killed


def main(recipe_file: str, place: str, kills: str) -> None:
    """Kill, move and go on until enough is killed, then let the run end."""
    recipe, chosen = read_yaml(Path(recipe_file)), random.Random(7)
    folder = Path(place) / "run"
    done: Counter[str] = Counter()
    for number in range(int(kills)):
        name = list(EVENTS)[number % len(EVENTS)]
        if name == "encode":
            shutil.rmtree(recipe["data"]["cache"], ignore_errors=True)
        done[name] += attempt(recipe, folder, list(EVENTS).index(name), chosen.randint(1, 2), chosen.random() * 0.02)
        if folder.exists():
            moved = Path(place) / f"place {number % 3}" / f"run-{number}"
            moved.parent.mkdir(exist_ok=True)
            folder.rename(moved)
            folder = moved
    attempt(recipe, folder, None, 0, 0)
    sys.stdout.write(json.dumps({"folder": str(folder), "kills": done}))


if __name__ == "__main__":
    main(*sys.argv[1:])
