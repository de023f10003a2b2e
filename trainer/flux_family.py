"""FLUX.1-dev as a model family: all of its files are named by the recipe, none comes with the pack."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import torch
from pydantic import model_validator

from ..uso_model.errors import UserError
from ..uso_model.projector import HierarchicalProjector
from ..uso_model.transformer import UsoTransformer
from .encoders.flux import CLIP_TOKENS, T5_TOKENS, flux_encoders
from .encoders.interface import CountTokens, Encoders
from .encoders.tokenizers import find_tokenizers, load_tokenizers
from .recipe import ModelsConfig, TrainConfig

__all__ = ["FLUX", "FluxFamily", "FluxModels"]

SIGLIP_TOKENS, SIGLIP_WIDTH, STYLE_TOKENS = 729, 1152, 64
"""SigLIP-so400m at 384 pixels in, style tokens of one level out (bytedance/USO, uso/flux/model.py)."""


class FluxModels(ModelsConfig):
    """Files of FLUX.1, its four encoders among them."""

    @model_validator(mode="after")
    def _all_encoders(self) -> FluxModels:
        absent = [name for name in ("vae", "t5", "clip", "siglip") if getattr(self, name) is None]
        if absent:
            raise UserError(f"needs a file or folder for {', '.join(absent)}, or another `family`")
        return self


class FluxFamily:
    """FLUX.1-dev; see `ModelFamily`."""

    name = "flux-1-dev"
    models = FluxModels
    licence = "FLUX.1 [dev] Non-Commercial License, as a derivative of FLUX.1 [dev]"
    export_dtype = "bf16"
    from_nothing = False

    def open_encoders(self, models: ModelsConfig, device: torch.device) -> Encoders:
        """Return T5, CLIP, SigLIP and the autoencoder, each read when it is first used."""
        return flux_encoders(models, device)

    def bundled(self, models: ModelsConfig, part: str) -> Path | None:
        """Return nothing: FLUX.1's weights cannot be redistributed."""
        return None

    def fresh_transformer(self, models: ModelsConfig) -> UsoTransformer:
        """Refuse: nobody trains FLUX.1 from nothing here."""
        raise UserError("FLUX.1 is not trained from nothing: name its file as models.transformer")

    def fresh_projector(self, models: ModelsConfig, width: int, levels: Collection[str]) -> HierarchicalProjector:
        """Return an untrained projector of USO's size."""
        return HierarchicalProjector(SIGLIP_TOKENS, STYLE_TOKENS, SIGLIP_WIDTH, width, levels=levels)

    def count_tokens(self, models: ModelsConfig) -> CountTokens:
        """Return a function that counts the tokens of a prompt for T5 and CLIP.

        Raises:
            UserError: a tokenizer is not found.
        """
        found = load_tokenizers(find_tokenizers(models))
        encoders = (("T5", found.t5, T5_TOKENS), ("CLIP", found.clip, CLIP_TOKENS))

        def count(prompt: str) -> dict[str, tuple[int, int]]:
            return {name: (len(read(prompt, verbose=False).input_ids), limit) for name, read, limit in encoders}

        return count

    def memory_note(self, config: TrainConfig) -> str | None:
        """Return None: FLUX.1 is worth a plan."""
        return None


FLUX = FluxFamily()
