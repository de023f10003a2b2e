"""Sample folders as the documentation of each trainer shows them, with tiny pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from comfyui_uso.trainer.data.importers.found import Options
from comfyui_uso.trainer.data.importers.kinds import Imported, import_rows
from comfyui_uso.trainer.data.manifest import read_manifest, write_manifest
from PIL import Image


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes files by name: text, an object as JSON, or a tiny picture for None."""
    made: dict[str, bytes] = {}

    def picture(ending: str) -> bytes:
        if ending not in made:
            Image.new("RGB", (16, 16)).save(tmp_path / f"made{ending}")
            made[ending] = (tmp_path / f"made{ending}").read_bytes()
            (tmp_path / f"made{ending}").unlink()
        return made[ending]

    def write(*pictures: str, **others: object) -> Path:
        for name in pictures:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix in (".png", ".jpg", ".webp"):
                path.write_bytes(picture(path.suffix))
            else:
                path.write_text(f"caption of {path.stem}\n", encoding="utf-8")
        for name, content in others.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return tmp_path

    return write


@pytest.fixture
def found(tmp_path: Path) -> Callable[..., list[tuple]]:
    """Return a function that imports a source, through a manifest and back, and gives rows with short paths."""

    def short(path: Path) -> str:
        return path.relative_to(tmp_path).as_posix()

    def read(kind: str, name: str, **options: object) -> list[tuple]:
        imported: Imported = import_rows(kind, tmp_path / name, Options(**options))
        folder = tmp_path / name if (tmp_path / name).is_dir() else (tmp_path / name).parent
        write_manifest(imported.rows, folder / "manifest.jsonl")
        rows = read_manifest(folder / "manifest.jsonl", None)
        (folder / "manifest.jsonl").unlink()
        assert rows == list(imported.rows) and all(path.is_file() for row in rows for path in row.pictures)
        return [
            (short(row.target), [*map(short, row.style)], [*map(short, row.contents)], row.prompt, row.weight)
            for row in rows
        ]

    return read
