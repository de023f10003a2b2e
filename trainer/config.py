"""Settings of a run, read from YAML; a misspelt or missing setting is an error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

__all__ = ["LoopConfig", "Settings", "load_config"]


class Settings(BaseModel):
    """Base of every settings class: unknown names are refused and values cannot change during a run."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LoopConfig(Settings):
    """The optimisation, the same for every network that is trained here."""

    run_dir: Path = Field(description="folder of checkpoints and log; an existing one is resumed")
    steps: int = Field(gt=0, description="optimiser steps in all")
    batch_size: int = Field(gt=0, description="rows per step")
    learning_rate: float = Field(gt=0)
    warmup: int = Field(0, ge=0, description="steps of linear warm-up")
    decay: Literal["constant", "cosine"] = Field("constant", description="shape of the learning rate after the warm-up")
    weight_decay: float = Field(0.01, ge=0)
    betas: tuple[float, float] = (0.9, 0.999)
    clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    precision: Literal["no", "bf16", "fp16"] = Field("no", description="autocast of the forward pass")
    seed: int = 0
    save_every: int = Field(500, gt=0)
    log_every: int = Field(20, gt=0)


Config = TypeVar("Config", bound=Settings)


def load_config(kind: type[Config], path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file and apply dotted overrides such as `loop.steps=200`.

    Raises:
        ValueError: a setting that is unknown, missing or of the wrong type, named with its file.
    """
    values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    for override in overrides:
        name, separator, value = override.partition("=")
        if not separator:
            raise ValueError(f"got the override {override!r}, expected name=value, for example loop.steps=200")
        *parents, last = name.split(".")
        place = values
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = yaml.safe_load(value)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        raise ValueError(f"{Path(path).name} holds wrong settings: {found}") from error
