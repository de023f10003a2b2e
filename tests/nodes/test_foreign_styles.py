"""Style files of strangers: whatever is wrong with one is said with its name, and nothing but a PNG is decoded."""

from __future__ import annotations

import io
import json
import logging
import os
import random
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy
import pytest
import safetensors.torch
import torch
from comfyui_uso.nodes.graph.style_format import read_style, write_style
from comfyui_uso.nodes.sockets import Style
from comfyui_uso.uso_model.errors import UserError
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

TOKENS = torch.linspace(-1, 1, 3 * 8).reshape(1, 3, 8).half()
GOOD = {"counts": [1, 2], "projector": "0123456789abcdef"}
FORMAT = "uso-style-1"


def put(path: Path, settings: Any = GOOD, metadata: dict[str, str] | None = None, **tensors: torch.Tensor) -> Path:
    """Write a file that is good but for what is given."""
    text = settings if isinstance(settings, str) else json.dumps(settings)
    found = {"tokens": TOKENS, **tensors}
    safetensors.torch.save_file(
        {name: tensor for name, tensor in found.items() if tensor is not None},
        path,
        {"format": FORMAT, "settings": text} if metadata is None else metadata,
    )
    return path


def bytes_tensor(data: bytes) -> torch.Tensor:
    """Return bytes as a file holds them."""
    return torch.from_numpy(numpy.frombuffer(data, dtype=numpy.uint8).copy())


def picture(kind: str, size: tuple[int, int] = (16, 16), mode: str = "RGB") -> bytes:
    """Return an image file."""
    out = io.BytesIO()
    Image.new(mode, size).save(out, kind)
    return out.getvalue()


def refused(path: Path) -> str:
    """Return the sentence with which a file is refused."""
    with pytest.raises(UserError) as caught:
        read_style(path)
    text = str(caught.value)
    assert path.name in text and len(text) < 400 and "\n" not in text, text
    return text


