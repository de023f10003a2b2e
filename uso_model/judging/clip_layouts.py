"""CLIP's weights under their names of Hugging Face's transformers, brought to those of open_clip.

Both are public: openai/CLIP, clip/model.py (whose names open_clip keeps), and huggingface/transformers,
models/clip/modeling_clip.py. open_clip holds queries, keys and values in one matrix, and the projections transposed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from ..checkpoints import CheckpointError

__all__ = ["open_clip_layout"]

_TOWERS = {"vision_model": "visual.", "text_model": ""}
_WHOLE = {
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "logit_scale": "logit_scale",
}
_NORMS = {"vision_model.pre_layrnorm": "visual.ln_pre", "vision_model.post_layernorm": "visual.ln_post"}
_NORMS |= {"text_model.final_layer_norm": "ln_final"}
_TRANSPOSED = {"visual_projection.weight": "visual.proj", "text_projection.weight": "text_projection"}
_LAYER = re.compile(r"(vision_model|text_model)\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")
_PARTS = {
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
_NO_WEIGHTS = re.compile(r".*\.position_ids|input_resolution|context_length|vocab_size")
"""Numbers that some files keep beside the weights."""


def open_clip_layout(tensors: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Return the weights under open_clip's names, whichever of both layouts they have; unknown names stay.

    Raises:
        CheckpointError: a layer has queries, keys or values but not all three.
    """
    weights = {name: tensor for name, tensor in tensors.items() if not _NO_WEIGHTS.fullmatch(name)}
    found: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        layer = _LAYER.fullmatch(name)
        norm, _, kind = name.rpartition(".")
        if name in _WHOLE:
            found[_WHOLE[name]] = tensor
        elif name in _TRANSPOSED:
            found[_TRANSPOSED[name]] = tensor.T if tensor.ndim == 2 else tensor
        elif norm in _NORMS:
            found[f"{_NORMS[norm]}.{kind}"] = tensor
        elif layer is None:
            found[name] = tensor
        elif layer[3] in _QKV:
            before, after = name.split(layer[3])
            target = f"{_TOWERS[layer[1]]}transformer.resblocks.{layer[2]}.attn.in_proj_{layer[4]}"
            if target not in found:
                found[target] = _joined([before + part + after for part in _QKV], weights, source)
        else:
            part = _PARTS.get(layer[3], layer[3])
            found[f"{_TOWERS[layer[1]]}transformer.resblocks.{layer[2]}.{part}.{layer[4]}"] = tensor
    return found


def _joined(names: list[str], weights: Mapping[str, Tensor], source: str) -> Tensor:
    parts = [weights[name] for name in names if name in weights]
    if len(parts) < len(names) or any(part.shape != parts[0].shape or not part.ndim for part in parts):
        raise CheckpointError(f"{source} lacks one of {', '.join(names)}, or their shapes differ; download it again.")
    return torch.cat(parts)
