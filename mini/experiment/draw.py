"""Draw with the trained files of a row."""

from __future__ import annotations

from pathlib import Path

import torch

from ...trainer.export.names import meant
from ...trainer.recipe import TrainConfig
from ...trainer.starting_files import transformer_file
from ...uso_model.checkpoints import load_projector, load_transformer, merge_lora, read_lora
from ..bench.drawer import Draw, draw_with
from ..family import MiniFiles
from ..model import MiniModels, load_encoders

__all__ = ["drawing"]


def drawing(config: TrainConfig, files: Path, steps: int, cfg: float) -> Draw:
    """Return a function that draws with the LoRA and projector that a triplet stage has written to a folder.

    Args:
        config: of the stage; style references take the same path as in training.
        files: folder of the stage's outputs.
        steps: Euler steps.
        cfg: classifier-free guidance.
    """
    base = transformer_file(config)
    assert base is not None  # only stage `base` starts from nothing
    transformer = load_transformer(base, torch.float32)
    lora = read_lora(meant(files, "lora"))
    merge_lora(transformer, lora)
    vae = config.conditions.style_path == "vae"
    assert isinstance(config.models, MiniFiles)
    encoders = load_encoders(config.models.files)
    projector = None
    if not vae:
        projector = load_projector(meant(files, "projector"), levels=config.conditions.style_levels).float().eval()
    return draw_with(MiniModels(transformer.eval(), projector, encoders, lora.isolated), steps, cfg, vae)
