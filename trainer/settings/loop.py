"""Section `loop`: the optimisation and what it leaves on the disk."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from ...uso_model.errors import UserError
from .base import Settings

__all__ = ["LoopConfig"]


class LoopConfig(Settings):
    """The optimisation, the same for every network that is trained here."""

    run_dir: Path = Field(description="folder of checkpoints, log and pictures; an existing one is resumed")
    steps: int = Field(0, ge=0, description="optimiser steps in all; 0: as many as epochs say")
    epochs: float | None = Field(
        None, gt=0, le=1e6, description="the length of the run in place of steps: how often all rows are seen"
    )
    batch_size: int = Field(gt=0, description="rows of one optimiser step, over all processes and micro-batches")
    micro_batch: int | None = Field(None, gt=0, description="rows that one process computes at once; none: its share")
    optimizer: str = Field(
        "adamw",
        min_length=1,
        description="adamw, adamw8bit (bitsandbytes), prodigy (prodigyopt), or the import path of any optimizer "
        "that is installed, such as torch.optim.Adagrad, bitsandbytes.optim.Lion8bit, transformers.Adafactor",
    )
    optimizer_args: dict[str, Any] = Field(
        {}, description="further arguments of the optimizer by name, such as {eps: 1.0e-6}"
    )
    learning_rate: float = Field(gt=0)
    warmup: int = Field(0, ge=0, description="steps of linear warm-up")
    schedule: Literal["constant", "constant_with_warmup", "linear", "cosine", "cosine_with_restarts", "polynomial"] = (
        Field("constant", description="shape of the learning rate after the warm-up, as in transformers and diffusers")
    )
    min_learning_rate: float = Field(0.0, ge=0, description="at which the schedule ends")
    cycles: int = Field(1, gt=0, description="cosine_with_restarts: how many cosines, one after the other")
    power: float = Field(1.0, gt=0, description="polynomial: 1 is linear, more falls faster at first")
    weight_decay: float = Field(0.01, ge=0)
    betas: tuple[float, float] = Field((0.9, 0.999), description="of adamw, adamw8bit and prodigy")
    clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    ema: float | None = Field(None, gt=0, lt=1, description="decay of the averaged weights; none: no average")
    precision: Literal["no", "bf16", "fp16"] = Field(
        "no", description="autocast of the forward pass; fp16, with a scaled loss, is for cards without bf16"
    )
    seed: int = Field(0, ge=-(2**62), le=2**62)
    prefetch: int = Field(1, ge=0, description="micro-batches read ahead")
    save_every: int = Field(500, gt=0)
    keep: int = Field(3, gt=0, description="newest checkpoints that are kept whole, to go on from")
    keep_every: int | None = Field(None, gt=0, description="checkpoints at multiples of this are kept as well")
    keep_weights: int = Field(
        20, ge=0, description="older checkpoints that keep their weights, to export from, and not the optimizer's state"
    )
    process_timeout: float = Field(
        30.0, gt=0, le=10_000, description="minutes that processes wait for each other in one exchange of tensors"
    )
    log_every: int = Field(20, gt=0)
    row_losses: bool = Field(True, description="keep the loss of each row in rows.jsonl, for `uso check --by-loss`")
    loggers: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = Field(
        ("tensorboard",), description="where numbers go besides log.jsonl; each needs its package"
    )

    @model_validator(mode="before")
    @classmethod
    def _decay_is_schedule(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and "decay" in values and "schedule" not in values:
            return {("schedule" if name == "decay" else name): value for name, value in values.items()}
        return values

    @field_validator("optimizer_args")
    @classmethod
    def _finite_numbers(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {name: _argument(value, name) for name, value in values.items()}

    @field_validator("precision", mode="before")
    @classmethod
    def _no_is_no_boolean(cls, value: Any) -> Any:
        # YAML reads `no` without quotes as False, and `none` says the same.
        return "no" if value is False or value is None or value == "none" else value

    @model_validator(mode="after")
    def _one_length(self) -> LoopConfig:
        if (self.steps > 0) == (self.epochs is not None):
            got = "both" if self.steps else "neither"
            raise UserError(f"got {got} of steps and epochs, expected one: set steps=0 where epochs count")
        return self

    def of_length(self, samples: int) -> LoopConfig:
        """Return the settings with steps in the place of epochs.

        Args:
            samples: of an epoch.
        """
        if self.epochs is None:
            return self
        steps = math.ceil(self.epochs * samples / self.batch_size)
        return self.model_copy(update={"steps": steps, "epochs": None})

    @model_validator(mode="after")
    def _downwards(self) -> LoopConfig:
        if self.min_learning_rate > self.learning_rate:
            raise UserError(
                f"min_learning_rate {self.min_learning_rate} is above learning_rate {self.learning_rate}; lower it"
            )
        return self

    @model_validator(mode="after")
    def _whole_micro_batches(self) -> LoopConfig:
        if self.micro_batch is not None and self.batch_size % self.micro_batch:
            raise UserError(f"batch_size {self.batch_size} is not a multiple of micro_batch {self.micro_batch}")
        return self


def _argument(value: Any, name: str) -> Any:
    """Return an argument of an optimizer; YAML reads 1e-6 as text.

    Raises:
        UserError: it is not finite.
    """
    if isinstance(value, (list, tuple)):
        return tuple(_argument(part, name) for part in value)
    with suppress(ValueError):
        value = float(value) if isinstance(value, str) else value
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{name} is {value}, expected a finite number")
    return value
