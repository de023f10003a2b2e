"""USO-mini as a model family of the trainer: bundled files for every part, and networks from nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import torch
from pydantic import Field

from ..trainer.encoders.interface import CountTokens, Encoders
from ..trainer.memory.plan import plan
from ..trainer.memory.small_plan import SmallSizes
from ..trainer.memory.weights import flux_sizes
from ..trainer.recipe import DESCRIPTOR, Against, ModelsConfig, TrainConfig
from ..uso_model.config import FLUX_DEV
from ..uso_model.errors import UserError
from ..uso_model.projector import HierarchicalProjector
from ..uso_model.transformer import UsoTransformer
from .encoders import mini_encoders
from .model import WEIGHTS, weight_files
from .model.sizes import SIZES, STYLE_TOKENS, TOKENS, WIDTH, fresh_projector, fresh_transformer
from .model.text import MAX_TOKENS, MiniTokenizer

__all__ = ["USO_MINI", "MiniFamily", "MiniFiles"]

ENCODERS = ("autoencoder", "vision", "text", "descriptor")

DECODE = 570
"""Bytes a pixel of decoding and describing a picture with a gradient, measured on the CPU with torch's profiler."""

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

    def memory_sizes(self, config: TrainConfig) -> SmallSizes:
        """Return what a plan must know: rows computed at once are all that takes much."""
        models = config.models
        assert isinstance(models, MiniFiles)
        flux = flux_sizes(config)
        files = weight_files(models.files)
        return SmallSizes(
            flux=SIZES[models.size] if flux == FLUX_DEV else flux,  # from nothing, or the file is not there yet
            text_tokens=MAX_TOKENS,
            style_tokens=STYLE_TOKENS * len(config.conditions.style_levels),
            features=len(config.conditions.style_levels) * TOKENS * WIDTH,
            # Files hold half precision.
            encoders=2.0 * sum(files[part].stat().st_size for part in ENCODERS if files[part].is_file()),
            decode=DECODE,
        )

    def memory_note(self, config: TrainConfig) -> str | None:
        """Return one line: what is worth saying of so small a network."""
        try:
            needed = plan(config, device="cpu").ram_needed
        except UserError as error:  # a recipe that cannot be followed
            return f"  USO-mini: no plan of memory: {error}"
        return f"  USO-mini: {needed / 1e9:.1f} GB of RAM by the plan, also without a GPU"


USO_MINI = MiniFamily()
