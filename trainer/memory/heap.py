"""The C library's heap: what is freed between the steps of a large network is to go back to the system.

glibc maps blocks of a certain size by themselves, and raises that size to 32 MB as larger ones are freed. FLUX.1's
activations are 10 to 30 MB each on the CPU; from then on they lie in the heap between those that stay, and the gaps
fit nothing: 19 GB instead of 14 for a step at 256 pixels (measured, glibc 2.36). Mapped ones leave no gaps.
Source: mallopt(3), M_MMAP_THRESHOLD.
"""

from __future__ import annotations

import ctypes
import sys

__all__ = ["LARGE", "return_freed_memory"]

LARGE = 2 << 30
"""Bytes of a network's file from which on this is worth the pages that the system clears anew."""

_M_MMAP_THRESHOLD = -3
_BLOCK = 1 << 20


def return_freed_memory() -> bool:
    """Let blocks of 1 MB and more be mapped, and return whether the C library took it; others than glibc do not."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(_M_MMAP_THRESHOLD, _BLOCK) == 1
