"""Manifests, other trainers' data sets, hashes, cache entries and pictures, damaged and hostile."""

from __future__ import annotations

import contextlib
import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_uso.trainer.data.cache import Cache
from comfyui_uso.trainer.data.check import check
from comfyui_uso.trainer.data.digests import Digests
from comfyui_uso.trainer.data.importers.found import Options
from comfyui_uso.trainer.data.importers.kinds import KINDS, import_rows
from comfyui_uso.trainer.data.manifest import read_manifest, scan_manifest, write_manifest
from comfyui_uso.trainer.data.pictures import open_picture
from comfyui_uso.uso_model.errors import UserError
from PIL import Image

from .mutations import Tally, changed_bytes, changed_header, changed_json, json_text

ROW = {
    "id": "a",
    "target": "t.png",
    "style": ["s.png", "t.png"],
    "content": "c.png",
    "prompt": "a cat",
    "layout": "preserved",
    "scores": {"csd": 0.5},
    "split": "train",
}
UNO = [
    {"prompt": "a", "image_paths": ["s.png", "c.png"], "image_tgt_path": "t.png"},
    {"prompt": "", "image_path": "s.png", "image_tgt_path": "c.png"},
]
MUSUBI = {"image_path": "t.png", "caption": "a", "control_path_0": "s.png", "control_path_1": "c.png"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in "tsc":
        Image.new("RGB", (32, 32), (ord(name), 0, 0)).save(tmp_path / f"{name}.png")
    (tmp_path / "circle.png").symlink_to("circle.png")
    return tmp_path


def damaged(values: list[Any], rng: random.Random) -> bytes:
    """Return lines of which some are changed."""
    lines = [changed_json(value, rng) if rng.random() < 0.7 else value for value in values]
    data = b"".join(json_text(line) + b"\n" for line in lines)
    return changed_bytes(data, rng) if rng.random() < 0.4 else data


def test_manifests(folder: Path, rng: random.Random, rounds: int, tally: Tally) -> None:
    path = folder / "manifest.jsonl"
    for name in ("circle.png", "../x.png", "\0", "a" * 300, "/etc/passwd", ".", "", "t.png/x", "circle.png/x", "~"):
        for place in ("target", "content"):
            path.write_text(json.dumps({**ROW, place: name}) + "\n")
            tally(f"{place} {name[:20]!r}", read_manifest, path)
            tally(f"{place} {name[:20]!r}", lambda: check([path], 32).text().encode())
    for number in range(130 * rounds):
        path.write_bytes(damaged([ROW, {**ROW, "id": "b", "content": None}], rng))
        tally(f"manifest {number}", lambda: [str(row).encode() for row in scan_manifest(path)])
        tally(f"manifest {number}", read_manifest, path)
        tally(f"manifest {number}", lambda: check([path], 32).text().encode())


def test_importers(folder: Path, rng: random.Random, rounds: int, tally: Tally) -> None:
    path, out = folder / "source", folder / "manifest.jsonl"

    def imported(kind: str) -> None:
        write_manifest(import_rows(kind, path, Options(reference="style")).rows, out)
        read_manifest(out)

    for name in ("circle.png", "../x.png", "\0", "a" * 300, "/etc/passwd", ".", "..", "", "t.png/x"):
        path.write_text(json.dumps([{**UNO[0], "image_tgt_path": name}]))
        tally(f"uno {name[:20]!r}", imported, "uno")
        path.write_text(json.dumps({**MUSUBI, "image_path": name}))
        tally(f"musubi {name[:20]!r}", imported, "musubi")
    for number in range(60 * rounds):
        data = json_text(changed_json(UNO, rng))
        path.write_bytes(changed_bytes(data, rng) if rng.random() < 0.3 else data)
        tally(f"uno {number}", imported, "uno")
        path.write_bytes(damaged([MUSUBI, MUSUBI], rng))
        tally(f"musubi {number}", imported, "musubi")


SETS = {
    "ai-toolkit": {
        "config": {"process": [{"trigger_word": "w", "datasets": [{"folder_path": "p", "num_repeats": 2}]}]}
    },
    "simpletuner": [
        {"id": "a", "instance_data_dir": "p", "conditioning_data": ["b"], "repeats": 1, "caption_strategy": "textfile"},
        {"id": "b", "type": "local", "instance_data_dir": "p"},
    ],
    "imagefolder": {"file_name": "t.png", "text": "a", "control_file_name": "c.png", "style": ["s.png"]},
    "uno": [
        {
            "img_path1": "t.png",
            "img_path2": "s.png",
            "caption": {"img_path2": "a"},
            "vlm_filter_cot": {"score_final": 4},
        }
    ],
}
TABLES = {
    "kohya": b"[[datasets]]\nresolution=512\n[[datasets.subsets]]\nimage_dir='p'\nnum_repeats=2\nclass_tokens='a'\n",
    "musubi": b"[[datasets]]\nimage_directory='p'\ncontrol_directory='p'\nnum_repeats=2\ncaption_extension='.txt'\n",
    "imagefolder": b"file_name,text,style\nt.png,a,s.png\nc.png,,\n",
}


def test_files_of_other_trainers(folder: Path, rng: random.Random, rounds: int, tally: Tally) -> None:
    (folder / "p").mkdir()
    for name in "tsc":
        (folder / f"{name}.png").rename(folder / f"p/{name}.png")
        (folder / f"{name}.png").symlink_to(f"p/{name}.png")

    def imported(kind: str, path: Path) -> None:
        write_manifest(import_rows(kind, path, Options(reference="style", skip_missing=True)).rows, folder / "m.jsonl")
        read_manifest(folder / "m.jsonl", None)

    for number in range(25 * rounds):
        for kind, value in SETS.items():
            data = json_text(changed_json(value, rng))
            path = folder / {"ai-toolkit": "a.yaml", "imagefolder": "a.jsonl"}.get(kind, "a.json")
            path.write_bytes(changed_bytes(data, rng) if rng.random() < 0.3 else data)
            tally(f"{kind} {number}", imported, kind, path)
            tally(f"auto {number}", imported, "auto", path)
        for kind, data in TABLES.items():
            path = folder / ("a.csv" if kind == "imagefolder" else "a.toml")
            path.write_bytes(changed_bytes(data, rng))
            tally(f"{kind} {number}", imported, kind, path)
            tally(f"auto {number}", imported, "auto", path)


@pytest.mark.parametrize("kind", ["folder", "absent", "binary", "utf-16", "empty", "circle", "pipe-like", "zeros"])
def test_things_that_are_no_manifest(kind: str, folder: Path, tally: Tally) -> None:
    path = folder / "source"
    if kind == "folder":
        path.mkdir()
    elif kind == "circle":
        path.symlink_to("source")
    elif kind == "pipe-like":
        path = Path("/dev/null")
    elif kind != "absent":
        path.write_bytes(
            {"binary": b"\xff\xfe\x00", "utf-16": '{"id": 1}'.encode("utf-16"), "zeros": bytes(99)}.get(kind, b"")
        )
    tally(kind, lambda: list(scan_manifest(path)))
    tally(kind, read_manifest, path)
    tally(kind, check, [path], 32)
    for importer in ("auto", *KINDS):
        tally(kind, lambda name: list(import_rows(name, path).rows), importer)


def test_hashes_of_pictures(folder: Path, rng: random.Random, rounds: int, tally: Tally) -> None:
    file, picture = folder / "digests.jsonl", folder / "t.png"
    entry = [str(picture), [1, 2, 3], "0" * 64]
    right = Digests(folder / "none").of(picture)
    tally("absent", Digests(file).of, folder / "gone.png")
    for number in range(60 * rounds):
        file.write_bytes(damaged([entry, entry], rng))
        assert tally(f"digests {number}", lambda: Digests(file).of(picture)) == right


@pytest.mark.filterwarnings("ignore")
def test_cache_entries(tmp_path: Path, rng: random.Random, rounds: int, tally: Tally) -> None:
    values = {"mean": torch.linspace(0, 1, 16).reshape(1, 4, 4).half(), "logvar": torch.ones(1, 4, 4).bfloat16()}
    cache = Cache(tmp_path)
    cache.get("a", "recipe", lambda: values)
    path = cache.entry("a", "recipe")
    whole = path.read_bytes()

    def read() -> None:
        shapes = cache.shapes("a", "recipe", lambda: values)
        found = cache.get("a", "recipe", lambda: values)
        assert shapes.keys() == found.keys() == values.keys()
        assert all(
            torch.equal(found[name], values[name]) and found[name].dtype == values[name].dtype for name in values
        )

    for number in range(150 * rounds):
        path.write_bytes(changed_header(whole, rng) if number % 2 else changed_bytes(whole, rng))
        tally(f"entry {number}", read)
    with contextlib.suppress(UserError):
        tally("not finite", cache.get, "b", "recipe", lambda: {"x": torch.tensor(float("nan"))})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "MPO", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "PPM"])
def test_pictures(kind: str, tmp_path: Path, rng: random.Random, rounds: int, tally: Tally) -> None:
    noise = Image.frombytes("RGB", (48, 32), random.Random(0).randbytes(48 * 32 * 3))
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    noise.save(buffer, kind, **({} if kind in ("BMP", "GIF", "PPM") else {"exif": exif}))
    path = tmp_path / "picture"
    for number in range(40 * rounds):
        path.write_bytes(changed_bytes(buffer.getvalue(), rng, 400 if number % 2 else None))
        tally(f"{kind} {number}", open_picture, path)
