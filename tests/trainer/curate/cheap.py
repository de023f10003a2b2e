"""A run of a cheap expert."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from comfyui_uso.trainer.curate.ledger import Ledger
from comfyui_uso.trainer.curate.recipe import CurateConfig
from comfyui_uso.trainer.curate.run_folder import candidates, read_run

from .cheap_expert import noise

DRAWN = ("style", "content")
HERE = Path(__file__).parent
"""Where `cheap_expert` is found by its own name."""


def settings(folder: Path, rows: int = 4, **of_expert: Any) -> dict[str, Any]:
    """Make a source of so many pictures, each of which gives two rows, and return settings."""
    source = folder / "source"
    source.mkdir(exist_ok=True)
    for number in range(rows // 2):
        noise(number).save(source / f"{number:05d}.png")
    top = {name: of_expert.pop(name) for name in ("devices", "workers") if name in of_expert}
    told = {"kind": "cheap_expert:expert", **top, "settings": {"calls": str(folder / "calls"), **of_expert}}
    return {
        "source": {"path": str(source)},
        "width": 16,
        "height": 16,
        "experts": {"cheap": told},
        "style": {"expert": "cheap"},
        "content_kept": {"expert": "cheap"},
        "content_shifted": {"expert": "cheap"},
        "reject": {},  # it paints noise
    }


def config(folder: Path, rows: int = 4, **of_expert: Any) -> CurateConfig:
    """Return them checked."""
    return CurateConfig.model_validate(settings(folder, rows, **of_expert))


def calls(folder: Path) -> int:
    """Return how often the expert was called."""
    path = folder / "calls"
    return len(path.read_text(encoding="utf-8").splitlines()) if path.exists() else 0


def recipe(folder: Path, rows: int = 4, **of_expert: Any) -> Path:
    """Write them as a recipe."""
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(settings(folder, rows, **of_expert)), encoding="utf-8")
    return path


def environment(path: Path = HERE) -> dict[str, str]:
    """Return an environment in which other processes find the expert, which lies in a folder."""
    paths = [str(path), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}


def command(*arguments: str | Path) -> list[str]:
    """Return a command line of `uso curate`."""
    return [sys.executable, "-m", "comfyui_uso", "curate", *map(str, arguments)]


def start(folder: Path, *arguments: str | Path, path: Path = HERE) -> subprocess.Popen[str]:
    """Start `uso curate run` on the recipe of a folder."""
    line = command("run", folder / "run", folder / "recipe.yaml", *arguments)
    return subprocess.Popen(
        line, env=environment(path), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def whole(folder: Path, rows: int) -> None:
    """Make sure that a run has every row once, and that every hash is right."""
    run = folder / "run"
    _, pipeline = read_run(run)
    ledger = Ledger(run)
    found = list(candidates(pipeline, ledger))
    assert len(found) == rows and {one.standing for one in found} == {"complete"}
    assert all(ledger.pictures.proves(stored) for one in found for stored in one.pictures.values())
    assert all(len(one.pictures) == 3 for one in found) and not ledger.damaged
