"""Memory before and during a training: ComfyUI's models leave the card, and what a recipe needs must then be free."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path

import comfy.model_management
import torch

from ...uso_model.errors import UserError

__all__ = ["child_environment", "free_card", "free_models", "require_room"]

_NAMED = 3
"""Settings that a message names at most."""


def free_models() -> None:
    """Take ComfyUI's models off the card."""
    comfy.model_management.unload_all_models()
    gc.collect()
    comfy.model_management.soft_empty_cache()


def free_card() -> float | None:
    """Return the free bytes of the card that ComfyUI computes on; None on the CPU."""
    device = comfy.model_management.get_torch_device()
    return float(torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else None


def child_environment() -> dict[str, str]:
    """Return the environment in which the trainer computes where ComfyUI does: on the CPU if that was asked for."""
    on_cpu = comfy.model_management.get_torch_device().type == "cpu"
    return {"PYTHONUNBUFFERED": "1", **({"CUDA_VISIBLE_DEVICES": ""} if on_cpu else {})}


def require_room(recipe: Path, settings: Sequence[str], free: float) -> None:
    """Compare what a recipe needs on the card with what is free there, by the trainer's own plan.

    Args:
        recipe: file.
        settings: `name=value` texts that differ from it.
        free: bytes.

    Raises:
        UserError: it needs more, with the settings that save most; or a setting is wrong.
    """
    from ...trainer.memory.advice import advice  # not above: ComfyUI loads the pack without the trainer
    from ...trainer.memory.plan import plan
    from ...trainer.reading.recipe_files import load_recipe

    config = load_recipe(recipe, texts=settings)
    needed = plan(config, device="cuda", free=free).gpu_needed
    if needed > free:
        cures = ", or ".join([*advice(config)[:_NAMED], "close other programs"])
        raise UserError(
            f"Training needs {needed / 1e9:.1f} GB on the GPU by the plan, and {free / 1e9:.1f} GB are free: write one "
            f"of these into settings: {cures}."
        )
