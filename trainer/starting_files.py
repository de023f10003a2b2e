"""The files that a stage starts from: those that a recipe names, else those that its model family bundles.

A recipe may name the `out` of another run: its newest file is meant, so that one stage starts from another.
"""

from __future__ import annotations

from pathlib import Path

from ..uso_model.checkpoints import Lora
from ..uso_model.errors import UserError
from .export.names import meant
from .family import family_of
from .recipe import TrainConfig

__all__ = ["lora_file", "projector_file", "require_same_references", "transformer_file"]


def transformer_file(config: TrainConfig) -> Path | None:
    """Return the FLUX to start from; None for a base that starts from nothing.

    Raises:
        UserError: the stage needs a file that the recipe does not name.
    """
    if config.models.transformer is not None:
        return meant(config.models.transformer, "transformer")
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
        return None if config.models.projector is None else meant(config.models.projector, "projector")
    path = family_of(config).bundled(config.models, "projector")
    if path is None:
        raise UserError(f"stage {config.stage} needs a projector: name its file as models.projector")
    return path


def lora_file(config: TrainConfig) -> Path | None:
    """Return the LoRA to start from, None where there is none.

    Raises:
        UserError: `lora.start` contradicts what the recipe names.
    """
    start = config.lora.start
    path = None if config.models.lora is None else meant(config.models.lora, "lora")
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


def require_same_references(config: TrainConfig, lora: Lora, name: str) -> None:
    """Make sure that a LoRA's references are those of a recipe; training may begin with joint ones and isolate them.

    Raises:
        UserError: they are not.
    """
    isolated = config.conditions.isolated
    if lora.isolated and not isolated:
        raise UserError(
            f"{name} was trained with isolated references, but conditions.isolated is false: set it to true, or use a "
            "LoRA of joint references"
        )
    if isolated and not lora.isolated and config.stage != "triplet":
        raise UserError(
            f"{name} was trained with joint references, but conditions.isolated is true: set it to false, or train the "
            "LoRA on with isolated ones in stage triplet first"
        )
