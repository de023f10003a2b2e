"""CLIP ViT-B/32 with OpenAI's weights: likeness of subjects (CLIP-I), and of a picture to its prompt (CLIP-T).

The measures of DreamBench (Ruiz et al. 2023, "DreamBooth", section 4.3): cosines of the projected features of ViT-B/32.
The network is open_clip's, with the activation that OpenAI trained with (QuickGELU); its plain ViT-B-32 takes the same
weights and computes something else. The tokenizer's vocabulary comes with open_clip.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checkpoints import load_strict, read_safetensors
from ..checkpoints.strict import require_finite, require_floats
from .clip_layouts import open_clip_layout
from .encoder_judge import EncoderJudge
from .judge import Card
from .open_clip_package import open_clip_package
from .preprocessing import CLIP_DEVIATION, CLIP_MEAN, Preprocessing

__all__ = ["CARD", "PREPROCESSING", "Clip", "clip_from", "is_clip", "load_clip"]

ARCHITECTURE = "ViT-B-32-quickgelu"

PREPROCESSING = Preprocessing(224, 224, CLIP_MEAN, CLIP_DEVIATION)

CARD = Card(
    name="clip",
    sees=("subject", "text"),
    model="OpenAI CLIP ViT-B/32 (timm/vit_base_patch32_clip_224.openai)",
    revision="ab5b8ef490e86faa07d3523926b842c765de1de5",
    licence="MIT (openai/CLIP)",
    preprocessing="short side 224 (Pillow, bicubic), middle 224 x 224, CLIP's mean and deviation; texts of 77 tokens",
    range=(-1.0, 1.0),
    address="https://huggingface.co/timm/vit_base_patch32_clip_224.openai/blob/main/open_clip_model.safetensors",
    file="open_clip_model.safetensors",
)

_PATCHES = (768, 3, 32, 32)
_PROJECTION = (512, 512)
_LAYOUTS = {
    "visual.conv1.weight": "text_projection",
    "vision_model.embeddings.patch_embedding.weight": "text_projection.weight",
}
"""Patches and projection of texts, as open_clip and as transformers name them."""


def is_clip(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether a file holds a whole ViT-B/32, both towers, in one of both layouts."""
    return any(
        shapes.get(patches) == _PATCHES and shapes.get(projection) == _PROJECTION
        for patches, projection in _LAYOUTS.items()
    )


class Clip(EncoderJudge):
    """Pictures and texts to unit vectors in one space."""

    network: Any
    """open_clip's, which comes without types."""

    def __init__(self, network: nn.Module):
        super().__init__(CARD, PREPROCESSING)
        self.network: Any = network  # open_clip has no types
        self.tokenizer = open_clip_package("clip").tokenizer.SimpleTokenizer()

    def features(self, prepared: Tensor) -> Tensor:
        """Return projected features `b 512` of prepared pictures `b 3 224 224`."""
        return self.network.encode_image(prepared)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Return unit vectors `b 512`; of a text, what is beyond 77 tokens is cut."""
        tokens = self.tokenizer(list(texts)).to(self.network.token_embedding.weight.device)
        return F.normalize(self.network.encode_text(tokens), dim=-1)


def load_clip(path: str | Path, device: str | torch.device = "cpu") -> Clip:
    """Read ViT-B/32 from a safetensors file in open_clip's or transformers' layout, frozen, in float32.

    Raises:
        UserError: the file is no such model, or open_clip is not installed.
    """
    return clip_from(read_safetensors(path), Path(path).name).to(device)


def clip_from(tensors: Mapping[str, Tensor], source: str) -> Clip:
    """Return the judge of these weights, all of which it must need and no other; see `load_clip`."""
    open_clip = open_clip_package("clip")
    settings = open_clip.get_model_config(ARCHITECTURE)
    with torch.device("meta"):
        network = open_clip.CLIP(**settings)
    weights = open_clip_layout(tensors, source)
    require_floats(weights, source)  # `float` below would take quantised ones for numbers
    load_strict(network, {name: tensor.float() for name, tensor in weights.items()}, source, assign=True)
    require_finite(weights, source)
    # The causal mask is no weight: what the meta device has of it is its shape.
    length = network.context_length
    network.attn_mask = torch.full((length, length), float("-inf")).triu_(1)
    return Clip(network).eval().requires_grad_(False)
