"""USO-mini as a model family of the trainer: bundled files for every part, and networks from nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import torch
from pydantic import Field

from ..trainer.encoders.interface import CountTokens, Encoders
from ..trainer.recipe import DESCRIPTOR, Against, ModelsConfig, TrainConfig
from ..uso_model.projector import HierarchicalProjector
from ..uso_model.transformer import UsoTransformer
from .encoders import mini_encoders
from .model import WEIGHTS, weight_files
from .model.sizes import SIZES, fresh_projector, fresh_transformer
from .model.text import MAX_TOKENS, MiniTokenizer

__all__ = ["USO_MINI", "MiniFamily", "MiniFiles"]

PARTS = {"transformer": "flux", "lora": "lora", "projector": "projector"}
"""The trainer's names of the files to start from, and their names here."""


class MiniFiles(ModelsConfig):
    """Files of USO-mini; all may be left to the bundled ones."""

    size: Literal["mini", "nano"] = Field("mini", description="size of a base from nothing")
    weights: Path | None = Field(None, description="folder of USO-mini's files; none: the bundled ones")

    @property
    def files(self) -> Path:
        """Folder of the files."""
        return self.weights or WEIGHTS


class MiniFamily:
    """USO-mini; see `ModelFamily`."""

    name = "uso-mini"
    models = MiniFiles
    licence = "Apache-2.0"
    export_dtype = "fp16"  # its values are small
    from_nothing = True
    loader = "USO Load Mini"
    judges: Mapping[str, Against] = MappingProxyType({DESCRIPTOR: "style"})

    def open_encoders(self, models: MiniFiles, device: torch.device) -> Encoders:
        """Return the encoders, on the CPU."""
        return mini_encoders(models.files)

    def bundled(self, models: MiniFiles, part: str) -> Path | None:
        """Return the file of a part."""
        return weight_files(models.files)[PARTS[part]]

    def fresh_transformer(self, models: MiniFiles) -> UsoTransformer:
        """Return an untrained miniature FLUX."""
        return fresh_transformer(SIZES[models.size])

    def fresh_projector(self, models: MiniFiles, width: int, levels: Collection[str]) -> HierarchicalProjector:
        """Return an untrained projector."""
        return fresh_projector(width, levels)

    def count_tokens(self, models: MiniFiles) -> CountTokens:
        """Return a function that counts the tokens of a prompt."""
        return lambda prompt: {"USO-mini": (MiniTokenizer.count(prompt), MAX_TOKENS)}

    def memory_note(self, config: TrainConfig) -> str | None:
        """Return one line: so small a network needs no plan."""
        return "  USO-mini: less than 2 GB, also without a GPU"


USO_MINI = MiniFamily()
