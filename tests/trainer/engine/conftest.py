"""A network of one matrix and a batch of numbers: everything about the loop, nothing about pictures."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_uso.trainer.engine.loss import LossTerm
from comfyui_uso.trainer.engine.randomness import StepRandom
from comfyui_uso.trainer.settings.loop import LoopConfig
from torch import Tensor, nn


class Toy(nn.Module):
    """Fit a random linear map; one parameter is frozen."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.weight = nn.Parameter(torch.randn(3, 3, generator=generator))
        self.bias = nn.Parameter(torch.zeros(3))
        self.frozen = nn.Parameter(torch.randn(3, 3, generator=generator), requires_grad=False)

    def errors(self, x: Tensor) -> Tensor:
        """Return the error of each row of `x`, `b 3`."""
        return (x @ self.weight.T + self.bias - x @ self.frozen.T).square().mean(dim=1)

    def losses(self, x: Tensor, random: StepRandom) -> dict[str, Tensor]:
        """Return the mean error and that of each row."""
        errors = self.errors(x)
        return {"loss": errors.mean(), "rows": errors.detach()}


def rows_of(random: StepRandom) -> Tensor:
    """Return the rows of a micro-batch, each from its own generator."""
    return torch.stack([torch.randn(3, generator=random.row(i, "x")) for i in range(random.rows)])


def names_of(random: StepRandom) -> list[str]:
    """Name rows by their place in the step."""
    return [f"row{random.first + i}" for i in range(random.rows)]


def soon(found: Callable[[], bool], seconds: float = 10) -> bool:
    """Wait until something is true, and say whether it is."""
    end = time.monotonic() + seconds
    while not found() and time.monotonic() < end:
        time.sleep(0.005)
    return found()


@pytest.fixture
def toy() -> Toy:
    """Return the network."""
    return Toy()


@pytest.fixture
def term(toy: Toy) -> LossTerm:
    """Return its loss."""
    return LossTerm("fit", toy.losses)


@pytest.fixture
def loop(tmp_path: Path) -> Callable[..., LoopConfig]:
    """Return a function that makes the settings of a short run."""

    def make(**changes: Any) -> LoopConfig:
        values = {
            "run_dir": tmp_path / "run",
            "steps": 6,
            "batch_size": 4,
            "learning_rate": 0.1,
            "save_every": 2,
            "log_every": 2,
            "loggers": [],
        }
        return LoopConfig.model_validate({**values, **changes})

    return make
