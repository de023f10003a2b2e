"""What the metadata of a weight file says about where it comes from."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["OWN_PART", "WITH_START_PART", "WITH_USO_PART", "beside", "is_own_part", "is_trained", "trained_beside"]

_STAGE = "uso.stage"
"""Stage of the trainer that wrote the file."""
_PART = "uso.part"
OWN_PART = {_PART: "own"}
"""Says that it is a LoRA without the published one beside which it was trained."""
WITH_USO_PART = {_PART: "with-uso"}
"""Says that it is a LoRA together with the published one beside which it was trained."""
WITH_START_PART = {_PART: "with-start"}
"""Says that it is a LoRA together with another one, not USO's, beside which it was trained."""
_BESIDE = "uso.beside"


def trained_beside(name: str) -> dict[str, str]:
    """Return what a LoRA says of itself that was trained beside another one than USO's, whose file has this name."""
    return {**OWN_PART, _BESIDE: name}


def beside(metadata: Mapping[str, str]) -> str | None:
    """Return the name of the LoRA beside which one was trained, None for USO's."""
    return metadata.get(_BESIDE)


def is_trained(metadata: Mapping[str, str]) -> bool:
    """Whether a run of the trainer wrote the file; released files have no such mark."""
    return _STAGE in metadata


def is_own_part(metadata: Mapping[str, str]) -> bool:
    """Whether it is a LoRA that does nothing useful without the one it was trained beside."""
    return metadata.get(_PART) == OWN_PART[_PART]
