"""One sampling with isolated references: which sets its calls read, and when a set has to be computed."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..attention import content_tokens
from ..reuse.memory import Sizes, kept_bytes
from .reading import Blocks, Reading
from .reference_pass import reference_pass
from .store import Store, store_of

__all__ = ["IsolatedRun"]


@dataclass(frozen=True)
class _Known:
    """References that a call of this sampling had, and what tells them from others, row by row."""

    references: tuple[Tensor, ...]
    rows: tuple[Hashable, ...]

    def holds(self, references: Sequence[Tensor]) -> bool:
        return len(self.references) == len(references) and all(
            _same(known, other) for known, other in zip(self.references, references, strict=True)
        )


class IsolatedRun:
    """The references of one sampling."""

    def __init__(self, patches: Hashable, sizes: Sizes, plan: int):
        """Begin with what the network has kept.

        Args:
            patches: that tell the weights of a network from those it has with other LoRAs or strengths.
            sizes: what decides how much a token takes.
            plan: bytes that the references take.
        """
        self.plan = plan
        self.in_ram = False
        """Whether the card has no room for them."""
        self._patches, self._sizes = patches, sizes
        self._known: list[_Known] = []
        self._stores: set[Store] = set()

    def begin_evaluation(self) -> None:
        """Say that the sampler asks for the next prediction."""
        for store in self._stores:
            store.begin_evaluation()

    def reading(self, base: Any, style: Tensor | None, contents: Sequence[Tensor]) -> Reading:
        """Return what a call reads; what is not there yet is computed.

        Args:
            base: ComfyUI's BaseModel that is called.
            style: style tokens `b L D`.
            contents: latents `b c h w`, as the network reads them.

        Raises:
            UserError: something runs the network without ComfyUI's patches.
        """
        network, dtype = base.diffusion_model, base.get_dtype_inference()
        parts = [*([] if style is None else [style]), *contents]
        references = tuple(part.to(dtype) for part in parts)
        hooks = _hooks(base)
        sets = []
        for row, told in enumerate(self._rows(references)):
            one = [part[row : row + 1] if len(part) > 1 else part for part in references]
            own, others = (None, one) if style is None else (one[0], one[1:])
            sets.append(self._set(network, (self._patches, hooks, told), own, others))
        length = 0 if style is None else style.shape[1]
        keys, _ = next(iter(sets[0].values()))
        return Reading(sets, length, keys.shape[2] - length, network.pe_embedder)

    def end(self) -> None:
        """Let the references rest until another sampling asks for them."""
        self._known.clear()
        for store in self._stores:
            store.rest()

    def _rows(self, references: tuple[Tensor, ...]) -> tuple[Hashable, ...]:
        """Return what tells the references of each row from others, once where all rows have the same ones."""
        rows = next((known.rows for known in self._known if known.holds(references)), None)
        if rows is None:
            digests = [[_digest(one) for one in part.split(1)] for part in references]
            most = max(map(len, digests))
            rows = tuple(tuple(part[row if len(part) > 1 else 0] for part in digests) for row in range(most))
            rows = rows if len(set(rows)) > 1 else rows[:1]
            self._known.append(_Known(references, rows))
        return rows

    def _set(self, network: Any, key: Hashable, style: Tensor | None, contents: Sequence[Tensor]) -> Blocks:
        """Return the set of one row, which is computed if it is not there."""
        store = store_of(network)
        self._stores.add(store)
        device = torch.device("cpu") if self.in_ram else (contents[0] if style is None else style).device
        kept = store.get(key, device, self.plan)
        if kept is None:
            tokens = sum(content_tokens(contents)) + (0 if style is None else style.shape[1])
            device = store.room(kept_bytes(tokens, self._sizes), device, self.plan)
            kept = store.put(key, reference_pass(network, style, contents, device))
        return kept


def _hooks(base: Any) -> Hashable:
    """Return what tells the changes of weights by which ComfyUI's hooks run a call from those of other calls."""
    group = getattr(base.current_patcher, "current_hooks", None)
    return () if group is None else tuple((hook.hook_ref, hook.strength) for hook in group.hooks)


def _same(one: Tensor, other: Tensor) -> bool:
    alike = one.shape == other.shape and one.dtype == other.dtype and one.device == other.device
    return alike and torch.equal(one, other)


def _digest(part: Tensor) -> tuple[str, torch.dtype, torch.Size]:
    """Return what tells a tensor's values from others."""
    values = part.detach().cpu().contiguous().view(torch.uint8).numpy()
    return hashlib.sha256(values.tobytes()).hexdigest(), part.dtype, part.shape
