"""Near duplicates: of pictures that are alike the first one stays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["BITS", "hash_vectors", "leaders"]

BITS = 64
"""Of a perceptual hash."""
_ROUNDING = 1e-5
_AT_ONCE = 1 << 26
"""Cosines that are computed at once."""


def hash_vectors(hashes: Sequence[str]) -> np.ndarray:
    """Return perceptual hashes in hexadecimal as unit vectors `n 64`, of which the cosine is 1 - bits that differ / 32.

    Raises:
        ValueError: one is no number of 64 bits.
    """
    numbers = np.array([int(text, 16) for text in hashes], np.uint64)
    bits = np.unpackbits(numbers.view(np.uint8).reshape(-1, 8), axis=1)
    return (bits.astype(np.float32) * 2 - 1) / BITS**0.5


def leaders(vectors: np.ndarray, least: float, fixed: int = 0) -> np.ndarray:
    """Return for each picture the number of the first one that stays and is alike; its own where it stays itself.

    Those that stay whatever they are like may be alike in a chain: each has the number of the first of its chain.
    The work is a product of blocks with those that stay: `n` squared times `d` operations at most.

    Args:
        vectors: unit vectors `n d`, those that shall rather stay first; they are overwritten.
        least: cosine from which two pictures are alike.
        fixed: pictures at the beginning that stay whatever they are like.
    """
    count = len(vectors)
    leader = np.arange(count)
    numbers = np.arange(count)
    size = max(1, min(count, _AT_ONCE // max(1, count)))
    for start in range(0, fixed, size):
        stop = min(fixed, start + size)
        near = vectors[start:stop] @ vectors[:stop].T >= least - _ROUNDING
        near[:, start:] = np.tril(near[:, start:], -1)
        for place in map(int, np.flatnonzero(near.any(axis=1))):
            joined = np.unique(leader[: start + place][near[place, : start + place]])
            leader[start + place] = joined[0]
            if len(joined) > 1:
                leader[: start + place][np.isin(leader[: start + place], joined)] = joined[0]
    staying: int = fixed
    for start in range(fixed, count, size):
        block = vectors[start : start + size].copy()
        near = block @ vectors[:staying].T >= least - _ROUNDING
        found = near.any(axis=1)
        if found.any():
            leader[start + np.flatnonzero(found)] = numbers[near[found].argmax(axis=1)]
        left = np.flatnonzero(~found)
        among = block[left] @ block[left].T >= least - _ROUNDING
        stays = np.ones(len(left), bool)
        for place in range(len(left)):
            if stays[place]:
                alike = np.flatnonzero(among[place, place + 1 :] & stays[place + 1 :]) + place + 1
                stays[alike] = False
                leader[start + left[alike]] = start + left[place]
        new = left[stays]
        vectors[staying : staying + len(new)] = block[new]
        numbers[staying : staying + len(new)] = start + new
        staying += len(new)
    return leader
