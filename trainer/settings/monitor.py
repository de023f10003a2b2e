"""Section `monitor`: what is looked at during training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from .base import Settings
from .data import Size

__all__ = ["MonitorConfig", "PromptConfig"]


class PromptConfig(Settings):
    """A picture that is drawn of a prompt and references of one's own. A text alone is the prompt."""

    prompt: str = ""
    style: list[Path] = Field(default_factory=list, description="style reference, or a list of them")
    content: list[Path] = Field(default_factory=list, description="content reference, or a list of them")
    seed: int = Field(0, ge=0, lt=2**63)
    size: tuple[Size, Size] | None = Field(None, description="side, or [width, height]; none: data.size")

    @model_validator(mode="before")
    @classmethod
    def _text_alone(cls, value: Any) -> Any:
        return {"prompt": value} if isinstance(value, str) else value

    @field_validator("style", "content", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        return [] if value is None else [value] if isinstance(value, (str, Path)) else value

    @field_validator("size", mode="before")
    @classmethod
    def _as_pair(cls, value: Any) -> Any:
        return value if value is None or isinstance(value, (list, tuple)) else (value, value)

    @property
    def contents(self) -> list[Path]:
        """The content references, under the name that they have in a row."""
        return self.content


class MonitorConfig(Settings):
    """What is looked at during training. 0 steps: never."""

    samples_every: int = Field(0, ge=0, description="draw a grid of pictures of `prompts` and of held-out rows")
    samples: int = Field(4, ge=0, description="rows that are drawn, of different targets where there are so many")
    prompts: list[PromptConfig] = Field(default_factory=list, description="prompts of one's own that are drawn too")
    sample_steps: int = Field(20, gt=0)
    cfg: float = Field(1.0, description="classifier-free guidance of the samples; 1, none, where guidance is distilled")
    validation_every: int = Field(0, ge=0, description="loss at fixed times and noise, of rows with split `validation`")
    validation_rows: int = Field(16, gt=0)
    witnesses: list[str] | None = Field(
        None, description="judges that are no reward and look at the samples too; none: all that models.judges names"
    )

    def most_pixels(self, side: int) -> int:
        """Return the pixels of the largest picture that is drawn, where rows have such a side."""
        return max(side**2, *(width * height for width, height in (one.size or (0, 0) for one in self.prompts)), 0)
