"""Section `lora`: the adapters of stage `triplet`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .base import Settings

__all__ = ["LoraSettings"]


class LoraSettings(Settings):
    """The adapters of stage `triplet`."""

    rank: int = Field(128, gt=0, le=4096)
    start: Literal["new", "continue", "add"] = Field(
        "new",
        description="continue: train the factors of models.lora on; add: freeze it into the base and train new ones of "
        "`rank`, exported together by concatenation",
    )
