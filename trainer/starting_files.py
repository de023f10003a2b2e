"""The files that a stage starts from: those a recipe names, or the bundled ones of USO-mini where it asks for them."""

from __future__ import annotations

from pathlib import Path

from ..uso_model import mini
from .recipe import TrainConfig

__all__ = ["lora_file", "projector_file", "transformer_file"]


def transformer_file(config: TrainConfig) -> Path | None:
    """Return the FLUX to start from; None for the miniature's base, which starts from nothing.

    Raises:
        ValueError: the stage needs a file that the recipe does not name.
    """
    if config.models.transformer is not None:
        return config.models.transformer
    if not config.models.mini:
        raise ValueError(f"stage {config.stage} needs FLUX.1-dev: name its file or folder as models.transformer")
    return None if config.stage == "base" else _mini(config, "flux")


def projector_file(config: TrainConfig) -> Path | None:
    """Return the projector to start from; None where a new one is made: in stage `style`, or where the recipe says so.

    Raises:
        ValueError: the stage needs a file that the recipe does not name.
    """
    if config.models.projector is not None or config.models.new_projector or config.stage == "style":
        return config.models.projector
    if not config.models.mini:
        raise ValueError(f"stage {config.stage} needs a projector: name its file as models.projector")
    return _mini(config, "projector")


def lora_file(config: TrainConfig) -> Path | None:
    """Return the LoRA to start from, None where there is none.

    Raises:
        ValueError: `lora.start` contradicts what the recipe names.
    """
    path, start = config.models.lora, config.lora.start
    if config.stage == "triplet":
        if path is None and start != "new" and config.models.mini:
            return _mini(config, "lora")
        if (path is None) != (start == "new"):
            raise ValueError(
                f"got models.lora {path} with lora.start {start}, expected a LoRA file with `continue` or `add`, and "
                "none with `new`"
            )
    return path


def _mini(config: TrainConfig, part: str) -> Path:
    return mini.paths(config.models.mini_weights or mini.WEIGHTS)[part]
