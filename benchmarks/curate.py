"""Times and memory of curation: start, workers kept busy, resuming, and reading a large ledger.

    python benchmarks/curate.py [--lines 1000000] [--rows 10000] [--calls 20]

Printed are: seconds from the start of `uso curate run` to the first call of an expert; wall time over ideal time with
an expert of one second on two workers; seconds of a second start on rows that are through, whole command; seconds and
memory of reading a ledger. Each is taken in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from comfyui_uso.trainer.curate.entry import Entry
from comfyui_uso.trainer.curate.ledger import FOLDER, Ledger
from comfyui_uso.trainer.curate.pictures import Stored
from comfyui_uso.trainer.curate.recipe import ExpertSettings
from comfyui_uso.trainer.curate.rows import rows_of
from comfyui_uso.trainer.curate.sources.source import Picture
from comfyui_uso.trainer.curate.steps import NAMES, Request
from PIL import Image

PER_ROW = len(NAMES)


class Sleeper:
    """Waits, and says when it was called."""

    def __init__(self, settings: ExpertSettings):
        self.workers, self._told = settings.workers or 1, settings.settings

    def describe(self) -> dict[str, Any]:
        """Return nothing that changes."""
        return {"kind": "sleeper"}

    def __call__(self, request: Request) -> Image.Image:
        """Return a small picture of the seed."""
        with Path(self._told["calls"]).open("a", encoding="utf-8") as file:
            file.write(f"{time.time()}\n")
        time.sleep(self._told["seconds"])
        return Image.new("RGB", (16, 16), (request.seed % 256, request.seed // 256 % 256, 0))


def expert(settings: ExpertSettings) -> Sleeper:
    """Make it."""
    return Sleeper(settings)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--calls", type=int, default=20)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.read is not None:
        read(args.read)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if args.calls:
            busy(folder / "busy", args.calls)
        if args.rows:
            resumed(folder / "resumed", args.rows)
        if args.lines:
            (folder / "ledger").mkdir()
            large(folder / "ledger", args.lines)
            subprocess.run([sys.executable, __file__, "--read", str(folder / "ledger")], check=True)


def busy(folder: Path, calls: int) -> None:
    """Print the time to the first call, and what the engine adds to the expert's."""
    recipe = made(folder, calls // 2, 1.0, 2)
    began = time.time()
    curate(folder, recipe)
    ended = time.time()
    first = float((folder / "calls").read_text(encoding="utf-8").split()[0])
    print(f"first call after {first - began:.2f} s")
    print(f"{calls} calls of 1 s on 2 workers in {ended - first:.2f} s: {(ended - first) / (calls / 2):.3f} of ideal")


def resumed(folder: Path, rows: int) -> None:
    """Print how long a start takes that finds all done."""
    recipe = made(folder, rows // 2, 0.0, 4)
    began = time.time()
    curate(folder, recipe)
    made_in = time.time() - began
    began, before = time.time(), resource.getrusage(resource.RUSAGE_CHILDREN)
    curate(folder, recipe)
    seconds, after = time.time() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{rows} rows made in {made_in:.1f} s, found done in {seconds:.2f} s ({cpu:.2f} s of a processor)")


def made(folder: Path, pictures: int, seconds: float, workers: int) -> Path:
    """Make a source whose rows have one call each, and return a recipe."""
    (folder / "source").mkdir(parents=True)
    for number in range(pictures):
        Image.new("RGB", (16, 16), (0, number % 256, number // 256)).save(folder / f"source/{number:06d}.png")
    told = {"calls": str(folder / "calls"), "seconds": seconds}
    settings = {
        "source": {"path": str(folder / "source")},
        "experts": {"sleeper": {"kind": "curate:expert", "workers": workers, "settings": told}},
        "style": {"expert": "sleeper"},
        "reject": {},
        "width": 16,
        "height": 16,
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return folder / "recipe.yaml"


def curate(folder: Path, recipe: Path) -> None:
    """Run `uso curate run`."""
    paths = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "comfyui_uso", "curate", "run", str(folder / "run"), str(recipe)]
    subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}, check=True, stderr=subprocess.DEVNULL)


def large(run: Path, lines: int) -> None:
    """Write a journal as a run of six steps has it, in eight files."""
    (run / FOLDER).mkdir()
    files = [(run / FOLDER / f"{number:032x}.jsonl").open("wb") for number in range(8)]
    for row in range(lines // PER_ROW):
        for entry in entries(row):
            files[row % len(files)].write(entry.line())
    for file in files:
        file.close()


def entries(number: int) -> list[Entry]:
    """Return what six steps leave of a row."""
    from types import SimpleNamespace

    config: Any = SimpleNamespace(kept=1, shifted=0)
    about = {"style": f"style-{number % 500}", "prompt": f"a red teapot on table {number}", "licence": "CC0"}
    picture = Picture(f"styles/{number % 500}/{number:07d}.png", f"{number}-1700000000000000000", about, lambda: b"")
    (row,) = rows_of([picture], config, ["a teapot", "a fox"])
    values: dict[str, dict[str, Any]] = {
        "target": {"target_width": 1024, "target_height": 1024},
        "look": {"style_width": 1024, "style_height": 1024, "phash_style": number % 64, "phash_content": 3},
        "likeness": {"csd": number / 1e6, "csd_content": 0.1, "dino": 0.7, "dino_style": number / 2e6},
        "vlm": {"vlm_style": 4.0, "vlm_subject": 3.0},
    }
    return [
        Entry(
            row.id,
            step,
            f"{number * PER_ROW + place:032x}",
            0,
            "done",
            1.7e9 + number,
            "",
            {step: Stored(f"{number * PER_ROW + place:064x}", 1_500_000 + number)} if place < 3 else {},
            values.get(step, {}),
            {"tokens_in": 900, "tokens_out": 80} if step == "vlm" else {},
            1.25,
        )
        for place, step in enumerate(NAMES)
    ]


def read(run: Path) -> None:
    """Print how long reading takes, and the memory."""
    size = sum(path.stat().st_size for path in (run / FOLDER).iterdir())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began, cpu = time.perf_counter(), time.process_time()
    ledger = Ledger(run)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    told = {"lines": len(ledger), "megabytes": size >> 20, "before_mb": before >> 10, "peak_mb": peak >> 10}
    print(f"ledger read in {seconds:.1f} s ({cpu:.1f} s of a processor): {json.dumps(told)}")


if __name__ == "__main__":
    main()
