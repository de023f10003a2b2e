"""What keeping references takes: so many bytes for each of their tokens, and for how many of them at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from comfy.controlnet import ControlBase
from comfy.model_management import get_free_memory, minimum_inference_memory

from ...graph.keys import END, REFERENCES, START, STYLE
from ..attention import content_tokens

__all__ = ["Extra", "Sizes", "kept_bytes", "most_tokens", "tokens_of", "with_room"]

KEYS_AND_VALUES = 2

_OURS = "uso_memory"
"""The side that tells ComfyUI of the memory; it is taken out again before anything is sampled."""


@dataclass(frozen=True)
class Sizes:
    """What decides how many bytes a token takes."""

    width: int
    """Of the network."""
    blocks: int
    """Double and single ones."""
    itemsize: int = 2
    """Bytes of a number; 2: bfloat16."""
    depth: int = 1
    """Refreshes that are kept."""


def kept_bytes(tokens: int, sizes: Sizes) -> int:
    """Return the bytes that keys and values of so many tokens take, rows of a batch counted one by one."""
    return KEYS_AND_VALUES * tokens * sizes.width * sizes.blocks * sizes.itemsize * sizes.depth


def tokens_of(entry: Mapping[str, Any]) -> int:
    """Return the tokens of the references of a conditioning entry."""
    style = entry.get(STYLE)
    return (0 if style is None else style.shape[1]) + sum(content_tokens(entry.get(REFERENCES) or ()))


def most_tokens(entries: Iterable[Mapping[str, Any]]) -> int:
    """Return the tokens of the references of conditioning entries, where most of them count at the same time."""
    parts = [(entry.get(START, 0.0), entry.get(END, 1.0), tokens_of(entry)) for entry in entries]
    return max((sum(n for start, end, n in parts if start <= at < end) for at, _, _ in parts), default=0)


def with_room(
    size: int, executor: Any, model: Any, noise_shape: Sequence[int], conds: dict[str, Any], *args: Any, **kwargs: Any
) -> tuple[Any, bool]:
    """Have ComfyUI prepare a sampling that needs so many bytes besides; for wrappers of its `prepare_sampling`.

    Returns:
        What ComfyUI returns, and whether the card has room for them.
    """
    asked = {**conds, _OURS: [{"control": Extra(size)}]}
    real, prepared, models = executor(model, noise_shape, asked, *args, **kwargs)
    device = model.load_device
    fits = device.type == "cpu" or get_free_memory(device) >= size + minimum_inference_memory()
    return (real, {side: entries for side, entries in prepared.items() if side != _OURS}, models), fits


class Extra(ControlBase):  # type: ignore[misc]
    """Memory that a sampling needs besides: ComfyUI asks control nets for theirs, and leaves so much of the card free.

    Source: ComfyUI, comfy/sampler_helpers.py (get_additional_models).
    """

    def __init__(self, size: int):
        """Take the bytes."""
        super().__init__()
        self._size = size

    def inference_memory_requirements(self, dtype: Any) -> int:
        """Return the bytes."""
        return self._size

    def get_models(self) -> list[Any]:
        """Return no model."""
        return []

    def get_instance_for_device(self, device: Any) -> Extra:
        """Return itself: there is nothing to copy to another card."""
        return self

    def deepclone_multigpu(self, load_device: Any, autoregister: bool = False) -> Extra:
        """Return itself."""
        return self
