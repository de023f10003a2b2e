"""A drawer that costs nothing, and a process that draws with it until it is killed.

Called as `cheap.py BENCH RUN KILLS`; the output is how many pictures there were when each process died. One process
that has imported everything forks the others: an import takes seconds.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from comfyui_uso.trainer.evaluate.bench import Row
from comfyui_uso.trainer.evaluate.drawers.drawer import Inputs
from comfyui_uso.trainer.evaluate.run import draw_bench
from PIL import Image


class Cheap:
    """Draws noise that depends on the whole batch, as sums of a real network do in their last digits."""

    batch = 4

    def __init__(self, name: str = "cheap", side: int = 32):
        self.name, self.side, self.asked = name, side, []

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "settings": {"side": self.side}}

    def __call__(self, rows: Sequence[Row], samples: Sequence[int], seeds: Sequence[int]) -> list[Image.Image]:
        self.asked.append([f"{row.id}_{sample}" for row, sample in zip(rows, samples, strict=True)])
        noise = np.random.default_rng(list(seeds)).integers(0, 255, (len(rows), self.side, self.side, 3), np.uint8)
        return [Image.fromarray(picture) for picture in noise]


def cheap_drawer(inputs: Inputs) -> Cheap:
    """Return the drawer, as `--drawer` names it."""
    return Cheap(*inputs.texts)


class Telling(Cheap):
    """Writes into a pipe whenever it begins to draw."""

    def __init__(self, pipe: int):
        super().__init__(side=256)
        self.pipe = pipe

    def __call__(self, rows: Sequence[Row], samples: Sequence[int], seeds: Sequence[int]) -> list[Image.Image]:
        os.write(self.pipe, b".")
        return super().__call__(rows, samples, seeds)


def main(bench: str, folder: str, kills: str) -> None:
    """Draw in children that die at random moments, then in one that ends."""
    chosen, seen = random.Random(3), []
    for number in range(int(kills) + 1):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            code = 1
            try:
                draw_bench(Path(bench), Path(folder), Telling(writing))
                code = 0
            finally:
                sys.stderr.flush()
                os._exit(code)
        os.close(writing)
        if number < int(kills):
            for _ in range(chosen.randint(1, 3)):
                os.read(reading, 1)
            time.sleep(chosen.random() * 0.03)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            seen.append(len(list(Path(folder, "pictures").glob("*.png"))))
        else:
            while os.read(reading, 1):
                pass
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 0
        os.close(reading)
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
