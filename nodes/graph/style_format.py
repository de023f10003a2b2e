"""Style files: one safetensors with tokens, weights, settings and a thumbnail, to be shared between strangers."""

from __future__ import annotations

import io as bytes_io
import json
import logging
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy
import torch
from PIL import Image
from torch import Tensor

from ...uso_model.checkpoints.files import read_metadata, read_safetensors, write_safetensors
from ...uso_model.errors import UserError
from ...uso_model.untrusted import field, parse_json, quoted
from ..sockets import Style

__all__ = ["THUMBNAIL", "read_style", "same_style", "write_style"]

FORMAT = "uso-style-1"
THUMBNAIL = 192
"""Longest side of the thumbnail in pixels."""

_LARGEST_SIDE = 512
"""Longest side of a thumbnail that is decoded at all: a few bytes can stand for gigabytes of pixels."""

_NUMBERS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
"""What Pillow raises for damaged PNGs."""

logger = logging.getLogger(__name__)


def write_style(path: Path, style: Style, thumbnail: Image.Image | None) -> None:
    """Write a style in float16, whose step is far below what a picture shows.

    Raises:
        UserError: the values leave float16's range.
    """
    tensors = {"tokens": style.tokens.half().contiguous()}
    if not tensors["tokens"].isfinite().all():
        raise UserError(
            f"Got style tokens up to {style.tokens.abs().max():g} for {path.name}, expected none above 65504: make the "
            "style again with a projector that is whole."
        )
    if style.bias is not None:
        tensors["bias"] = style.bias.float().contiguous()
    if thumbnail is not None:
        tensors["thumbnail"] = torch.from_numpy(numpy.frombuffer(_png(thumbnail), dtype=numpy.uint8).copy())
    settings = {"counts": style.counts, "projector": style.projector}
    write_safetensors(path, tensors, {"format": FORMAT, "settings": json.dumps(settings)})


def read_style(path: Path) -> tuple[Style, Image.Image]:
    """Read a style and its thumbnail, a grey picture where the file has none that can be shown.

    Raises:
        UserError: the file holds something else.
    """
    name, metadata = path.name, read_metadata(path)
    if metadata.get("format") != FORMAT:
        raise UserError(
            f"{name} is no style file (format {quoted(metadata.get('format'))}), expected {FORMAT!r}: choose a file "
            "that USO Save Style has written."
        )
    settings = parse_json(field(metadata, "settings", str, name), f"the settings of {name}")
    tensors = read_safetensors(path)
    tokens = _numbers(tensors, "tokens", 3, name)
    counts = tuple(field(settings, "counts", list, name))
    if tokens.shape[0] != 1 or not tokens.numel() or not _covers(counts, tokens.shape[1]):
        raise UserError(
            f"{name} has tokens of shape {tuple(tokens.shape)} for pictures of {quoted(list(counts))} tokens, expected "
            "counts above 0 that add up to the tokens: make the style again with USO Save Style."
        )
    bias = _numbers(tensors, "bias", 1, name) if "bias" in tensors else None
    if bias is not None and bias.shape[0] != tokens.shape[1]:
        raise UserError(
            f"{name} has {bias.shape[0]} strengths for {tokens.shape[1]} tokens, expected one for each: make the style "
            "again with USO Save Style."
        )
    projector = field(settings, "projector", (str, type(None)), name)
    style = Style(tokens=tokens.float(), counts=counts, bias=bias, projector=projector)
    return style, _thumbnail(tensors.get("thumbnail"), name)


def same_style(path: Path, style: Style) -> bool:
    """Whether a file already holds a style; one that cannot be read holds another."""
    try:
        kept = read_style(path)[0]
    except UserError:
        return False
    biases = [torch.zeros(1) if part is None else part.float().cpu() for part in (kept.bias, style.bias)]
    return (
        (kept.counts, kept.projector) == (style.counts, style.projector)
        and torch.equal(kept.tokens.half(), style.tokens.half().cpu())
        and torch.equal(*biases)
    )


def _covers(counts: tuple[Any, ...], tokens: int) -> bool:
    """Whether counts are whole numbers from 1 that add up to the tokens."""
    return len(counts) <= tokens and all(type(n) is int and 0 < n <= tokens for n in counts) and sum(counts) == tokens


def _numbers(tensors: dict[str, Tensor], key: str, axes: int, name: str) -> Tensor:
    """Return a tensor of a file that holds finite numbers on so many axes.

    Raises:
        UserError: it does not.
    """
    tensor = tensors.get(key)
    if tensor is None:
        raise UserError(f"{name} holds no {key}, expected a style: make it again with USO Save Style.")
    if tensor.dtype not in _NUMBERS or tensor.ndim != axes or not tensor.isfinite().all():
        raise UserError(
            f"{name} has {key} of shape {tuple(tensor.shape)} and type {tensor.dtype}, expected finite floating-point "
            f"numbers on {axes} axes: make the style again with USO Save Style."
        )
    return tensor


def _thumbnail(data: Tensor | None, name: str) -> Image.Image:
    """Return the picture in a file; what is damaged, too large or no PNG is left aside, for the style is whole."""
    if data is not None:
        try:
            return _decoded(data)
        # Pillow's errors are of many kinds: SyntaxError for a broken PNG, struct's and zlib's own, ValueError.
        except (
            OSError,
            SyntaxError,
            ValueError,
            EOFError,
            struct.error,
            Image.DecompressionBombError,
            zlib.error,
        ) as error:
            logger.warning("The thumbnail of %s cannot be shown (%s); its style is used without.", name, quoted(error))
    return Image.new("RGB", (THUMBNAIL, THUMBNAIL), (128, 128, 128))


def _decoded(data: Tensor) -> Image.Image:
    """Return the picture of a PNG's bytes.

    Raises:
        ValueError: the bytes are none, or the picture is too large.
    """
    if data.dtype != torch.uint8 or data.ndim != 1:
        raise ValueError(f"bytes expected, got {data.dtype} on {data.ndim} axes")
    with Image.open(bytes_io.BytesIO(data.numpy().tobytes()), formats=("PNG",)) as picture:
        if max(picture.size) > _LARGEST_SIDE:
            raise ValueError(f"{picture.width}x{picture.height} pixels, at most {_LARGEST_SIDE} a side expected")
        return picture.convert("RGB")


def _png(picture: Image.Image) -> bytes:
    small = picture.convert("RGB")
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    out = bytes_io.BytesIO()
    small.save(out, "PNG")
    return out.getvalue()
