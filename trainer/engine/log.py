"""Numbers of a run: a JSON line always, loggers where asked for, a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import logging
import platform
import sys
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType

import torch
from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from ..settings.loop import LoopConfig
from .distributed import gather

__all__ = ["LOG", "RunLog", "time_spent"]

logger = logging.getLogger(__name__)

LOG = "log.jsonl"
ENVIRONMENT = "env.json"
_PACKAGES = ("torch", "accelerate", "peft", "transformers", "safetensors", "open_clip_torch", "bitsandbytes")


class RunLog:
    """Averages scalars between two lines and writes them. Only the main process writes."""

    def __init__(self, config: LoopConfig, accelerator: Accelerator, start: int):
        self._config, self._accelerator, self._main = config, accelerator, accelerator.is_main_process
        self._sums: dict[str, list[Tensor]] = {}
        self._began, self._start = time.monotonic(), start
        self._bar = tqdm(
            total=config.steps, initial=start, unit="step", disable=not (self._main and sys.stderr.isatty())
        )
        self._redirected = logging_redirect_tqdm()

    def __enter__(self) -> RunLog:
        if self._main:
            environment = {"python": platform.python_version(), "platform": platform.platform(), **_versions()}
            environment["device"] = str(self._accelerator.device)
            environment["processes"] = str(self._accelerator.num_processes)
            (self._config.run_dir / ENVIRONMENT).write_text(json.dumps(environment, indent=1), encoding="utf-8")
        if self._config.loggers:
            self._accelerator.init_trackers(self._config.run_dir.name)
        self._redirected.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._redirected.__exit__(kind, error, trace)
        self._bar.close()
        if self._config.loggers:
            self._accelerator.end_training()

    def add(self, scalars: Mapping[str, Tensor]) -> None:
        """Take in scalars of a step; those of one name are averaged until the next line."""
        for name, value in scalars.items():
            self._sums.setdefault(name, []).append(value.detach().float())

    def step(self, done: int, extra: Mapping[str, float]) -> None:
        """Move the progress on, and write a line when one is due."""
        self._bar.update(done - self._bar.n)
        if not self.due(done):
            return
        steps, elapsed = done - self._start, time.monotonic() - self._began
        record = self._averages()
        record |= {**extra, "seconds": round(elapsed, 1), "rows_per_second": steps * self._config.batch_size / elapsed}
        self.write(done, record)
        if self._main and self._bar.disable:
            left = (self._config.steps - done) * elapsed / steps
            shown = " ".join(f"{name} {value:.5g}" for name, value in record.items() if name != "seconds")
            logger.info("step %d of %d: %s, %s left", done, self._config.steps, shown, _clock(left))

    def _averages(self) -> dict[str, float]:
        """Return the mean of each scalar since the last line, over all processes; some see only a few of them."""
        own = {name: (torch.stack(parts).sum().item(), len(parts)) for name, parts in self._sums.items()}
        self._sums.clear()
        everyone = gather(own)
        names = dict.fromkeys(name for part in everyone for name in part)
        pairs = {name: [part[name] for part in everyone if name in part] for name in names}
        return {name: sum(total for total, _ in found) / sum(n for _, n in found) for name, found in pairs.items()}

    def due(self, done: int) -> bool:
        """Say whether a line is due after so many steps."""
        return done % self._config.log_every == 0 or done == self._config.steps

    def write(self, done: int, record: Mapping[str, float]) -> None:
        """Write one line."""
        if not record:
            return
        if self._main:
            values = {name: float(f"{value:.6g}") for name, value in record.items()}
            with (self._config.run_dir / LOG).open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": done, **values}) + "\n")
        if self._config.loggers:
            self._accelerator.log(dict(record), step=done)


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"


def time_spent(run_dir: Path) -> float:
    """Return the seconds that a run took, from its log; a run that was interrupted has been timed anew each time."""
    lines = (run_dir / LOG).read_text(encoding="utf-8").splitlines()
    marks = [record["seconds"] for record in map(json.loads, lines) if "seconds" in record]
    ends = [now for now, later in zip(marks, [*marks[1:], 0.0], strict=True) if later < now]
    return sum(ends)
