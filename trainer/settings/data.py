"""Section `data`: which rows, at which sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from .base import Settings

__all__ = ["LARGEST", "DataConfig"]


LARGEST = 8192
"""Longest side of a picture in pixels; FLUX.1 draws up to about 2048."""


class DataConfig(Settings):
    """Which rows, at which sizes."""

    manifests: list[Path] = Field(min_length=1, description="triplet manifests (JSON Lines)")
    cache: Path = Field(description="folder of encoded pictures and prompts")
    cache_memory: float = Field(
        1.0, ge=0, description="GiB of it kept in RAM once read, for training and validation each"
    )
    size: int = Field(
        1024, gt=0, le=LARGEST, multiple_of=16, description="side of the square with as many pixels as a target has"
    )
    buckets: bool = Field(True, description="targets keep about their aspect ratio; false: all are cropped square")
    content_size: int = Field(512, gt=0, le=LARGEST, multiple_of=16, description="long side of the content reference")
    rows: int | None = Field(None, gt=0, description="use only so many rows of each manifest")
    layout: Literal["preserved", "shifted"] | None = Field(None, description="use only rows of this layout")
    preserved_share: float | None = Field(None, ge=0, le=1, description="share of layout-preserved rows; none: as is")
    styles: int = Field(1, gt=0, description="style references drawn of a row that has more")
    style_features: Literal["cached", "online"] = Field(
        "cached", description="online encodes style pictures in every step: 5 MB less on disk for each"
    )
    text_dropout: float = Field(0.0, ge=0, le=1, description="share of prompts that are emptied")
    pooled_shuffle: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of samples with the pooled text of another row: the tokens must carry the prompt",
    )
