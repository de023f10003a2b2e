"""The whole way at full size with random weights, on the CPU: plan, encoding, one step, export, and their memory.

    python benchmarks/full_size.py --make FOLDER     writes about 20 GB of model files and three rows, in minutes
    python benchmarks/full_size.py FOLDER            runs; about half an hour on two cores with 24 GB

The run is one step of the recipe `my_style` at 256 pixels with a content reference of 256, with blocks that wait in
RAM. Printed are the report of `uso doctor` and, phase by phase, the most private and mapped memory of the process
beside what was planned, in GB. Mapped files are evicted where memory is short; private memory is what has to be there.
`--tiny` makes and runs small networks, to see that it works. `--without-products` leaves out the products with frozen
8-bit matrices, whose results are zeros of the same size: minutes instead of an hour, and the same memory. More
arguments are settings: `memory.blocks_to_swap=20`.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any
from unittest.mock import patch

import comfyui_uso.trainer.train as training
import psutil
import torch
from comfyui_uso.trainer.cli import log_to_terminal
from comfyui_uso.trainer.doctor import diagnose
from comfyui_uso.trainer.encoders.open import open_encoders
from comfyui_uso.trainer.engine import checkpoint
from comfyui_uso.trainer.export.run import export_run
from comfyui_uso.trainer.memory import frozen
from comfyui_uso.trainer.memory.plan import plan
from comfyui_uso.trainer.reading.recipe_files import RECIPES, load_recipe
from comfyui_uso.trainer.recipe import TrainConfig
from full_size_files import FULL, TINY, make_files, settings_for

GB = 1e9
ONE_STEP = ("loop.steps=1", "loop.warmup=0", "loop.loggers=[]", "monitor.samples_every=0", "data.size=256")
ONE_STEP += ("data.content_size=256", "conditions.dropout=0")
SMALL = ("memory.blocks_to_swap=1", "data.size=64", "data.content_size=64", "lora.rank=2")


class Watch:
    """The most private and mapped memory of this process in each phase, and how long it took."""

    def __init__(self, every: float = 0.05):
        self.most: dict[str, list[float]] = {}
        self._every, self._phase, self._done = every, "start", threading.Event()
        self._process, self._before, self._lock = psutil.Process(), time.monotonic(), threading.Lock()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def during(self, phase: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the work in a phase, and goes back to the one before."""

        @wraps(work)
        def watched(*inputs: Any, **named: Any) -> Any:
            self._note()
            before, self._phase = self._phase, phase
            try:
                return work(*inputs, **named)
            finally:
                self._note()  # it may have been shorter than the pause between two looks
                self._phase = before

        return watched

    def _look(self) -> None:
        while not self._done.wait(self._every):
            self._note()

    def _note(self) -> None:
        with self._lock:
            memory, now = self._process.memory_info(), time.monotonic()
            mapped = float(getattr(memory, "shared", 0))  # Linux tells them apart; elsewhere all counts as private
            found = self.most.setdefault(self._phase, [0.0, 0.0, 0.0])
            found[:] = max(found[0], memory.rss - mapped), max(found[1], mapped), found[2] + now - self._before
            self._before = now


class WithoutProduct(torch.autograd.Function):
    """Multiplies a matrix out as `FrozenLinear` does, and returns zeros in the place of the product."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor, bias: Any) -> torch.Tensor:
        ctx.save_for_backward(weight, scale)
        return _in_place_of_product(x, weight, scale, weight.shape[0])

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        weight, scale = ctx.saved_tensors
        return _in_place_of_product(grads[0], weight, scale, weight.shape[1]), None, None, None


def _in_place_of_product(x: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor, width: int) -> torch.Tensor:
    dtype = frozen.product_dtype(x.device, x.dtype)
    matrix, wide = frozen.multiplied_out(weight, scale, x.dtype).to(dtype), x.to(dtype)
    out = torch.zeros(*wide.shape[:-1], width, dtype=dtype)
    del matrix  # it and the input have been there beside the result, as for a product
    return out.to(x.dtype)


def main() -> int:
    """Make the files, or run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("settings", nargs="*", metavar="NAME=VALUE")
    parser.add_argument("--make", action="store_true", help="write the files and end")
    parser.add_argument("--tiny", action="store_true", help="small networks")
    parser.add_argument("--without-products", action="store_true", help="memory only, in minutes")
    args = parser.parse_args()
    if args.make:
        make_files(args.folder, TINY if args.tiny else FULL)
        return 0
    log_to_terminal()
    settings = [*ONE_STEP, *(SMALL if args.tiny else ()), *settings_for(args.folder), *args.settings]
    config = load_recipe(RECIPES / "my_style.yaml", texts=settings)
    print(diagnose(config).text, flush=True)
    product = WithoutProduct if args.without_products else frozen._FrozenProduct
    with Watch() as watch, patch.object(frozen, "_FrozenProduct", product):
        try:
            _run(config, watch)
        finally:  # what was measured until Ctrl-C is worth a look, too
            _report(config, watch)
    return 0


def _run(config: TrainConfig, watch: Watch) -> None:
    encoders = open_encoders(config)
    watched = replace(
        encoders,
        text=watch.during("encoding prompts", encoders.text),
        style=watch.during("encoding pictures", encoders.style),
        latent=watch.during("encoding pictures", encoders.latent),
    )
    with (
        patch.object(training, "build_networks", watch.during("reading FLUX", training.build_networks)),
        patch.object(training, "run", watch.during("training", training.run)),
        patch.object(training, "export", watch.during("saving", training.export)),
        patch.object(checkpoint, "save", watch.during("saving", checkpoint.save)),
    ):
        training.train(config, watched)
    print(watch.during("uso export", export_run)(config.loop.run_dir))


def _report(config: TrainConfig, watch: Watch) -> None:
    planned = {phase.name: phase for phase in plan(config, device="cpu").phases}
    print(f"{'GB':<20}{'planned':>9}{'private':>9}{'off by':>8}{'mapped':>9}{'seconds':>9}")
    for name, (private, mapped, seconds) in watch.most.items():
        phase = planned.get(name)
        told = f"{'':>9}{private / GB:9.2f}{'':>8}"
        if phase is not None:
            told = f"{phase.in_ram / GB:9.2f}{private / GB:9.2f}{phase.in_ram / private - 1:8.0%}"
        print(f"{name:<20}{told}{mapped / GB:9.2f}{seconds:9.0f}")


if __name__ == "__main__":
    sys.exit(main())
