"""Pictures of strangers: only named formats are decoded, none without a bound, and no program is started."""

from __future__ import annotations

import ast
import io
import os
import struct
import subprocess
import zlib
from pathlib import Path

import comfyui_uso
import numpy as np
import pytest
from comfyui_uso.trainer.data.check import check
from comfyui_uso.trainer.data.importers.found import Options
from comfyui_uso.trainer.data.importers.kinds import import_rows
from comfyui_uso.trainer.data.pictures import open_picture
from comfyui_uso.uso_model import images
from comfyui_uso.uso_model.errors import UserError
from comfyui_uso.uso_model.images import PICTURE_FORMATS, PICTURE_SUFFIXES, picture_formats
from PIL import Image

PACKAGE = Path(comfyui_uso.__file__).parent


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Put stand-ins for the programs that decoders call on the PATH, and return the file in which they log."""
    folder, log = tmp_path / "bin", tmp_path / "log"
    folder.mkdir()
    for name in ("gs", "gswin64c", "djpeg", "ppmtogif", "ppmquant", "xdg-open"):
        (folder / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {log}\nexit 1\n')
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return log


def encoded(kind, picture=None, **options):
    buffer = io.BytesIO()
    (picture or Image.new("RGB", (16, 16), (200, 10, 20))).save(buffer, kind, **options)
    return buffer.getvalue()


def test_no_decoder_starts_a_program(programs, tmp_path):
    path = tmp_path / "evil.png"
    path.write_bytes(encoded("EPS"))
    with Image.open(path) as picture, pytest.raises((OSError, subprocess.SubprocessError)):
        picture.load()
    assert "gs" in programs.read_text(), "with every decoder open, this file does run Ghostscript"
    programs.unlink()
    with pytest.raises(UserError, match=r"evil\.png cannot be read as a picture \(it is none of PNG, JPEG"):
        open_picture(path)
    assert not programs.exists()


@pytest.mark.parametrize(
    "kind", ["EPS", "PDF", "ICO", "TGA", "SGI", "PCX", "DDS", "IM", "MSP", "XBM", "BLP", "JPEG2000"]
)
def test_other_formats_are_refused_under_any_name(kind, programs, tmp_path):
    mode = {"MSP": "1", "XBM": "1", "BLP": "P"}.get(kind, "RGB")
    for ending in (".png", ".jpg", ""):
        path = tmp_path / f"picture{ending}"
        path.write_bytes(encoded(kind, Image.new(mode, (16, 16))))
        with pytest.raises(UserError, match="cannot be read as a picture"):
            open_picture(path)
    assert not programs.exists()


def test_every_format_that_is_named_is_read(tmp_path):
    assert {"EPS", "PDF", "WMF", "BLP"}.isdisjoint(PICTURE_FORMATS)
    for kind in {*picture_formats(), "MPO"}:
        for suffix in PICTURE_FORMATS[kind]:
            path = tmp_path / f"picture{suffix}"
            if kind == "HEIF":
                continue  # its plugin writes as other versions of it like
            path.write_bytes(encoded(kind, quality=95) if kind in ("JPEG", "MPO", "WEBP", "AVIF") else encoded(kind))
            assert abs(np.asarray(open_picture(path))[8, 8].astype(int) - (200, 10, 20)).max() <= 8
    found = import_rows("pictures", tmp_path, Options(reference="style"))
    names = {path.name for row in found.rows for path in row.pictures}
    assert names == {f"picture{suffix}" for kind in {*picture_formats(), "MPO"} for suffix in PICTURE_FORMATS[kind]} - {
        f"picture{suffix}" for suffix in PICTURE_FORMATS["HEIF"]
    }
    assert names <= {f"picture{suffix}" for suffix in PICTURE_SUFFIXES}


def opens(folder):
    """Return the calls of `Image.open` under a folder, and whether each names its formats."""
    for path in sorted((PACKAGE / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Image.open":
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", "formats" in {word.arg for word in node.keywords}


def test_every_picture_is_opened_with_named_formats():
    found = dict(call for folder in ("uso_model", "trainer", "mini", "nodes") for call in opens(folder))
    assert found and all(found.values()), [place for place, named in found.items() if not named]


def png(width, height):
    """Return a PNG of a few bytes that claims a size."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(("width", "height"), [(10_001, 10_000), (13_300, 13_300), (60_000, 60_000), (2**31 - 1, 1)])
def test_a_size_beyond_the_limit_is_refused_before_decoding(width, height, tmp_path, monkeypatch):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(width, height))
    monkeypatch.setattr(Image.Image, "load", None)
    with pytest.raises(UserError, match=r"bomb\.png cannot be read .*more than 100 megapixels"):
        open_picture(path)


def test_the_limit_is_that_of_pixels(tmp_path, monkeypatch):
    monkeypatch.setattr("comfyui_uso.trainer.data.pictures.MOST_PIXELS", 100)
    for size, fine in (((10, 10), True), ((11, 10), False)):
        Image.new("RGB", size).save(tmp_path / "a.png")
        if fine:
            assert open_picture(tmp_path / "a.png").size == size
        else:
            with pytest.raises(UserError, match="megapixels"):
                open_picture(tmp_path / "a.png")
    assert images.MOST_PIXELS == 100_000_000


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices are named otherwise")
def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "circle.png").symlink_to("circle.png")
    Image.new("RGB", (16, 16)).save(tmp_path / "real.png")
    (tmp_path / "link.png").symlink_to("real.png")
    assert open_picture(tmp_path / "link.png").size == (16, 16)
    for name, message in (
        ("pipe.png", "is a pipe or a device"),
        ("folder.png", "is a folder"),
        ("circle.png", "links to itself"),
        ("\0.png", "is no path of a file"),
        ("a" * 300, "File name too long"),
    ):
        with pytest.raises(UserError, match=message):
            open_picture(tmp_path / name)
    with pytest.raises(UserError, match="is a pipe or a device"):
        open_picture(Path("/dev/zero"))


@pytest.mark.parametrize("size", [0, -16, 15, 8193, 99_999_999])
def test_sizes_beyond_all_use_are_refused(size, tmp_path):
    with pytest.raises(UserError, match=f"got size {size}, expected 16 to 8192"):
        check([tmp_path / "manifest.jsonl"], size)
