"""Sources of benches: pictures of noise, and lists of them."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image


def photo(folder: Path, name: str, seed: int) -> dict[str, Any]:
    """Write a picture of noise and return its entry in a list."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (20, 24, 3), np.uint8)).save(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"path": name, "licence": "CC0", "source": "made here", "sha256": digest}


def entries(folder: Path, contents: int = 3, styles: int = 2) -> list[dict[str, Any]]:
    """Return entries of a list: contents of two photos, the first a person, styles, and prompts of each form."""
    found: list[dict[str, Any]] = []
    for n in range(contents):
        pictures = [photo(folder, f"content{n}-{k}.png", 10 * n + k) for k in range(2)]
        type_, name = ("person", "woman") if n == 0 else ("object", "clock")
        found.append({"kind": "content", "id": f"c{n}", "type": type_, "name": name, "pictures": pictures})
    for n in range(styles):
        found.append({"kind": "style", "id": f"s{n}", "pictures": [photo(folder, f"style{n}.png", 1000 + n)]})
    for id_, form, text, whom in (
        ("p0", "descriptive", "The {subject} on a beach", "any"),
        ("p1", "descriptive", "The {subject} reads a book", "person"),
        ("p2", "instructive", "Transform the style of image into Ghibli style", "any"),
        ("p3", "descriptive_style", "Ghibli style, the {subject} is in the snow", "any"),
    ):
        found.append({"kind": "subject_prompt", "id": id_, "form": form, "text": text, "for": whom})
    found += [{"kind": "style_prompt", "id": f"q{n}", "text": f"A villa on coast {n}"} for n in range(2)]
    return found


def json_list(folder: Path, of: list[dict[str, Any]]) -> Path:
    """Write entries as JSON Lines."""
    path = folder / "list.jsonl"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in of), encoding="utf-8")
    return path


def yaml_list(folder: Path, of: list[dict[str, Any]]) -> Path:
    """Write entries as YAML."""
    sections: dict[str, list[dict[str, Any]]] = {}
    for entry in of:
        sections.setdefault(f"{entry['kind']}s", []).append({k: v for k, v in entry.items() if k != "kind"})
    path = folder / "list.yaml"
    path.write_text(yaml.safe_dump(sections, sort_keys=False), encoding="utf-8")
    return path


def claimed(path: Path, width: int, height: int) -> Path:
    """Write a small PNG that claims another size."""
    Image.new("RGB", (4, 4), "red").save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)
    return path
