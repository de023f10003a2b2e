"""Damage and malice for files: seeded changes of bytes and of parsed structures."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from typing import Any

from comfyui_uso.uso_model.errors import UserError

__all__ = ["DTYPES", "Tally", "changed_bytes", "changed_header", "changed_json", "json_text", "with_header"]

HOSTILE: list[Any] = [
    None, True, False, 0, -1, 1, 5, 2**31, 2**40, 2**63, -(2**63), 10**400, 0.5, 1e308, float("nan"), float("inf"),
    "", "x", "\0", "..", "/", "/etc/passwd", "~", "\ud800", "a" * 3000, "9" * 5000, "\n", "{}", "nan", "2026-11-29",
    [], {}, [[]], [None], [0, 2**40], [1, "2"], {"a": 1}, {"": None}, [True], ["x"] * 50,
]  # fmt: skip

DTYPES = [
    "F64",
    "F32",
    "F16",
    "BF16",
    "F8_E4M3",
    "F8_E5M2",
    "F8_E8M0",
    "F4",
    "I64",
    "I8",
    "U8",
    "BOOL",
    "C64",
    "F6_E2M3",
]


class Tally:
    """Calls something with each input, and counts what became of it."""

    def __init__(self) -> None:
        self.tried, self.refused = 0, 0
        self.unhandled: list[str] = []

    def __call__(self, what: str, call: Callable[..., Any], *arguments: Any) -> Any:
        """Call; a UserError is an answer, whatever else is raised is not."""
        self.tried += 1
        try:
            return call(*arguments)
        except UserError as error:
            self.refused += 1
            if "\n" in str(error) or len(str(error)) > 2000:
                self.unhandled.append(f"{what}: a message of {len(str(error))} characters: {str(error)[:200]!r}")
        except Exception as error:
            self.unhandled.append(f"{what}: {type(error).__name__}: {str(error)[:200]}")
        return None

    def check(self) -> None:
        """Fail with what was not handled."""
        assert self.tried, "nothing was tried"
        assert not self.unhandled, f"{len(self.unhandled)} of {self.tried}: " + "\n".join(self.unhandled[:10])


def changed_bytes(data: bytes, rng: random.Random, limit: int | None = None) -> bytes:
    """Return data with some bits flipped, bytes replaced, removed, doubled or added, within the first `limit`."""
    found, end = bytearray(data), min(len(data), limit or len(data))
    for _ in range(rng.choice((1, 1, 2, 8))):
        place = rng.randrange(end) if end else 0
        how = rng.randrange(6)
        if how == 0 and found:
            found[place % len(found)] ^= 1 << rng.randrange(8)
        elif how == 1 and found:
            found[place % len(found)] = rng.choice((0, 0xFF, 0x7B, 0x80, rng.randrange(256)))
        elif how == 2:
            del found[place : place + rng.choice((1, 4, 100, len(found)))]
        elif how == 3:
            found[place:place] = found[place : place + rng.choice((1, 8, 64))]
        elif how == 4:
            found[place:place] = rng.choice((b"\xff\xfe", b"[" * 3000, b"\x00" * 9, b"null", b'"', b"}", b"-1e999"))
        else:
            found += bytes(rng.randrange(256) for _ in range(rng.choice((1, 8, 100))))
    return bytes(found)


def changed_json(value: Any, rng: random.Random) -> Any:
    """Return a parsed structure with one value, at any depth, replaced, removed, renamed or wrapped."""
    value = json.loads(json.dumps(value))
    places = list(_places(value))
    if not places or rng.random() < 0.05:
        return rng.choice(HOSTILE)
    container, key = rng.choice(places)
    how = rng.randrange(8)
    if how == 0:
        del container[key]
    elif how == 1 and isinstance(container, dict):
        container[str(rng.choice(HOSTILE))[:50]] = container.pop(key)
    elif how == 2:
        for _ in range(rng.choice((1, 100, 900))):
            container[key] = [container[key]]
    else:
        container[key] = rng.choice(HOSTILE)
    return value


def _places(value: Any) -> Any:
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield value, key
        yield from _places(part)


def json_text(value: Any) -> bytes:
    """Return JSON as strangers write it: with NaN, and halves of characters."""
    return json.dumps(value).encode("utf-8", "surrogatepass")


def with_header(data: bytes, header: Any) -> bytes:
    """Return a safetensors file with another header before the same tensors."""
    (length,) = struct.unpack("<Q", data[:8])
    raw = header if isinstance(header, bytes) else json_text(header)
    return struct.pack("<Q", len(raw)) + raw + data[8 + length :]


def changed_header(data: bytes, rng: random.Random) -> bytes:
    """Return a safetensors file that is valid, or nearly, but tells other shapes, types, names or metadata."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    how = rng.randrange(5)
    names = [name for name in header if name != "__metadata__"]
    name = rng.choice(names)
    spec = header[name]
    if how == 0:
        return with_header(data, changed_json(header, rng))
    if how == 1:  # another type and shape of as many bytes
        size = spec["data_offsets"][1] - spec["data_offsets"][0]
        spec["dtype"], width = rng.choice(
            (
                ("F64", 8),
                ("F32", 4),
                ("I32", 4),
                ("F16", 2),
                ("BF16", 2),
                ("U8", 1),
                ("BOOL", 1),
                ("F8_E4M3", 1),
                ("C64", 8),
            )
        )
        count = size // width
        spec["shape"] = rng.choice(([count], [1, count], [count, 1], [1] * 6 + [count], spec["shape"][::-1]))
    elif how == 2:  # an empty tensor, whose sides cost nothing
        header = {"empty": {"dtype": "F32", "shape": [0, rng.choice((0, 1, 2**40))], "data_offsets": [0, 0]}, **header}
        if rng.random() < 0.8:
            header[name + ".x"], header[name] = spec, header.pop("empty")
    elif how == 3:
        header[rng.choice(("", "a", "\0", name[:-1], f"x.{name}", rng.choice(names)))] = header.pop(name)
    else:
        hostile = rng.choice(HOSTILE)
        config = {"scale_factor": hostile, "ch": hostile, "ch_mult": [hostile]}
        text = rng.choice((json.dumps(hostile), json.dumps(config), "[" * 3000, "\0", '{"scale_factor": 1e999}'))
        header["__metadata__"] = rng.choice(({"config": text}, hostile, {"a": hostile}, {"format": text}))
    return with_header(data, header)