@pytest.mark.parametrize(
    "settings",
    [
        "", "{", "[" * 100_000, "null", "5", "[]", "{}", '"counts"', "NaN",
        *(
            {**GOOD, "counts": counts}
            for counts in (
                None, 3, "12", {}, [], [3, 0], [4, -1], [1.5, 1.5], [True, 2], ["1", 2], [None, 3], [1, 1], [2, 2],
                [[3]], [10**30, 3 - 10**30], [0] * 100_000 + [3],
            )
        ),
        *({**GOOD, "projector": projector} for projector in (5, [], {}, True)),
        {"projector": "0123456789abcdef"},
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_settings_are_checked(settings: Any, tmp_path: Path) -> None:
    refused(put(tmp_path / "theirs.safetensors", settings))


@pytest.mark.parametrize("metadata", [{}, {"format": FORMAT}, {"format": "x" * 9999}, {"settings": "{}"}], ids=str)
def test_metadata_is_checked(metadata: dict[str, str], tmp_path: Path) -> None:
    refused(put(tmp_path / "theirs.safetensors", metadata=metadata or {"a": "b"}))


@pytest.mark.parametrize(
    "tensors",
    [
        {"tokens": None, "other": TOKENS},
        *(
            {"tokens": tokens}
            for tokens in (
                TOKENS.int(), TOKENS > 0, TOKENS.to(torch.complex64), TOKENS.to(torch.uint8), TOKENS[0], TOKENS[None],
                TOKENS.repeat(2, 1, 1), TOKENS[..., :0], TOKENS[:, :0], TOKENS / 0, TOKENS * float("nan"),
                TOKENS.to(torch.float8_e4m3fn),
            )
        ),
        *(
            {"bias": bias}
            for bias in (
                torch.zeros(2), torch.zeros(4), torch.zeros(1, 3), torch.zeros(3, dtype=torch.int32), torch.zeros(()),
                torch.tensor([0, float("inf"), 0]), torch.full((3,), float("nan")),
                torch.zeros(3, dtype=torch.complex64),
            )
        ),
    ],
    ids=lambda value: " ".join(f"{k} {getattr(v, 'dtype', '')}" for k, v in value.items()),
)  # fmt: skip
def test_tensors_are_checked(tensors: dict[str, Any], tmp_path: Path) -> None:
    tensors = {name: None if tensor is None else tensor.contiguous() for name, tensor in tensors.items()}
    refused(put(tmp_path / "theirs.safetensors", **tensors))


THUMBNAILS = {
    "eps": picture("EPS"),
    "jpeg": picture("JPEG"),
    "gif": picture("GIF"),
    "a cut png": picture("PNG")[:40],
    "no data": picture("PNG")[:33],
    "nothing": b"",
    "noise": bytes(range(256)),
    "too wide": picture("PNG", (513, 1)),
    "a bomb": picture("PNG", (13300, 13300), "1"),
    "an apng of claims": b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + b"\xff" * 13 + b"\0" * 4,
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", THUMBNAILS)
def test_a_thumbnail_that_cannot_be_shown_does_not_lose_the_style(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gs").write_text("#!/bin/sh\ntouch " + str(tmp_path / "ran") + "\n", encoding="utf-8")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)
    path = put(tmp_path / "theirs.safetensors", thumbnail=bytes_tensor(THUMBNAILS[name]))
    decoded: list[tuple[int, int]] = []
    load = PngImageFile.load
    monkeypatch.setattr(PngImageFile, "load", lambda self: decoded.append(self.size) or load(self))
    with caplog.at_level(logging.WARNING):
        style, thumbnail = read_style(path)
    assert torch.equal(style.tokens, TOKENS.float()) and thumbnail.getextrema() == ((128, 128),) * 3
    assert len(caplog.records) == 1 and "theirs.safetensors" in caplog.text
    assert all(max(size) <= 512 for size in decoded), "the size is looked at before the pixels"
    assert not (tmp_path / "ran").exists(), "no other program is started"


@pytest.mark.parametrize("thumbnail", [torch.zeros(9), torch.zeros(3, 3, dtype=torch.uint8)])
def test_a_thumbnail_has_to_be_bytes(thumbnail: torch.Tensor, tmp_path: Path) -> None:
    assert read_style(put(tmp_path / "theirs.safetensors", thumbnail=thumbnail))[1].size == (192, 192)


def test_a_good_thumbnail_is_shown(tmp_path: Path) -> None:
    data = bytes_tensor(picture("PNG", (512, 300)))
    assert read_style(put(tmp_path / "theirs.safetensors", thumbnail=data))[1].size == (512, 300)


def test_damaged_files_are_refused_in_a_sentence_or_read(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """Bytes of good files changed at random: what is read keeps every promise of a style, the rest is refused."""
    rounds = int(pytestconfig.getoption("--fuzz-rounds", 1) or 1)
    style = Style(tokens=TOKENS.float(), counts=(1, 2), bias=torch.tensor([0.0, -1.0, 1.0]), projector="ab")
    path = tmp_path / "theirs.safetensors"
    write_style(path, style, Image.effect_mandelbrot((64, 48), (-2, -1, 1, 1), 20))
    whole = path.read_bytes()
    header = 8 + struct.unpack("<Q", whole[:8])[0]
    draw = random.Random(27)
    counts = {"read": 0, "refused": 0}
    for _ in range(1500 * rounds):
        data = bytearray(whole)
        for _ in range(draw.choice((1, 1, 2, 5))):
            place = draw.randrange(draw.choice((header, len(data))))
            data[place] = draw.choice((draw.randrange(256), *b'0123456789-.,:[]{}"eN'))
        if draw.random() < 0.1:
            del data[draw.randrange(len(data)) :]
        path.write_bytes(data)
        try:
            found, thumbnail = read_style(path)
        except UserError as error:
            assert "theirs.safetensors" in str(error) and len(str(error)) < 500 and "\n" not in str(error), error
            counts["refused"] += 1
            continue
        counts["read"] += 1
        assert found.tokens.isfinite().all() and found.tokens.shape == (1, sum(found.counts), found.tokens.shape[2])
        assert all(count > 0 for count in found.counts) and max(thumbnail.size) <= 512
    assert min(counts.values()) > 50, counts
    assert zlib.crc32(whole) != zlib.crc32(path.read_bytes())
