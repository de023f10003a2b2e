"""The orientation of pictures: the one tag that is read, whatever the others hold."""

from __future__ import annotations

import io
import random
import struct
import zlib

import numpy as np
import pytest
from comfyui_uso.trainer.data.pictures import open_picture
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

NOISE = Image.frombytes("RGB", (24, 16), random.Random(0).randbytes(24 * 16 * 3))


def exif(entries, order="<"):
    """Return Exif data of tags, types, counts and values, without caring whether they fit each other."""
    begin = 8 + 2 + 12 * len(entries) + 4
    body, head = b"", (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(entries))
    for tag, kind, count, value in entries:
        if len(value) > 4:
            value, body = struct.pack(f"{order}I", begin + len(body)), body + value
        head += struct.pack(f"{order}HHI", tag, kind, count) + value.ljust(4, b"\0")
    return b"Exif\0\0" + head + b"\0\0\0\0" + body


def saved(path, data, kind="JPEG"):
    buffer = io.BytesIO()
    NOISE.save(buffer, kind, exif=data)
    path.write_bytes(buffer.getvalue())
    return path


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("value", range(10))
def test_every_orientation_is_as_pillow_turns_it(value, kind, tmp_path):
    tags = Image.Exif()
    tags[0x0112] = value
    path = saved(tmp_path / "a", tags.tobytes(), kind)
    with Image.open(path) as picture:
        wanted = ImageOps.exif_transpose(picture).convert("RGB")
    assert np.array_equal(np.asarray(open_picture(path)), np.asarray(wanted))


def test_an_orientation_in_xmp_or_in_imagemagicks_text_counts(tmp_path):
    NOISE.save(tmp_path / "a.jpg", xmp=b'<x tiff:Orientation="6"/>')
    tags = Image.Exif()
    tags[0x0112] = 6
    data = tags.tobytes()
    text = PngInfo()
    text.add_text("Raw profile type exif", f"\nexif\n{len(data):8}\n{data.hex()}\n")
    NOISE.save(tmp_path / "a.png", pnginfo=text)
    for name in ("a.jpg", "a.png"):
        assert open_picture(tmp_path / name).size == (16, 24)


TURNED = (0x0112, 3, 1, struct.pack("<H", 6))


@pytest.mark.parametrize(
    "entries",
    [
        [TURNED, (0x11A, 2, 3, b"72\0")],  # XResolution as text
        [TURNED, (0x11A, 1, 1, b"H")],  # ... as one byte: Pillow cannot open the file
        [TURNED, (0x131, 11, 1, struct.pack("<f", 1.5))],  # Software as a number
        [TURNED, (0x8825, 4, 1, struct.pack("<I", 9999))],  # GPS beyond the end
        [TURNED, (0x11A, 5, 1, struct.pack("<II", 0, 0))],  # 0/0
        [TURNED, (0x8769, 4, 2**31, b"")],
        [(0x10F, 2, 0, b""), TURNED],
    ],
)
def test_odd_tags_lose_neither_the_picture_nor_its_orientation(entries, tmp_path):
    assert open_picture(saved(tmp_path / "a.jpg", exif(entries))).size == (16, 24)


def fuzzed(path, count, seed=0):
    rng = random.Random(seed)
    for _ in range(count):
        order = rng.choice("<>")
        entries = [(0x112, 3, 1, struct.pack(f"{order}H", rng.choice((1, 3, 6, 8))))]
        for _ in range(rng.randrange(6)):
            tag = rng.choice((0x11A, 0x11B, 0x128, 0x131, 0x8769, 0x8825, 0xA005, 0x132, rng.randrange(65536)))
            size = rng.choice((0, 2, 4, 8, 9, 20))
            entries.append((tag, rng.randrange(14), rng.choice((0, 1, 2, 5, 2**31)), rng.randbytes(size)))
        data = bytearray(exif(entries, order))
        for _ in range(rng.randrange(8) if rng.random() < 0.5 else 0):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.2:
            del data[rng.randrange(len(data)) :]
        assert set(open_picture(saved(path, bytes(data), rng.choice(("JPEG", "JPEG", "PNG", "WEBP")))).size) == {16, 24}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("count", [150, pytest.param(3000, marks=pytest.mark.long)])
def test_no_good_picture_is_refused_for_its_metadata(count, tmp_path):
    fuzzed(tmp_path / "a.jpg", count)


def test_a_png_with_a_megabyte_of_text_is_read(tmp_path):
    """As ComfyUI and Photoshop write them; Pillow refuses to unpack so much."""
    NOISE.save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    text = b"workflow\0\0" + zlib.compress(b"{" * 3_000_000)
    chunk = struct.pack(">I", len(text)) + b"zTXt" + text + struct.pack(">I", zlib.crc32(b"zTXt" + text))
    (tmp_path / "a.png").write_bytes(data[:33] + chunk + data[33:])  # behind the header
    with pytest.raises(ValueError, match="too large"):
        Image.open(tmp_path / "a.png")
    assert np.array_equal(np.asarray(open_picture(tmp_path / "a.png")), np.asarray(NOISE))


def test_32_bits_of_small_values_are_8_bits(tmp_path):
    for values, wanted in ((np.full((8, 8), 200), 200), (np.full((8, 8), 40000), 156)):
        Image.fromarray(values.astype(np.int32)).save(tmp_path / "a.tif")
        assert open_picture(tmp_path / "a.tif").getpixel((0, 0)) == (wanted,) * 3
