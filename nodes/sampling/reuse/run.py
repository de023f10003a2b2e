"""One sampling in which references are reused: which calls compute them, and what the others read in their place.

Nothing of one call may be read by another that has other references, another prompt, another place in the picture: what
is kept is kept by the conditioning entries of the call (ComfyUI's uuids), their sides, the sizes, the place in the
picture, the strengths of LoRAs that are scheduled, the device, and by the how manyth request for its entries it belongs
to within one evaluation of the sampler (guidance by a perturbed call).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from comfy.model_management import get_free_memory
from torch import Tensor

from ....uso_model.dials.bias import Layout
from ...graph.keys import UUID
from ..put_back import Joined
from .kept import SAME_TIME, Block, Kept
from .memory import Sizes, kept_bytes
from .place import place_of
from .requests import Member, Requests
from .settings import ReuseSettings

__all__ = ["ReuseRun", "Turn"]

logger = logging.getLogger(__name__)

Key = tuple[Any, ...]

_CPU = torch.device("cpu")

_FIRST_WAIT = 3
"""Most steps between refreshes until an error was measured. Fewer are no safer: a line through two times that are close
together leads astray (`benchmarks/references_error.py`)."""


@dataclass
class Turn:
    """One call: it keeps what it computes of the references, or reads what was kept of them."""

    kept: Kept
    replays: bool
    """Whether it reads what was kept."""
    time: float
    step: int
    layout: Layout
    """Of the sequence with all references."""
    measures: bool = False
    """Whether it compares what it computes with what would have been read."""
    put: set[Block] = field(default_factory=set)
    """Blocks that were kept in this call."""
    writing: bool = False
    """Whether a block is being kept, or an error came in between."""
    error: Tensor | None = None
    """Squared error of the values, and their square: `2`."""

    @cached_property
    def joined(self) -> Joined:
        """Return what all blocks of the call see, if it reads what was kept."""
        return Joined(self.layout.style, sum(self.layout.references))

    def keep(self, block: Block, keys: Sequence[Tensor], values: Sequence[Tensor]) -> None:
        """Keep rotated keys and values `b heads L D` of a block, from one or more pieces each."""
        self.writing = True
        again = block in self.put
        if (self.measures or self.kept.corrects) and self.kept.foretells_of(self.time) and not again:
            self._learn(block, torch.cat(list(keys), dim=2), torch.cat(list(values), dim=2))
        self.kept.put(block, keys, values, self.time, again)
        self.put.add(block)
        self.writing = False

    def _learn(self, block: Block, keys: Tensor, values: Tensor) -> None:
        """Compare what was computed with what would have been read."""
        wrong = (torch.empty_like(keys), torch.empty_like(values))
        self.kept.forecast(block, self.time, slice(None), *wrong)
        for foretold, computed in zip(wrong, (keys, values), strict=True):
            foretold -= computed
        if self.measures:
            error = torch.stack([part.float().square().sum() for part in (wrong[1], values)])
            self.error = error if self.error is None else self.error + error
        if self.kept.corrects:
            self.kept.correct(block, wrong)


class ReuseRun:
    """What is kept in one sampling."""

    def __init__(self, settings: ReuseSettings, sizes: Sizes, plan: int, parts: Mapping[Any, Any]):
        """Begin with nothing kept.

        Args:
            settings: of the node.
            sizes: what decides how much a token takes.
            plan: bytes that the run may take of the card.
            parts: for an entry's uuid that of the entry it is a part of.
        """
        self.plan = plan
        self.in_ram = False
        """Whether the card has no room for it."""
        self._settings, self._sizes, self._parts = settings, sizes, parts
        self._kept: dict[Key, Kept] = {}
        self._requests = Requests()
        self._evaluation, self._step, self._steps, self._time = 0, 0, 1, 0.0
        self._lift = 1.0
        """By what factor a sampler with churn lifts the sigma of each step before it asks."""
        self._whole: Tensor | None = None
        self._lock = threading.Lock()  # one thread for each card
        self._kept_any = self._asked = self._over = False

    def begin_evaluation(self, x: Tensor, time: float, sigmas: Tensor | None) -> None:
        """Say that the sampler asks for the next prediction.

        Args:
            x: latents of the step, `b c h w`.
            time: of the step.
            sigmas: of all steps; None: not known.
        """
        self._requests.clear()
        self._evaluation += 1
        self._whole, self._time = x, time
        if self._evaluation == 1 and sigmas is not None:
            self._lift = max(1.0, time / float(sigmas.flatten()[0]))
        self._step, self._steps = _step(sigmas, time / self._lift)

    def during(self, conds: Iterable[Iterable[Mapping[str, Any]] | None], x: Tensor) -> AbstractContextManager[None]:
        """Count calls as those of one request of the evaluation: for so many sides, and their entries.

        Args:
            conds: entries of each side; None: the side is not asked for.
            x: latents of the request.
        """
        uuids = [(entry.get(UUID), side) for side, entries in enumerate(conds) for entry in entries or ()]
        place = None if self._whole is None else place_of(x, self._whole)
        return self._requests.during(self._members(uuids), place)

    def turn(self, options: Mapping[str, Any], layout: Layout, x: Tensor, weights: Key = ()) -> Turn | None:
        """Return what a call does; None where it computes its references and none are kept.

        Args:
            options: transformer options of the call.
            layout: of its sequence.
            x: its latents, `b c h w`.
            weights: what tells LoRAs that change along the sampling.
        """
        place = None if self._whole is None else place_of(x, self._whole)
        if place is None:
            return None
        members = self._members(zip(options.get("uuids", ()), options.get("cond_or_uncond", ()), strict=False))
        base: Key = (members, layout, tuple(x.shape), place, weights, x.device)
        with self._lock:
            key: Key = (*base, self._requests.number(members, place, base))
            kept = self._kept.get(key) or self._new(key, x, layout)
            if kept is None:
                return None
            kept.used = self._evaluation
            return self._turn(kept, layout)

    def finish(self, turn: Turn) -> None:
        """Count a call that has ended; what only some blocks computed is forgotten."""
        kept = turn.kept
        if turn.writing or 0 < len(turn.put) < self._sizes.blocks:
            kept.forget()
            return
        if not turn.put:
            return
        self._kept_any = True
        distance = kept.distance(turn.time)
        if turn.error is not None and distance > 0:
            wrong, whole = turn.error.tolist()
            kept.curvature = (wrong / max(whole, 1e-30)) ** 0.5 / distance
        kept.close(turn.time, turn.step)

    def end(self) -> None:
        """Drop all that is kept, and say so if there never was anything."""
        self._kept.clear()
        self._whole = None
        if self._asked and not self._kept_any:
            logger.warning(
                "USO Reuse References had no effect, every step was computed whole: something (such as Nunchaku, or a "
                "cache that leaves out blocks) runs the network without ComfyUI's patches of attention."
            )

    def _members(self, uuids: Iterable[Member]) -> tuple[Member, ...]:
        return tuple((self._parts.get(uuid, uuid), side) for uuid, side in uuids)

    def _turn(self, kept: Kept, layout: Layout) -> Turn | None:
        step, time = self._step, self._time
        back = bool(kept.times) and time > kept.times[0] + SAME_TIME
        if not back and self._may_replay(kept):
            return Turn(kept, True, time, step, layout)
        inside = bool(kept.times) and not back and time > kept.times[-1] + SAME_TIME
        if inside or (kept.step == step and not kept.is_newest(time)):
            return None  # a step is kept once: times close together would be a poor base for what comes
        if step >= self._steps - self._settings.last:
            return None  # nothing will be read any more
        if back:
            kept.forget()
        self._asked = True
        return Turn(kept, False, time, step, layout, self._settings.tolerance > 0)

    def _may_replay(self, kept: Kept) -> bool:
        """Whether a call may read what was kept."""
        settings, step = self._settings, self._step
        if not kept.times or step < settings.first or step >= self._steps - settings.last:
            return False
        if step == kept.step:  # samplers of second order ask twice
            return True
        if len(kept.times) < settings.depth or step - kept.step >= settings.every:
            return False
        if settings.tolerance == 0:
            return True
        if kept.curvature is None:
            return step - kept.step < _FIRST_WAIT
        return kept.curvature * kept.distance(self._time) <= settings.tolerance

    def _new(self, key: Key, x: Tensor, layout: Layout) -> Kept | None:
        """Return a place for what a call keeps; None where there is no room."""
        size = kept_bytes(x.shape[0] * (layout.style + sum(layout.references)), self._sizes)
        stale = [other for other, kept in self._kept.items() if kept.used < self._evaluation]
        stale.sort(key=lambda other: self._kept[other].used)
        device = _CPU if self.in_ram else x.device
        while stale and self._taken(device) + size > self.plan:
            del self._kept[stale.pop(0)]
        if self._taken(device) + size > self.plan:
            if not self._over:
                self._over = True
                logger.info(
                    "USO Reuse References keeps a part of the references in RAM, where there is room: a step calls "
                    "the model more often than planned, for tiles or for a guidance of its own (skip-layer)."
                )
            if get_free_memory(_CPU) < 2 * size:
                return None
            device = _CPU
        kept = self._kept[key] = Kept(self._settings.depth, device, size, self._settings.form == "corrected")
        return kept

    def _taken(self, device: torch.device) -> int:
        return sum(kept.size for kept in self._kept.values() if kept.device == device)


def _step(sigmas: Tensor | None, time: float) -> tuple[int, int]:
    """Return the number of the step that a time lies in, and of all; where no steps are known, each is the first."""
    if sigmas is None:
        return 0, 1
    known = sigmas.flatten().tolist()
    return max(sum(sigma >= time - SAME_TIME for sigma in known[:-1]) - 1, 0), len(known) - 1
