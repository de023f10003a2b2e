"""Section `loop`: the optimisation and what it leaves on the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from ...uso_model.errors import UserError
from .base import Settings

__all__ = ["LoopConfig"]


class LoopConfig(Settings):
    """The optimisation, the same for every network that is trained here."""

    run_dir: Path = Field(description="folder of checkpoints, log and pictures; an existing one is resumed")
    steps: int = Field(gt=0, description="optimiser steps in all")
    batch_size: int = Field(gt=0, description="rows of one optimiser step, over all processes and micro-batches")
    micro_batch: int | None = Field(None, gt=0, description="rows that one process computes at once; none: its share")
    optimizer: Literal["adamw", "adamw8bit", "prodigy"] = Field(
        "adamw", description="adamw8bit needs bitsandbytes, prodigy needs prodigyopt"
    )
    learning_rate: float = Field(gt=0)
    warmup: int = Field(0, ge=0, description="steps of linear warm-up")
    decay: Literal["constant", "cosine"] = Field("constant", description="shape of the learning rate after the warm-up")
    weight_decay: float = Field(0.01, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    ema: float | None = Field(None, gt=0, lt=1, description="decay of the averaged weights; none: no average")
    precision: Literal["no", "bf16"] = Field("no", description="autocast of the forward pass")
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
    loggers: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = Field(
        ("tensorboard",), description="where numbers go besides log.jsonl; each needs its package"
    )

    @field_validator("precision", mode="before")
    @classmethod
    def _no_is_no_boolean(cls, value: Any) -> Any:
        # YAML reads `no` without quotes as False, and `none` says the same.
        return "no" if value is False or value is None or value == "none" else value

    @model_validator(mode="after")
    def _whole_micro_batches(self) -> LoopConfig:
        if self.micro_batch is not None and self.batch_size % self.micro_batch:
            raise UserError(f"batch_size {self.batch_size} is not a multiple of micro_batch {self.micro_batch}")
        return self
