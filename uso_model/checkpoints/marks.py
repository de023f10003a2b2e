"""What the metadata of a weight file says about where it comes from."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ..isolation import is_mark
from .lora_names import place_of

__all__ = [
    "ISOLATED",
    "MARKER",
    "OWN_PART",
    "WITH_START_PART",
    "WITH_USO_PART",
    "beside",
    "is_isolated",
    "is_marker",
    "is_own_part",
    "is_trained",
    "trained_beside",
]

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
_REFERENCES = "uso.references"
ISOLATED = {_REFERENCES: "isolated"}
"""Says that references see only themselves in the network that a LoRA makes; see `uso_model.isolation`."""
_BIAS = "diff_b"
_LAST = ("final_layer.linear", "proj_out")
"""BFL's and diffusers' name of FLUX's last layer."""
MARKER = f"{_LAST[0]}.{_BIAS}"
"""Tensor of a LoRA, by its plain name, that says the same to readers which do not see the metadata.

It is `uso_model.isolation.mark`: a change of FLUX's last bias by next to nothing, which loaders add like any other.
"""


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


def is_isolated(metadata: Mapping[str, str], tensors: Mapping[str, Tensor] | None = None) -> bool:
    """Whether the metadata of a LoRA or its tensors say that references see only themselves."""
    marked = metadata.get(_REFERENCES) == ISOLATED[_REFERENCES]
    return marked or any(is_marker(key, tensor) for key, tensor in (tensors or {}).items())


def is_marker(key: str, tensor: Tensor) -> bool:
    """Whether a tensor is the one that marks a LoRA as isolated; one with other values is another LoRA's."""
    if not key.endswith(_BIAS):
        return False
    place = place_of(key)
    return place is not None and place.layer in _LAST and is_mark(tensor)
