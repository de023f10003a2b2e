"""The style projector as a MODEL_PATCH, for any size of weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.utils
import torch
from torch import Tensor

from ...uso_model.errors import UserError
from ...uso_model.projector import PREFIX, HierarchicalProjector
from ...uso_model.style import StyleFeatures
from .checks import ProjectorSizes, check_features, projector_sizes, style_projector
from .host_types import ModelPatch
from .model_checks import PROJECTOR_FILE

__all__ = ["HostProjector", "fingerprint", "project", "projector_patch"]


class HostProjector(HierarchicalProjector):
    """Take the three levels stacked low, mid, high, so that ComfyUI's own style node can call it too."""

    def forward(self, features: StyleFeatures | Tensor) -> Tensor:
        """Return style tokens `B 3*S D`, high, mid, low, of features (or of a stack `3 B N C`)."""
        if isinstance(features, Tensor):
            low, mid, high = features.to(_weight_dtype(self))
            features = StyleFeatures(high=high, mid=mid, low=low)
        return super().forward(features)


def projector_patch(state_dict: Mapping[str, Tensor], source: str) -> ModelPatch:
    """Build a MODEL_PATCH of projector weights (`feature_embedder.*`) of any size.

    Args:
        state_dict: name -> tensor; what has another prefix is left out.
        source: name of the file, for messages.

    Raises:
        UserError: for missing, unknown or misshapen weights, and for such as are no numbers.
    """
    from ...uso_model.checkpoints.strict import load_strict  # not above: the readers are slow to import

    weights = {name.removeprefix(PREFIX): tensor for name, tensor in state_dict.items() if name.startswith(PREFIX)}
    _check_shapes(weights, source)
    offload = comfy.model_management.unet_offload_device()
    sizes: dict[str, Any] = {**HierarchicalProjector.sizes(weights)}
    model = HostProjector(
        **sizes,
        operations=comfy.ops.manual_cast,
        dtype=comfy.utils.weight_dtype(weights),
        device=offload,
    )
    # Looked up here because ComfyUI rebinds the class when it starts with dynamic memory.
    patcher = comfy.model_patcher.CoreModelPatcher(
        model, load_device=comfy.model_management.get_torch_device(), offload_device=offload
    )
    load_strict(model, weights, source, assign=patcher.is_dynamic())
    return patcher


def project(patch: ModelPatch, features: StyleFeatures) -> tuple[Tensor, ProjectorSizes]:
    """Return the style tokens `1 L D` of all pictures, each projected once and joined along `L`, and the
    sizes.

    Works for ComfyUI's own projector and for ours. The weights are loaded through ComfyUI's memory
    management and may be unloaded right after.

    Raises:
        UserError: if the MODEL_PATCH is no projector or was made for another encoder.
    """
    sizes = projector_sizes(patch)
    check_features(features, sizes)
    comfy.model_management.load_model_gpu(patch)
    stacks = torch.stack([features.low, features.mid, features.high]).to(patch.load_device)  # 3 B N C
    tokens = [patch.model(stacks[:, i : i + 1]) for i in range(stacks.shape[1])]
    return torch.cat(tokens, dim=1).to(comfy.model_management.intermediate_device()), sizes


def fingerprint(patch: ModelPatch) -> str:
    """Return 16 hex digits that tell projectors apart, of the values of one of their weights in float32."""
    weight = style_projector(patch).high_projection.weight
    return hashlib.sha256(weight.detach().float().cpu().contiguous().numpy().tobytes()).hexdigest()[:16]


def _check_shapes(weights: Mapping[str, Tensor], source: str) -> None:
    """Check what is read before the weights are compared name by name.

    Raises:
        UserError: the two weights that tell the sizes are no matrices, or a weight is not of floating-point numbers.
    """
    matrices = (weights.get("high_embedding_linear.0.weight"), weights.get("high_projection.weight"))
    if not all(part is not None and part.ndim == 2 and part.numel() for part in matrices) or not all(
        part.is_floating_point() for part in weights.values()
    ):
        raise UserError(f"{source} is no whole style projector, expected USO's: choose {PROJECTOR_FILE}.")


def _weight_dtype(model: HierarchicalProjector) -> torch.dtype:
    dtype = next(model.parameters()).dtype
    return dtype if dtype in (torch.float32, torch.bfloat16, torch.float16) else torch.float32
