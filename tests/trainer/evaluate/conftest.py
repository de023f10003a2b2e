"""A bench of a few rows, and pictures for lists."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from comfyui_uso.trainer.evaluate.bench import Bench, Picture, Row, write_bench
from PIL import Image


@pytest.fixture
def write_small_bench(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a bench of 32 x 32 with a style and a subject picture."""

    def write(rows: int = 6, samples: int = 2, name: str = "bench", **settings: object) -> Path:
        folder = tmp_path / name
        pictures = {}
        for key, colour in (("style", "red"), ("cat", "grey")):
            data = BytesIO()
            Image.new("RGB", (40, 24), colour).save(data, "PNG")
            digest = hashlib.sha256(data.getvalue()).hexdigest()
            path = Path("pictures", f"{digest}.png")
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data.getvalue())
            pictures[key] = Picture(path=path, sha256=digest)
        found = []
        for number in range(rows):
            task = ("subject", "style")[number % 2]
            fed = {"content": "cat", "subject": "cat"} if number % 2 == 0 else {"style": "style", "style_name": "red"}
            found.append(
                Row(id=f"row-{number:03d}", task=task, prompt=f"a {number}", prompt_id="a", samples=samples, **fed)
            )
        bench = Bench(protocol="small", width=32, height=32, steps=2, pictures=pictures, **settings)
        write_bench(folder, bench, found)
        return folder

    return write
