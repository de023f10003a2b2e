"""The files of FLUX.1 that a recipe names, found in ComfyUI's model folders."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import folder_paths

from ...trainer.encoders.parts import CLIP_KEY, T5_KEY
from ...uso_model.checkpoints.files import Header
from ...uso_model.checkpoints.kinds import flux_prefix, kind_of
from ...uso_model.config import FLUX_DEV
from ..graph.folders import AUTO
from ..graph.model_checks import FLUX_FILE, VAE_FILE
from ..graph.model_files import EncoderFile, LoraFile, MissingFile, ModelFile, ProjectorFile, Shapes, find

__all__ = ["model_settings"]


class _Transformer(ModelFile):
    role, folder, released, needs = "a FLUX.1 model", "diffusion_models", FLUX_FILE, "training"

    def is_kind(self, shapes: Shapes) -> bool:
        return kind_of(shapes) == "flux"

    def fits(self, shapes: Shapes) -> bool:
        """Whether it is FLUX.1-dev or like it: with guidance, and with no picture beside the noise."""
        prefix = flux_prefix(shapes)
        first = shapes.get(f"{prefix}img_in.weight")
        return f"{prefix}guidance_in.in_layer.weight" in shapes and first == (
            FLUX_DEV.hidden_size,
            FLUX_DEV.in_channels,
        )


class _Vae(ModelFile):
    role, folder, released, needs = "a FLUX.1 autoencoder", "vae", VAE_FILE, "FLUX.1"

    def is_kind(self, shapes: Shapes) -> bool:
        return kind_of(shapes) == "autoencoder"

    def fits(self, shapes: Shapes) -> bool:
        return shapes.get("decoder.conv_in.weight", (0, 0))[1] == _LATENT


class _T5(ModelFile):
    role, folder, needs = "a T5-XXL text encoder", "text_encoders", "FLUX.1"
    released = "t5xxl_fp16.safetensors (models/text_encoders)"

    def is_kind(self, shapes: Shapes) -> bool:
        return any(name.endswith(T5_KEY) for name in shapes)

    def fits(self, shapes: Shapes) -> bool:
        return shapes.get("shared.weight") == _T5_TABLE


class _Clip(ModelFile):
    role, folder, needs = "a CLIP-L text encoder", "text_encoders", "FLUX.1"
    released = "clip_l.safetensors (models/text_encoders)"

    def is_kind(self, shapes: Shapes) -> bool:
        return any(name.endswith(CLIP_KEY) for name in shapes)

    def fits(self, shapes: Shapes) -> bool:
        return _CLIP_TABLE in (shape for name, shape in shapes.items() if name.endswith(CLIP_KEY))

    def is_unmistakable(self, header: Header) -> bool:
        """Whether it is the text encoder alone: an all-in-one checkpoint holds one, too."""
        return super().is_unmistakable(header) and len(header.shapes) < _MOST_OF_CLIP


_LATENT = 16
_T5_TABLE, _CLIP_TABLE = (32128, 4096), (49408, 768)
"""Shapes of the tables of words of T5-XXL and CLIP-L."""
_MOST_OF_CLIP = 1000
"""Tensors; CLIP-L has fewer than 200 by itself, and some 600 with its vision tower."""

_FILES: Mapping[str, ModelFile] = {
    "transformer": _Transformer(),
    "vae": _Vae(),
    "t5": _T5(),
    "clip": _Clip(),
    "siglip": EncoderFile(None),
    "lora": LoraFile(FLUX_DEV.hidden_size, (FLUX_DEV.depth, FLUX_DEV.depth_single_blocks)),
    "projector": ProjectorFile(FLUX_DEV.hidden_size),
}
"""Settings of a recipe's section `models`, and what each is a file of."""


def model_settings(models: Any, typed: Collection[str]) -> list[str]:
    """Return the settings `models.PART=PATH` for the files that a recipe names, as they are called here.

    A file is taken from where the recipe has it, else under its name from ComfyUI's folders, else found by its keys.

    Args:
        models: section `models` of a recipe.
        typed: settings that the user has given, which stay.

    Raises:
        UserError: files are missing; all are named in one sentence, each with its folder.
    """
    found, missing = [], []
    for part, wanted in _FILES.items():
        named = models.get(part) if isinstance(models, Mapping) else None
        if not isinstance(named, str) or f"models.{part}" in typed:
            continue
        here = Path(folder_paths.base_path, named)  # an absolute one stays what it is
        path = str(here) if here.exists() else folder_paths.get_full_path(wanted.folder, Path(named).name)
        try:
            found.append(f"models.{part}={path or find(wanted, AUTO).path}")
        except MissingFile as error:
            missing.append(error)
    if missing:
        raise MissingFile.all_of(missing)
    return found
