"""Section `lora`: the adapters of stage `triplet`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from ...uso_model.dials.blocks import parse_block_numbers
from ...uso_model.dials.typed import typed_list
from ...uso_model.errors import UserError
from .base import Settings

__all__ = ["LoraSettings"]

DEFAULT_RANK = 128
"""Of the published LoRA (bytedance/USO)."""

_MOST_BLOCKS = 10_000
"""The blocks of the network that is trained are counted when it is read."""


class LoraSettings(Settings):
    """The adapters of stage `triplet`."""

    rank: int | None = Field(
        None, gt=0, le=4096, description=f"none: {DEFAULT_RANK}, or with `continue` the ranks of the file"
    )
    alpha: float | None = Field(
        None, gt=0, le=65536, description="the branches are scaled by alpha / rank; none: the rank, so by 1"
    )
    layers: list[str] | None = Field(
        None,
        min_length=1,
        description="layers that are adapted, by their names or parts of them: qkv, proj, mlp, linear1, linear2, "
        "img_attn, txt_mlp.2, modulation, ...; uso: those of USO; all: every layer of the blocks; none: uso",
    )
    blocks: str | None = Field(
        None, description="blocks that are adapted, such as d0-18, s7, s20 (double and single); none: all"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="share of each branch's inner values that a step leaves out")
    rank_dropout: float = Field(0.0, ge=0, lt=1, description="share of each branch's ranks that a step leaves out")
    start: Literal["new", "continue", "add"] = Field(
        "new",
        description="continue: train the factors of models.lora on; add: freeze it into the base and train new ones of "
        "`rank`, exported together by concatenation",
    )

    @property
    def new_rank(self) -> int:
        """Rank of new branches."""
        return DEFAULT_RANK if self.rank is None else self.rank

    @model_validator(mode="before")
    @classmethod
    def _rank_of_new_branches(cls, values: Any) -> Any:
        # So that run folders tell what was trained, as they always did.
        if isinstance(values, Mapping) and values.get("start", "new") != "continue" and values.get("rank") is None:
            return {**values, "rank": DEFAULT_RANK}
        return values

    @field_validator("layers", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            return value
        return [word for text in texts for word in typed_list(text, "lora.layers") or [text]]

    @field_validator("blocks", mode="before")
    @classmethod
    def _blocks_as_text(cls, value: Any) -> Any:
        return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value

    @field_validator("blocks")
    @classmethod
    def _blocks_can_be_read(cls, value: str | None) -> str | None:
        if value is not None and not any(parse_block_numbers(value, _MOST_BLOCKS, _MOST_BLOCKS).values()):
            raise UserError("names no block, expected parts such as d0-18, s7")
        return value

    @model_validator(mode="after")
    def _layers_of_the_file(self) -> LoraSettings:
        if self.start == "continue" and (self.layers is not None or self.blocks is not None):
            raise UserError(
                "lora.start continue trains the layers that its file adapts: leave out lora.layers and lora.blocks, or "
                "set lora.start to add"
            )
        return self
