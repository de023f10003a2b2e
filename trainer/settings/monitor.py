"""Section `monitor`: what is looked at during training."""

from __future__ import annotations

from pydantic import Field

from .base import Settings

__all__ = ["MonitorConfig"]


class MonitorConfig(Settings):
    """What is looked at during training. 0 steps: never."""

    samples_every: int = Field(0, ge=0, description="draw a grid of pictures from rows of the validation manifest")
    samples: int = Field(4, gt=0)
    sample_steps: int = Field(20, gt=0)
    cfg: float = Field(1.0, description="classifier-free guidance of the samples; 1, none, where guidance is distilled")
    validation_every: int = Field(0, ge=0, description="loss at fixed times and noise, of rows with split `validation`")
    validation_rows: int = Field(16, gt=0)
