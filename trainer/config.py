"""Settings read from YAML: a misspelt or missing one is an error with a suggestion."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

__all__ = ["LoopConfig", "Settings", "load_config"]


class Settings(BaseModel):
    """Base of every settings class: unknown names are refused and values cannot change during a run."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
    seed: int = 0
    prefetch: int = Field(1, ge=0, description="micro-batches read ahead")
    save_every: int = Field(500, gt=0)
    keep: int = Field(3, gt=0, description="newest checkpoints that are kept")
    keep_every: int | None = Field(None, gt=0, description="checkpoints at multiples of this are kept as well")
    log_every: int = Field(20, gt=0)
    loggers: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = Field(
        ("tensorboard",), description="where numbers go besides log.jsonl; each needs its package"
    )

    @model_validator(mode="after")
    def _whole_micro_batches(self) -> LoopConfig:
        if self.micro_batch is not None and self.batch_size % self.micro_batch:
            raise ValueError(f"batch_size {self.batch_size} is not a multiple of micro_batch {self.micro_batch}")
        return self


Config = TypeVar("Config", bound=Settings)


def load_config(kind: type[Config], path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file and apply dotted overrides such as `loop.steps=200`.

    Raises:
        ValueError: the file is no YAML mapping, or a setting is unknown, missing or of the wrong type, named with its
            file and, where one is close, the setting that may have been meant.
    """
    path = Path(path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path.name} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path.name} holds {type(values).__name__}, expected settings as `name: value` lines")
    for override in overrides:
        _apply(values, override)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        known = sorted(set(_names(kind)))
        found = "; ".join(_complaint(details, known) for details in error.errors())
        raise ValueError(f"{path.name} holds wrong settings: {found}") from error


def _apply(values: dict[str, Any], override: str) -> None:
    name, separator, value = override.partition("=")
    if not separator:
        raise ValueError(f"got the override {override!r}, expected name=value, for example loop.steps=200")
    *parents, last = name.split(".")
    place = values
    for parent in parents:
        if not isinstance(place.get(parent), dict):
            place[parent] = {}  # an absent or empty section; a wrong name is refused with the other settings
        place = place[parent]
    place[last] = yaml.safe_load(value)


def _names(kind: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all settings of a class."""
    for name, field in kind.model_fields.items():
        yield prefix + name
        for section in _sections(field.annotation):
            yield from _names(section, f"{prefix}{name}.")


def _sections(annotation: Any) -> list[type[BaseModel]]:
    parts = getattr(annotation, "__args__", (annotation,))
    return [part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)]


def _complaint(details: Mapping[str, Any], known: Sequence[str]) -> str:
    name = ".".join(map(str, details["loc"]))
    if details["type"] != "extra_forbidden":
        return f"{name or 'file'}: {details['msg']}"
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if not close:  # right name, wrong section
        close = [other for other in known if other.rpartition(".")[2] == name.rpartition(".")[2]][:1]
    return f"{name} is unknown" + (f", did you mean {close[0]}?" if close else "")
