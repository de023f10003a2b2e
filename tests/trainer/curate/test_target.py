"""Every file of a source is read as training reads it, or rejected with the reason; the run goes on."""

from __future__ import annotations

import io
import json
import struct
import zlib

import numpy as np
import pytest
from comfyui_uso.trainer.curate.making.target import ReadTarget
from comfyui_uso.trainer.curate.pictures import Pictures
from comfyui_uso.trainer.curate.recipe import SourceSettings
from comfyui_uso.trainer.curate.run.worker import do
from comfyui_uso.trainer.curate.sources import source
from comfyui_uso.trainer.curate.sources.open import source_pictures
from comfyui_uso.trainer.curate.steps import Row, Task
from comfyui_uso.trainer.data.check import check
from comfyui_uso.trainer.data.pictures import open_picture
from PIL import Image


@pytest.fixture
def read(tmp_path):
    """Return a function that puts a file into a folder and gives the entry of the step that reads it."""

    def read_one(name, data, before=lambda path: None):
        folder = tmp_path / "source"
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
        pictures = source_pictures(SourceSettings(path=folder))
        before(folder / name)
        step = ReadTarget(pictures)
        key = next(iter(pictures))
        row = Row(Row.id_of(key, "shifted", 0), key, pictures[key].fingerprint, "shifted", about=pictures[key].about)
        return do(step, Task(row, step.plan, "0" * 32, 0, {}), Pictures(tmp_path / "run"))

    return read_one


def turned():
    data, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.linear_gradient("L").resize((64, 32)).convert("RGB").save(data, "JPEG", exif=exif, quality=95)
    return data.getvalue()


def deep():
    data = io.BytesIO()
    Image.fromarray((np.arange(1024, dtype=np.uint16) * 64).reshape(32, 32)).save(data, "PNG")
    return data.getvalue()


def claims(width, height):
    """Return a PNG of a pixel that claims a size."""
    data = io.BytesIO()
    Image.new("1", (1, 1)).save(data, "PNG")
    told = bytearray(data.getvalue())
    told[16:24] = struct.pack(">II", width, height)
    told[29:33] = struct.pack(">I", zlib.crc32(told[12:29]))
    return bytes(told)


@pytest.mark.parametrize(
    ("name", "kind", "mode"), [("a.gif", "GIF", "P"), ("a.jpg", "JPEG", "CMYK"), ("a.png", "PNG", "RGBA")]
)
def test_read_as_training_reads_it(name, kind, mode, read, encoded, tmp_path):
    entry = read(name, encoded(7, kind, mode))
    assert entry.state == "done" and entry.values == {"target_width": 32, "target_height": 24}
    stored = Pictures(tmp_path / "run").open(entry.pictures["target"])
    assert stored.tobytes() == open_picture(tmp_path / "source" / name).tobytes()


@pytest.mark.parametrize(("data", "size"), [(turned(), (32, 64)), (deep(), (32, 32))], ids=["turned", "16 bits"])
def test_turned_and_deep(data, size, read, tmp_path):
    entry = read("a.png", data)  # named as another kind, too
    stored = Pictures(tmp_path / "run").open(entry.pictures["target"])
    assert stored.size == size and stored.tobytes() == open_picture(tmp_path / "source/a.png").tobytes()
    assert np.asarray(stored).max() > 200, "16 bits are scaled, not clipped"


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.png", b"", "it is none of PNG, JPEG"),
        ("a.png", b"words for a picture", "it is none of"),
        ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "it is none of"),
        ("a.png", claims(30_000, 30_000), "more than 100 megapixels"),
        ("a.png", claims(13_300, 13_300), "more than 100 megapixels"),
        ("a.psd", b"8BPS", "it is none of"),
        ("a.jpg", turned()[:300], "cannot be read as a picture"),
        ("a.png", deep()[:-30], "cannot be read as a picture"),
    ],
)
def test_rejected_with_the_reason(name, data, said, read):
    entry = read(name, data)
    assert entry.state == "rejected" and said in entry.reason
    assert entry.reason.startswith(f"{name} cannot be read as a picture (")


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (15, 400), (16, 16), (512, 16), (513, 16), (10, 320), (10, 321)])
def test_rejected_where_check_refuses_it_or_no_content_reference_can_be_made(size, read, encoded, tmp_path):
    entry = read("a.png", encoded(size=size))
    manifest = tmp_path / "source/manifest.jsonl"
    manifest.write_text('{"id": "1", "target": "a.png", "style": ["a.png"], "content": "a.png"}')
    refused = any("less than one token" in text for text in check([manifest], size=32).problems)
    assert entry.state == ("rejected" if refused else "done"), entry.reason
    if refused:
        assert "pixels, less than one token of 16" in entry.reason or "too narrow" in entry.reason


def test_too_large_a_file(read, encoded, monkeypatch):
    monkeypatch.setattr(source, "LARGEST", 10)
    entry = read("a.png", encoded())
    assert entry.state == "rejected" and "expected at most 10 of a picture" in entry.reason


def test_a_file_that_is_gone_is_tried_again(read, encoded):
    entry = read("a.png", encoded(), lambda path: path.unlink())
    assert entry.state == "failed" and entry.reason == "a.png cannot be read (No such file or directory)"
    entry = read("a.png", encoded(), lambda path: (path.unlink(), path.mkdir()))
    assert entry.state == "rejected" and "a folder" in entry.reason
    json.loads(entry.line())
