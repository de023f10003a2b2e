"""Draw with the trained files of a row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from ...trainer.export.names import meant
from ...trainer.recipe import TrainConfig
from ...trainer.starting_files import transformer_file
from ...uso_model.checkpoints import load_projector, load_transformer, merge_lora, read_lora
from ..family import MiniFiles
from ..model import MiniModels, load_encoders
from ..model.generate import generate
from .measure import Draw

__all__ = ["draw_with", "drawing"]


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
    merge_lora(transformer, read_lora(meant(files, "lora")))
    vae = config.conditions.style_path == "vae"
    assert isinstance(config.models, MiniFiles)
    encoders = load_encoders(config.models.files)
    projector = None
    if not vae:
        projector = load_projector(meant(files, "projector"), levels=config.conditions.style_levels).float().eval()
    return draw_with(MiniModels(transformer.eval(), projector, encoders), steps, cfg, vae)


def draw_with(models: MiniModels, steps: int, cfg: float, vae: bool = False) -> Draw:
    """Return a function that draws with given models.

    Args:
        models: of USO-mini.
        steps: Euler steps.
        cfg: classifier-free guidance.
        vae: whether style references go through the autoencoder, as content references do.
    """

    def draw(
        prompts: Sequence[str],
        styles: Sequence[Image.Image] | None,
        contents: Sequence[Image.Image] | None,
        seed: int,
    ) -> list[Image.Image]:
        style, content = ([] if column is None else [column] for column in (styles, contents))
        if vae:
            style, content = [], content + style
        return generate(models, prompts, style, content, seed=seed, steps=steps, cfg=cfg)

    return draw
