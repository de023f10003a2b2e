"""Style projector files: the 18 `feature_embedder.*` tensors, sizes read off the weights.

Key names: bytedance/USO, uso/flux/model.py (feature_embedder) and modules/layers.py.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..projector import LEVELS, PREFIX, HierarchicalProjector
from .files import read_safetensors, write_safetensors
from .kinds import kind_of, looks_like
from .strict import CheckpointError, load_strict, require_finite, require_floats

__all__ = ["load_projector", "projector_from_state_dict", "save_projector"]


def projector_from_state_dict(
    state_dict: Mapping[str, Tensor],
    source: str,
    dtype: torch.dtype | None = None,
    device: str | torch.device = "cpu",
    levels: Collection[str] = LEVELS,
) -> HierarchicalProjector:
    """Build the projector that a state dict holds, in evaluation mode.

    A file that also holds a USO LoRA is accepted; its LoRA is left to `read_lora`.

    Args:
        state_dict: weights with the prefix `feature_embedder.`.
        source: file name for messages.
        dtype: dtype of the parameters; None keeps what the file has.
        device: where the parameters live.
        levels: those that give tokens.

    Raises:
        CheckpointError: when this is no projector, keys are missing, unknown or misshapen, or a tensor
            holds no real numbers.
    """
    tensors = {name.removeprefix(PREFIX): t for name, t in state_dict.items() if name.startswith(PREFIX)}
    strangers = {name: t for name, t in state_dict.items() if not name.startswith(PREFIX)}
    if not tensors or (strangers and kind_of(strangers) != "uso_lora"):
        raise CheckpointError(
            f"{source} is not a USO style projector but looks like {looks_like(strangers or state_dict)}; "
            "choose the projector file (models/model_patches)."
        )
    require_floats(tensors, source)
    try:
        sizes = HierarchicalProjector.sizes(tensors)
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"{source} has {len(tensors)} projector tensors and not all 18 of the levels {', '.join(LEVELS)} "
            f"({error}); download it again."
        ) from error
    if 0 in sizes.values():
        raise CheckpointError(f"{source} has empty projector tensors; download it again.")
    projector = HierarchicalProjector(
        sizes["tokens_in"], sizes["tokens_out"], sizes["dim_in"], sizes["dim_out"], device="meta", levels=levels
    )
    ready = {name: tensor if dtype is None else tensor.to(dtype) for name, tensor in tensors.items()}
    load_strict(projector, ready, source, assign=True)
    return projector.to(device).eval()


def load_projector(
    path: str | os.PathLike[str],
    dtype: torch.dtype | None = None,
    device: str | torch.device = "cpu",
    levels: Collection[str] = LEVELS,
) -> HierarchicalProjector:
    """Read a projector file; see `projector_from_state_dict`.

    Raises:
        CheckpointError: also for a value that is not finite.
    """
    tensors, name = read_safetensors(path), Path(path).name
    projector = projector_from_state_dict(tensors, name, dtype, device, levels)
    require_finite({key: tensor for key, tensor in tensors.items() if key.startswith(PREFIX)}, name)
    return projector


def save_projector(
    path: str | os.PathLike[str],
    projector: HierarchicalProjector,
    metadata: Mapping[str, str] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a projector as ComfyUI's Load Model Patch and the official code read it; `dtype` None keeps the
    dtype."""
    tensors = {
        f"{PREFIX}{name}": tensor if dtype is None else tensor.to(dtype)
        for name, tensor in projector.state_dict().items()
    }
    write_safetensors(path, tensors, metadata)
