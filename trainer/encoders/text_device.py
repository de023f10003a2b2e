"""Where T5 and CLIP encode prompts: a small GPU that trains well may have no room for them."""

from __future__ import annotations

import logging

import torch

from ...uso_model.errors import UserError
from ..memory.encoder_sizes import text_sizes
from ..recipe import ModelsConfig

__all__ = ["room_for_text", "text_device"]

logger = logging.getLogger(__name__)

WORK = 1e9
"""Bytes beside the weights: the activations of 512 tokens, and the allocator's slack."""


def text_device(models: ModelsConfig, device: torch.device) -> torch.device:
    """Return the device of the text encoders as `models.text_device` asks for; `auto` looks at what is free now.

    Raises:
        UserError: a GPU is asked for and there is none.
    """
    asked = models.text_device
    if asked == "cpu":
        return torch.device("cpu")
    if device.type != "cuda":
        if asked == "cuda":
            raise UserError("got models.text_device cuda, but there is no CUDA GPU; set it to auto or cpu")
        return device
    if asked == "auto":
        needed, (free, _) = room_for_text(models), torch.cuda.mem_get_info(device)
        if needed > free:
            logger.info(
                "prompts are encoded on the CPU: T5 and CLIP need %.1f GB, and %.1f GB are free on the GPU",
                needed / 1e9,
                free / 1e9,
            )
            return torch.device("cpu")
    return device


def room_for_text(models: ModelsConfig) -> float:
    """Return the bytes that encoding prompts takes of a GPU."""
    return sum(size.held + size.block for size in text_sizes(models, torch.device("cuda")).values()) + WORK
