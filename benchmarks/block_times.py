"""Times of a network's blocks while ComfyUI samples, and of a step of FLUX.1 with as many of them as it has."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, NamedTuple

import torch
from comfy_step import Bench, Case, sampled

DOUBLE, SINGLE = 19, 38
"""Blocks of FLUX.1."""


class Step(NamedTuple):
    """Seconds of one double block, of one single block, and of what is not blocks."""

    double: float
    single: float
    rest: float

    @property
    def whole(self) -> float:
        """Return the seconds of a step of FLUX.1."""
        return DOUBLE * self.double + SINGLE * self.single + self.rest


class Clock:
    """Times the steps of a network, and its blocks."""

    def __init__(self, bench: Bench, processor: bool):
        self.network, self.device, self.processor = bench.model.model.diffusion_model, bench.device, processor
        self.steps: list[Step] = []
        self.spent = {"double": 0.0, "single": 0.0}
        self.kinds = {"double": self.network.double_blocks, "single": self.network.single_blocks}
        for kind, blocks in self.kinds.items():
            for block in blocks:
                block.register_forward_pre_hook(partial(self.count, kind, -1))
                block.register_forward_hook(partial(self.count, kind, 1))

    def now(self) -> float:
        """Return the seconds until now, by the clock or summed over the processors."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.process_time() if self.processor else time.perf_counter()

    def count(self, kind: str, sign: int, *_: Any) -> None:
        """Add the time of a block that ends, and take off that of one that begins."""
        self.spent[kind] += sign * self.now()

    def timed(self, executor: Any, *args: Any, **kwargs: Any) -> Any:
        """Time a step; a wrapper of ComfyUI's `predict_noise`."""
        self.spent = dict.fromkeys(self.spent, 0.0)
        since = self.now()
        result = executor(*args, **kwargs)
        rest = self.now() - since - sum(self.spent.values())
        double, single = (self.spent[kind] / (len(blocks) or 1) for kind, blocks in self.kinds.items())
        self.steps.append(Step(double, single, rest))
        return result

    def sample(self, case: Case, steps: int) -> list[Step]:
        """Return the times of every step of a sampling."""
        from comfy.patcher_extension import WrappersMP

        self.steps = []
        model = case.model.clone()
        model.add_wrapper_with_key(WrappersMP.PREDICT_NOISE, "benchmark", self.timed)
        sampled(case._replace(model=model), steps)
        return self.steps
