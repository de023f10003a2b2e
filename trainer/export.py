"""Write what a stage trained as files that ComfyUI loads."""

from __future__ import annotations

from pathlib import Path

import torch

from ..uso_model.checkpoints import save_projector, save_transformer, write_diffusion_model_lora
from ..uso_model.projector import HierarchicalProjector
from ..uso_model.transformer import UsoTransformer
from .adapters import lora_of

__all__ = ["LORA", "PROJECTOR", "TRANSFORMER", "export"]

TRANSFORMER, LORA, PROJECTOR = "transformer.safetensors", "lora.safetensors", "projector.safetensors"


def export(
    stage: str,
    transformer: UsoTransformer,
    projector: HierarchicalProjector | None,
    folder: Path,
    config: str,
    step: int,
) -> None:
    """Write the trained networks of a stage in float16 with the run's settings as metadata.

    `base` writes a FLUX file, `style` a projector, `triplet` a LoRA with `diffusion_model.*` names, which stock loaders
    accept whatever the number of blocks, and the projector that belongs to it.

    Args:
        stage: name of the stage.
        transformer: with its LoRA branches in stage `triplet`.
        projector: None in stage `base`.
        folder: created if needed.
        config: settings of the run as JSON.
        step: finished optimiser steps.
    """
    folder.mkdir(parents=True, exist_ok=True)
    metadata = {"uso.stage": stage, "uso.step": str(step), "uso.config": config}
    if stage == "base":
        save_transformer(folder / TRANSFORMER, transformer, "fp16", metadata=metadata)
    if stage == "triplet":
        write_diffusion_model_lora(folder / LORA, lora_of(transformer), metadata, torch.float16)
    if projector is not None:
        save_projector(folder / PROJECTOR, projector, metadata, torch.float16)
