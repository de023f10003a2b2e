"""What a file is that safetensors has refused to read: said after the refusal, never in its place.

A safetensors file begins with the length of its header as eight little-endian bytes, and some lengths are the magic
bytes of other formats: 640 begins like a pickle. So other formats are only named for what cannot be safetensors.
"""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

from ..untrusted import quoted

__all__ = ["AGAIN", "foreign_format", "refusal"]

AGAIN = "download or copy it again."

_PICKLE_SUFFIXES = {".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle"}
_LONGEST_HEADER = 100_000_000  # the format's own limit
_PICKLE = "is a pickle file, which can run any code when it is opened; use a .safetensors version."


def refusal(path: Path, reason: str) -> str:
    """Return the sentence about a file that safetensors has refused.

    Args:
        path: a regular file.
        reason: what safetensors said.
    """
    name = quoted(path.name)
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(64)
            length = _header_length(head)
            raw = head[8:] + file.read(max(0, length - len(head) + 8)) if length is not None else b""
    except OSError as error:
        return f"{name} cannot be read ({error.strerror}); check the file and its permissions."
    if size == 0:
        return f"{name} is empty (0 bytes); {AGAIN}"
    told = foreign_format(head, path.suffix)
    if told is not None:
        return f"{name} {told}"
    if len(head) < 8:
        return f"{name} is truncated: {size} bytes cannot hold a header; {AGAIN}"
    if length is None:
        return f"{name} is not a safetensors file; use a .safetensors version of the model."
    if 8 + length > size:
        return f"{name} is truncated: its header needs {8 + length} bytes and the file has {size}; {AGAIN}"
    data = _data_length(raw[:length])
    if data is None:
        return f"{name} has a damaged safetensors header; {AGAIN}"
    if 8 + length + data > size and "overlap" not in reason:
        return f"{name} is truncated: it should have {8 + length + data} bytes and has {size}; {AGAIN}"
    return f"{name} cannot be read as safetensors ({quoted(reason)}); {AGAIN}"


def foreign_format(head: bytes, suffix: str = "") -> str | None:
    """Name the format that a file's first bytes belong to, None where they may be the start of a safetensors file.

    Args:
        head: the first bytes, 64 where there are as many.
        suffix: of the file's name.
    """
    if _header_length(head) is not None:
        return None
    if suffix.lower() in _PICKLE_SUFFIXES or head[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        return _PICKLE
    if head[:4] == b"PK\x03\x04":
        return "is a zip archive or a zipped pickle; use a .safetensors version of the model."
    if head[:4] == b"GGUF":
        return "is a GGUF file; use a .safetensors version of the model."
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer and not the file itself; run git lfs pull or download it."
    if head.lstrip()[:1] == b"<":
        return "is a web page saved under a model's name; download the file itself."
    return None


def _header_length(head: bytes) -> int | None:
    """Return the length of a header, None where the first bytes cannot be those of a safetensors file."""
    if len(head) < 8 or head[8:9] not in (b"{", b""):
        return None
    (length,) = struct.unpack("<Q", head[:8])
    return length if length <= _LONGEST_HEADER else None


def _data_length(raw: bytes) -> int | None:
    """Return how many bytes of data a header speaks of, None where it does not even have the form of one."""
    try:
        header: Any = json.loads(raw)
        ends = [spec["data_offsets"][1] for name, spec in header.items() if name != "__metadata__"]
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
        return None
    return max(ends, default=0) if all(type(end) is int for end in ends) else None
