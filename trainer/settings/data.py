"""Section `data`: which rows, at which sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, ValidatorFunctionWrapHandler, WrapValidator, field_validator

from .base import Settings, either

__all__ = ["LARGEST", "DataConfig", "ManifestConfig", "Size"]


LARGEST = 8192
"""Longest side of a picture in pixels; FLUX.1 draws up to about 2048."""


Size = Annotated[int, Field(gt=0, le=LARGEST, multiple_of=16)]
"""Side of pictures in pixels."""


class ManifestConfig(Settings):
    """A manifest and how often its rows come."""

    path: Path
    weight: float = Field(
        1.0,
        gt=0,
        le=1000,
        validation_alias=AliasChoices("weight", "repeats"),
        description="how often its rows come in an epoch; 0.5: half of them, other ones in each epoch",
    )


class DataConfig(Settings):
    """Which rows, at which sizes."""

    manifests: list[Annotated[Path | ManifestConfig, WrapValidator(either)]] = Field(
        min_length=1, description="triplet manifests (JSON Lines), or {path: ..., weight: ...} of them"
    )
    cache: Path = Field(description="folder of encoded pictures and prompts")
    cache_memory: float = Field(
        1.0, ge=0, description="GiB of it kept in RAM once read, for training and validation each"
    )
    size: Size | list[Size] = Field(
        1024,
        description="side of the square with as many pixels as a target has; of several, [512, 768], each sample or "
        "micro-batch takes one",
    )
    flip: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of samples that are mirrored: target and content together, so that they go on fitting each "
        "other; style references stay",
    )
    buckets: bool = Field(True, description="targets keep about their aspect ratio; false: all are cropped square")
    masks: Literal["alpha"] | Path | None = Field(
        None,
        description="masked loss: a folder with a mask of each target under the target's name (white counts, black by "
        "mask_outside), or alpha: the targets' own transparency; none: all counts",
    )
    mask_outside: float = Field(0.0, ge=0, le=1, description="weight of what a mask leaves out")
    content_size: int = Field(512, gt=0, le=LARGEST, multiple_of=16, description="long side of the content reference")
    rows: int | None = Field(None, gt=0, description="use only so many rows of each manifest")
    layout: Literal["preserved", "shifted"] | None = Field(None, description="use only rows of this layout")
    preserved_share: float | None = Field(None, ge=0, le=1, description="share of layout-preserved rows; none: as is")
    styles: int = Field(1, gt=0, description="style references drawn of a row that has more")
    contents: int = Field(4, gt=0, description="content references drawn of a row that has more, in the row's order")
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

    @field_validator("size", mode="wrap")
    @classmethod
    def _sorted(cls, value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
        """Keep each of several sizes once, and a list of one as the number that it is."""
        size = either(value, validate)
        if not isinstance(size, list):
            return size
        if not size:
            raise ValueError("no size is given, expected one or several")
        sizes = sorted(set(size))
        return sizes if len(sizes) > 1 else sizes[0]

    @property
    def sizes(self) -> list[int]:
        """All sizes, the smallest first."""
        return self.size if isinstance(self.size, list) else [self.size]

    @property
    def sources(self) -> list[ManifestConfig]:
        """The manifests with their weights."""
        return [ManifestConfig(path=entry) if isinstance(entry, Path) else entry for entry in self.manifests]

    def plain(self) -> DataConfig:
        """Return settings by which rows come as they are, at the largest size: for looking at them."""
        off = {"text_dropout": 0.0, "pooled_shuffle": 0.0, "preserved_share": None, "flip": 0.0}
        return self.model_copy(update={**off, "size": self.sizes[-1]})
