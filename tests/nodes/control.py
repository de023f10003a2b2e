"""A ControlNet that is made up."""

from __future__ import annotations

from typing import Any

import comfy.controlnet
import torch

__all__ = ["under_control"]


class MadeUpControl(comfy.controlnet.ControlBase):
    """What a ControlNet gives to FLUX: additions to the picture's tokens behind each block."""

    def get_control(self, x_noisy: Any, t: Any, cond: Any, batched_number: int, transformer_options: Any) -> Any:
        """Return additions for one double and one single block, as many as the picture has tokens."""
        tokens = (x_noisy.shape[-2] // 2) * (x_noisy.shape[-1] // 2)
        added = torch.randn(1, tokens, 64, generator=torch.Generator().manual_seed(6)).expand(x_noisy.shape[0], -1, -1)
        return {"input": [added], "output": [added]}

    def copy(self) -> Any:
        """Return another of the same."""
        made = MadeUpControl()
        self.copy_to(made)
        return made


def under_control(conditioning: Any) -> Any:
    """Return a conditioning with it, which counts on the negative side, too."""
    extra = {"control": MadeUpControl(), "control_apply_to_uncond": True}
    return [[text, {**values, **extra}] for text, values in conditioning]
