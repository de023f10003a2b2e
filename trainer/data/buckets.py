"""Sizes of targets: a few aspect ratios with about the same number of pixels."""

from __future__ import annotations

from functools import lru_cache

from ...uso_model.errors import UserError
from ...uso_model.packing import PIXELS_PER_TOKEN

__all__ = ["LARGEST_SIZE", "WIDEST", "buckets", "nearest_bucket", "require_size"]

LARGEST_SIZE = 8192
"""Largest `data.size`: beyond it a single picture has more tokens than any training could hold."""

WIDEST = 3.0
"""Long side over short side of the longest buckets."""


def require_size(size: int) -> None:
    """Refuse a side of pictures that is less than a token, or larger than any training could hold.

    Raises:
        UserError: it is.
    """
    if not PIXELS_PER_TOKEN <= size <= LARGEST_SIZE:
        raise UserError(f"got size {size}, expected {PIXELS_PER_TOKEN} to {LARGEST_SIZE} pixels; 1024 is usual")


@lru_cache
def buckets(size: int) -> tuple[tuple[int, int], ...]:
    """Return widths and heights in pixels, multiples of 16, of at most `size` x `size` pixels, from 1:3 to 3:1.

    Each short side has the longest long side that fits, so a bucket has at most the tokens of the square; those with
    less than nine tenths of them are left out.

    Raises:
        UserError: see `require_size`.
    """
    require_size(size)
    side = size // PIXELS_PER_TOKEN
    tokens = side * side
    found = {(side, side)}
    for short in range(1, side + 1):
        long = min(tokens // short, int(WIDEST * short))
        if long >= short and short * long >= 0.9 * tokens:
            found |= {(short, long), (long, short)}
    return tuple(sorted((w * PIXELS_PER_TOKEN, h * PIXELS_PER_TOKEN) for w, h in found))


def nearest_bucket(width: int, height: int, size: int) -> tuple[int, int]:
    """Return the bucket of `size` whose aspect ratio is nearest to that of a picture, by the ratio of the ratios."""
    aspect = width / height

    def stretch(bucket: tuple[int, int]) -> float:
        ratio = bucket[0] / bucket[1] / aspect
        return max(ratio, 1 / ratio)

    return min(buckets(size), key=stretch)
