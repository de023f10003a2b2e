"""One sampling with isolated references: which sets its calls read, and when a set has to be computed."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .reading import Blocks, Reading
from .reference_pass import reference_pass
from .store import Store, store_of

__all__ = ["IsolatedRun"]


@dataclass(frozen=True)
class _Known:
    """References that a call of this sampling had, and their sets."""

    network: Any
    """Of the card that computed them."""
    hooks: Hashable
    references: tuple[Tensor, ...]
    sets: tuple[Blocks, ...]

    def holds(self, network: Any, hooks: Hashable, references: Sequence[Tensor]) -> bool:
        return (
            self.network is network
            and self.hooks == hooks
            and len(self.references) == len(references)
            and all(_same(known, other) for known, other in zip(self.references, references, strict=True))
        )


class IsolatedRun:
    """The references of one sampling."""

    def __init__(self, patches: Hashable, plan: int):
        """Begin with what the network has kept.

        Args:
            patches: that tell the weights of a network from those it has with other LoRAs or strengths.
            plan: bytes that the references take.
        """
        self.plan = plan
        self.in_ram = False
        """Whether the card has no room for them."""
        self._patches = patches
        self._known: list[_Known] = []
        self._stores: set[Store] = set()

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
        sets = next((known.sets for known in self._known if known.holds(network, hooks, references)), None)
        if sets is None:
            sets = self._sets(network, hooks, references, has_style=style is not None)
            self._known.append(_Known(network, hooks, references, sets))
        own = 0 if style is None else style.shape[1]
        keys, _ = next(iter(sets[0].values()))
        return Reading(sets, own, keys.shape[2] - own, network.pe_embedder)

    def end(self) -> None:
        """Let the references rest until another sampling asks for them."""
        self._known.clear()
        for store in self._stores:
            store.rest()

    def _sets(
        self, network: Any, hooks: Hashable, references: Sequence[Tensor], *, has_style: bool
    ) -> tuple[Blocks, ...]:
        """Return a set for each row, or one where all rows have the same references."""
        store = store_of(network)
        self._stores.add(store)
        found: dict[Hashable, Blocks] = {}
        keys = []
        for row in range(max(map(len, references))):
            own = [part[row : row + 1] if len(part) > 1 else part for part in references]
            key = (self._patches, hooks, *map(_digest, own))
            keys.append(key)
            if key in found:
                continue
            device = torch.device("cpu") if self.in_ram else own[0].device
            kept = store.get(key, device)
            if kept is None:
                style, contents = (own[0], own[1:]) if has_style else (None, own)
                kept = store.put(key, reference_pass(network, style, contents, device))
            found[key] = kept
        return tuple(found[key] for key in (keys if len(found) > 1 else keys[:1]))


def _hooks(base: Any) -> Hashable:
    """Return what tells the changes of weights by which ComfyUI's hooks run a call from those of other calls."""
    group = getattr(base.current_patcher, "current_hooks", None)
    return () if group is None else tuple((hook.hook_ref, hook.strength) for hook in group.hooks)


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.device == other.device and torch.equal(one, other)


def _digest(part: Tensor) -> tuple[str, torch.dtype, torch.Size]:
    """Return what tells a tensor's values from others."""
    values = part.detach().cpu().contiguous().view(torch.uint8).numpy()
    return hashlib.sha256(values.tobytes()).hexdigest(), part.dtype, part.shape
