"""Keys and values of references that are not in the sequence, there to be seen by text and picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from comfy.ldm.flux.math import apply_rope
from torch import Tensor

from ..graph.keys import RUN

__all__ = ["Joined", "Write"]

Write = Callable[[slice, Tensor, Tensor], None]
"""Writes rotated keys, and values, of some of the references' tokens into tensors `b heads L D` of that many."""


@dataclass
class Joined:
    """Keys and values of the whole sequence in one model call.

    All its blocks get the same memory, because to take new memory for each of them costs more than to fill it; but not
    where another node looks at them behind us, which may keep them.
    """

    style: int
    """Style tokens, which stand before the text."""
    content: int
    """Content tokens, which stand behind the picture."""
    _whole: tuple[Tensor, Tensor] | None = None

    def put_back(
        self, q: Tensor, k: Tensor, v: Tensor, pe: Any, write: Write, options: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return what a patch of ComfyUI's `attn1` hands on: ComfyUI rotates keys behind it, so all are rotated here.

        Args:
            q: queries of text and picture, `b heads L D`.
            k: their keys.
            v: their values.
            pe: their positions; None: there are none.
            write: called for the style tokens and for the others, as far as there are any.
            options: transformer options of the call.
        """
        if pe is not None:
            q, k = apply_rope(q, k, pe)
        whole = self._whole
        if whole is None:
            batch, heads, middle, width = k.shape
            shape = (batch, heads, self.style + middle + self.content, width)
            whole = (k.new_empty(shape), v.new_empty(shape))
        if _is_alone(options):
            self._whole = whole
        keys, values = whole
        length, start = keys.shape[2], 0
        inner = slice(self.style, length - self.content)
        keys[:, :, inner], values[:, :, inner] = k, v
        for place in self.places(length):
            stop = start + place.stop - place.start
            write(slice(start, stop), keys[:, :, place], values[:, :, place])
            start = stop
        return {"q": q, "k": keys, "v": values, "pe": None}

    def places(self, length: int) -> list[slice]:
        """Return where style and content tokens stand in a sequence of so many tokens, as far as there are any."""
        both = (slice(0, self.style), slice(length - self.content, length))
        return [place for place in both if place.start < place.stop]  # ComfyUI cannot rotate no tokens at all


def _is_alone(options: Mapping[str, Any]) -> bool:
    """Whether nothing but ComfyUI's attention gets what our patches hand on."""
    run = options.get(RUN)
    patches = options.get("patches", {}).get("attn1_patch", ())
    return (
        run is not None
        and len(patches) == len(run.patches["attn1_patch"])
        and "optimized_attention_override" not in options
    )
