"""What `uso check` looks for: rows that cannot be trained on, and what may be a mistake."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ...uso_model.images import CONTENT_LONG_SIDE, fitted_size
from ...uso_model.packing import PIXELS_PER_TOKEN
from ...uso_model.untrusted import quoted
from ..encoders.interface import CountTokens
from .buckets import WIDEST, nearest_bucket
from .manifest import Row
from .sources import TRAIN, VALIDATION

__all__ = ["Picture", "finite", "long_captions", "notes", "problems", "unfit_content", "unfit_target"]

_ENLARGED = 2.0
_SMALLEST_STYLE, _LONGEST_STYLE = 32, 4
"""Short side in pixels, and the long side over it."""
_TOKENS_PER_WORD = 1.4
_T5_TOKENS = 512
_ENDS = 2
"""Tokens before and after every prompt, at most."""


class Picture(NamedTuple):
    """What a file holds: its size and the hash of its bytes, or what is wrong with it."""

    size: tuple[int, int] = (0, 0)
    digest: str = ""
    problem: str = ""


Pictures = Mapping[Path, Picture]


def problems(rows: Mapping[str, Sequence[Row]], pictures: Pictures, content_size: int) -> Iterator[str]:
    """Yield what must be mended in the rows of some manifests."""
    every = [row for of_manifest in rows.values() for row in of_manifest]
    yield from (picture.problem for picture in pictures.values() if picture.problem)
    yield from _wrong_scores(every)
    yield from _alike(every, pictures)
    yield from _thin(every, pictures, content_size)


def notes(
    rows: Mapping[str, Sequence[Row]], pictures: Pictures, sizes: Sequence[int], count: CountTokens | None
) -> Iterator[str]:
    """Yield what may be as intended in the rows of some manifests."""
    every = [row for of_manifest in rows.values() for row in of_manifest]
    targets = dict.fromkeys(row.target for row in every if not pictures[row.target].problem)
    yield from _shared_ids(rows)
    yield from _other_splits(every)
    yield from _no_captions(every)
    yield from long_captions(every, count)
    yield from _ill_fitting(targets, pictures, max(sizes))
    yield from _odd_styles(every, pictures)
    yield from _own_style(every, pictures)


def _shared_ids(rows: Mapping[str, Sequence[Row]]) -> Iterator[str]:
    first: dict[str, str] = {}
    for manifest, of_manifest in rows.items():
        for row in of_manifest:
            if first.setdefault(row.id, manifest) != manifest:
                yield f"{manifest} repeats the id {row.id!r} of {first[row.id]}; the log cannot tell the two apart"


def _other_splits(rows: Iterable[Row]) -> Iterator[str]:
    for split, number in Counter(row.split for row in rows).items():
        if split not in (TRAIN, VALIDATION):
            yield f"{number} rows have the split {split!r} and are not used: rows of {TRAIN} and {VALIDATION} are"


def _no_captions(rows: Sequence[Row]) -> Iterator[str]:
    bare = [row.id for row in rows if not row.prompt.strip()]
    if bare:
        which = "no row has a caption" if len(bare) == len(rows) else f"{len(bare)} of {len(rows)} rows have no caption"
        yield f"{which} ({quoted(bare[0])}); what they teach is tied to the empty prompt"


def long_captions(rows: Iterable[Row], count: CountTokens | None) -> Iterator[str]:
    """Yield how much of the captions no text encoder reads; without tokenizers their words are counted."""
    cut: dict[str, list[tuple[int, str]]] = {}
    read = _by_words if count is None else count
    limits = {name: limit for name, (_, limit) in read("").items()}
    for row in rows:
        if len(row.prompt.encode()) + _ENDS <= min(limits.values(), default=0):
            continue  # no token is shorter than a byte, and tokenizers take their time
        for name, (has, limit) in read(row.prompt).items():
            if has > limit:
                cut.setdefault(name, []).append((has - limit, row.id))
    for name, found in cut.items():
        most, row_id = max(found)
        about = " (counted by words, for want of a recipe with tokenizers)" if count is None else ""
        yield (
            f"{len(found)} captions have more than the {limits[name]} tokens that {name} reads; of row "
            f"{quoted(row_id)} {most} are cut{about}"
        )


def _by_words(prompt: str) -> dict[str, tuple[int, int]]:
    return {"T5": (math.ceil(_TOKENS_PER_WORD * len(prompt.split())), _T5_TOKENS)}


def finite(row: Row, score: str) -> bool:
    return math.isfinite(row.scores.get(score, math.nan))


def _wrong_scores(rows: Iterable[Row]) -> Iterator[str]:
    for row in rows:
        for name, value in row.scores.items():
            if not finite(row, name):
                yield f"row {row.id} has the score {name} = {value}, expected a finite number"


def _alike(rows: Iterable[Row], pictures: Pictures) -> Iterator[str]:
    """Yield rows that repeat another one, and targets that are both trained on and held out."""
    same: dict[tuple, Row] = {}
    splits: dict[str, Row] = {}
    for row in rows:
        digests = [pictures[path].digest for path in row.pictures]
        if not all(digests):
            continue  # listed as a broken picture
        first = same.setdefault((*digests, len(row.contents), row.prompt), row)
        if first is not row:
            yield f"row {row.id} repeats row {first.id}: the same target, references and prompt; remove one"
        other = splits.setdefault(digests[0], row)
        if other.split != row.split:
            yield (
                f"row {row.id} of split {row.split} has the same target as row {other.id} of split {other.split}; what "
                "is held out must not be trained on"
            )


def _thin(rows: Iterable[Row], pictures: Pictures, content_size: int) -> Iterator[str]:
    """Yield pictures that are too thin or too small for a token."""
    for path in dict.fromkeys(path for row in rows for path in row.contents):
        if not pictures[path].problem:
            yield from unfit_content(path, pictures[path].size, content_size)
    for path in dict.fromkeys(row.target for row in rows):
        if not pictures[path].problem:
            yield from unfit_target(path, pictures[path].size)


def unfit_content(path: Path, size: tuple[int, int], content_size: int = CONTENT_LONG_SIDE) -> Iterator[str]:
    """Yield why no picture of a size can be a content reference, if so."""
    try:
        fitted_size(*size, content_size)
    except ValueError as error:
        yield f"{path}: {error}"


def unfit_target(path: Path, size: tuple[int, int]) -> Iterator[str]:
    """Yield why no picture of a size can be a target, if so."""
    width, height = size
    if min(size) < PIXELS_PER_TOKEN:
        yield f"{path} has {width}x{height} pixels, less than one token of {PIXELS_PER_TOKEN}; use a larger picture"


def _ill_fitting(targets: Iterable[Path], pictures: Pictures, size: int) -> Iterator[str]:
    """Yield targets that are much enlarged, or of which much is cropped, to fit their bucket."""
    for path in targets:
        width, height = pictures[path].size
        bucket = nearest_bucket(width, height, size)
        scale = max(bucket[0] / width, bucket[1] / height)
        if scale > _ENLARGED:
            yield f"{path} has {width}x{height} pixels and is enlarged {scale:.1f} times; train at a smaller data.size"
        if max(width, height) > WIDEST * min(width, height):
            lost = 1 - bucket[0] * bucket[1] / (scale * scale * width * height)
            yield f"{path} has {width}x{height} pixels, beyond 3:1; {lost:.0%} of it is cropped away"


def _own_style(rows: Iterable[Row], pictures: Pictures) -> Iterator[str]:
    for row in rows:
        digest = pictures[row.target].digest
        if digest and digest in (pictures[path].digest for path in row.style):
            yield f"row {row.id} has its target as style reference; that teaches to copy the picture"


def _odd_styles(rows: Iterable[Row], pictures: Pictures) -> Iterator[str]:
    for path in dict.fromkeys(path for row in rows for path in row.style):
        short, long = sorted(pictures[path].size)
        if not pictures[path].problem and (short < _SMALLEST_STYLE or long > _LONGEST_STYLE * short):
            width, height = pictures[path].size
            yield f"{path} has {width}x{height} pixels, hardly a style: SigLIP sees it squeezed into a square of 384"
