"""What the metadata of a weight file says about where it comes from."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["OWN_PART", "WITH_USO_PART", "is_own_part", "is_trained"]

_STAGE = "uso.stage"
"""Stage of the trainer that wrote the file."""
_PART = "uso.part"
OWN_PART = {_PART: "own"}
"""Says that it is a LoRA without the published one beside which it was trained."""
WITH_USO_PART = {_PART: "with-uso"}
"""Says that it is a LoRA together with the published one beside which it was trained."""


def is_trained(metadata: Mapping[str, str]) -> bool:
    """Whether a run of the trainer wrote the file; released files have no such mark."""
    return _STAGE in metadata


def is_own_part(metadata: Mapping[str, str]) -> bool:
    """Whether it is a LoRA that does nothing useful without the one it was trained beside."""
    return metadata.get(_PART) == OWN_PART[_PART]
