"""The files that a stage starts from: those that a recipe names, else those that its model family bundles."""

from __future__ import annotations

from pathlib import Path

from ..uso_model.errors import UserError
from .family import family_of
from .recipe import TrainConfig

__all__ = ["lora_file", "projector_file", "transformer_file"]


def transformer_file(config: TrainConfig) -> Path | None:
    """Return the FLUX to start from; None for a base that starts from nothing.

    Raises:
        UserError: the stage needs a file that the recipe does not name.
    """
    if config.models.transformer is not None:
        return config.models.transformer
    family = family_of(config)
    if config.stage == "base" and family.from_nothing:
        return None
    path = family.bundled(config.models, "transformer")
    if path is None:
        raise UserError(f"stage {config.stage} needs FLUX.1-dev: name its file or folder as models.transformer")
    return path


def projector_file(config: TrainConfig) -> Path | None:
    """Return the projector to start from; None where a new one is made: in stage `style`, or where the recipe says so.

    Raises:
        UserError: the stage needs a file that the recipe does not name.
    """
    if config.models.projector is not None or config.models.new_projector or config.stage == "style":
        return config.models.projector
    path = family_of(config).bundled(config.models, "projector")
    if path is None:
        raise UserError(f"stage {config.stage} needs a projector: name its file as models.projector")
    return path


def lora_file(config: TrainConfig) -> Path | None:
    """Return the LoRA to start from, None where there is none.

    Raises:
        UserError: `lora.start` contradicts what the recipe names.
    """
    path, start = config.models.lora, config.lora.start
    if config.stage != "triplet":
        return path
    if path is None and start != "new":
        path = family_of(config).bundled(config.models, "lora")
    if (path is None) != (start == "new"):
        raise UserError(
            f"got models.lora {path} with lora.start {start}, expected a LoRA file with `continue` or `add`, and "
            "none with `new`"
        )
    return path
