"""Numbers of a run: a JSON line always, loggers where asked for, a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import logging
import platform
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType

import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor
from tqdm.contrib.logging import logging_redirect_tqdm

from ..settings.loop import LoopConfig
from .distributed import gather
from .events import EVENTS
from .loss import Measured
from .progress import RECENT, Bar, StepTimes
from .telling import telling

__all__ = ["LOG", "RunLog", "time_spent"]

logger = logging.getLogger(__name__)

LOG = "log.jsonl"
ENVIRONMENT = "env.json"
_PACKAGES = ("torch", "accelerate", "peft", "transformers", "safetensors", "open_clip_torch", "bitsandbytes")


class RunLog:
    """Averages scalars between two lines and writes them. Only the main process writes.

    Numbers are a by-product: where they cannot be written, that is said once and the run goes on.
    """

    def __init__(self, config: LoopConfig, accelerator: Accelerator, start: int):
        self._config, self._accelerator, self._main = config, accelerator, accelerator.is_main_process
        self._sums: dict[str, list[Tensor]] = {}
        self._began = time.monotonic()
        self._times, self._losses = StepTimes(), deque[float](maxlen=RECENT)
        self._first = ExitStack()
        self._loggers = bool(config.loggers)
        self._said: set[str] = set()
        self._bar = Bar(config.steps, start, disable=not (self._main and sys.stderr.isatty()))
        self._redirected = logging_redirect_tqdm()

    def __enter__(self) -> RunLog:
        if self._main:
            environment = {"python": platform.python_version(), "platform": platform.platform(), **_versions()}
            environment["device"] = str(self._accelerator.device)
            environment["processes"] = str(self._accelerator.num_processes)
            text = json.dumps(environment, indent=1)
            self._try(ENVIRONMENT, lambda: (self._config.run_dir / ENVIRONMENT).write_text(text, encoding="utf-8"))
        if self._loggers:
            name = self._config.run_dir.absolute().name
            self._loggers = self._try("loggers", lambda: self._accelerator.init_trackers(name))
        self._redirected.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._first.close()
        self._redirected.__exit__(kind, error, trace)
        self._bar.close()
        if self._loggers:
            self._try("loggers", self._accelerator.end_training)

    def begin(self) -> None:
        """Mark the start of a step."""
        if not self._times.steps:
            self._first.enter_context(telling("computing the first step"))
        self._times.begin()

    def add(self, scalars: Mapping[str, Tensor]) -> None:
        """Take in scalars of a step; those of one name are averaged until the next line."""
        for name, value in scalars.items():
            self._sums.setdefault(name, []).append(value.detach().float())

    def step(self, done: int, extra: Mapping[str, float]) -> None:
        """Mark the end of a step, move the progress on, and write a line when one is due."""
        # First: all processes take part in it, whatever a terminal or a disk does to one of them.
        latest = self._sums.get("loss", [])[-1:]
        averages = self._averages() if self.due(done) else None
        self._times.end()
        self._first.close()
        seconds = self._times.mean()
        if EVENTS.wanted or not self._bar.disable:
            self._losses.extend(float(value) for value in latest)
        if not self._bar.disable:
            self._bar.show(done, self._times, self._losses, extra.get("learning_rate", 0.0))
        if EVENTS.wanted:
            self._tell(done, extra)
        if averages is None:
            return
        elapsed = time.monotonic() - self._began
        record = {
            **averages,
            **extra,
            "seconds": round(elapsed, 1),
            "rows_per_second": self._config.batch_size / seconds,
        }
        self.write(done, record)
        if self._main and self._bar.disable:
            shown = " ".join(f"{name} {value:.5g}" for name, value in record.items() if name != "seconds")
            left = self._times.left(self._config.steps - done)
            logger.info("step %d of %d: %s%s", done, self._config.steps, shown, left)

    def _tell(self, done: int, extra: Mapping[str, float]) -> None:
        """Write the event of a step."""
        steps = self._config.steps
        EVENTS.often(
            "step",
            always=done == steps,
            step=done,
            steps=steps,
            loss=sum(self._losses) / len(self._losses) if self._losses else None,
            learning_rate=extra.get("learning_rate"),
            seconds_per_step=self._times.mean(),
            seconds_left=self._times.seconds_left(steps - done),
        )

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

    def write(self, done: int, record: Measured) -> None:
        """Write one line of the numbers, and give numbers and pictures to the loggers."""
        numbers = {name: value for name, value in record.items() if not isinstance(value, Image.Image)}
        pictures = {name: value for name, value in record.items() if isinstance(value, Image.Image)}
        if self._main and numbers:
            values = {name: float(f"{value:.6g}") for name, value in numbers.items()}
            self._try(LOG, lambda: self._append(json.dumps({"step": done, **values}) + "\n"))
        if self._loggers and numbers:
            self._try("loggers", lambda: self._accelerator.log(numbers, step=done))
        if self._loggers and pictures and self._main and "tensorboard" in self._config.loggers:
            self._try("tensorboard", lambda: self._show(done, pictures))

    def _append(self, line: str) -> None:
        with (self._config.run_dir / LOG).open("a", encoding="utf-8") as file:
            file.write(line)

    def _show(self, done: int, pictures: Mapping[str, Image.Image]) -> None:
        writer = self._accelerator.get_tracker("tensorboard", unwrap=True)
        for name, picture in pictures.items():
            writer.add_image(name, np.asarray(picture), done, dataformats="HWC")
        writer.flush()

    def _try(self, what: str, write: Callable[[], object]) -> bool:
        """Say whether something could be written; what a logger raises is known to its package alone."""
        try:
            write()
        except Exception as error:
            if what not in self._said:
                reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
                place = f"{what} of {self._config.run_dir}"
                logger.warning("%s cannot be written (%s): the run goes on, and numbers are lost", place, reason)
            self._said.add(what)
            return False
        return True


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def time_spent(run_dir: Path) -> float:
    """Return the seconds that a run took, from its log; a run that was interrupted has been timed anew each time."""
    lines = (run_dir / LOG).read_text(encoding="utf-8").splitlines()
    marks = [record["seconds"] for record in map(json.loads, lines) if "seconds" in record]
    ends = [now for now, later in zip(marks, [*marks[1:], 0.0], strict=True) if later < now]
    return sum(ends)
