"""Train the miniature's vision and text encoder together, on pictures and their captions.

The objective is SigLIP's pairwise sigmoid loss (Zhai et al., "Sigmoid Loss for Language Image Pre-Training", eq. 1).
Captions name subject, colours, background and style, so the vision tower learns all four, at different depths.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import SiglipVisionConfig

from ...uso_model.mini import PICTURE_SIZE, MiniTextEncoder, MiniTokenizer
from ...uso_model.mini.models import MiniVision

__all__ = ["ContrastiveObjective", "make_vision"]


def make_vision() -> MiniVision:
    """Return an untrained vision tower: 64 tokens of width 192 from six layers."""
    return MiniVision(
        SiglipVisionConfig(
            image_size=PICTURE_SIZE,
            patch_size=16,
            hidden_size=192,
            intermediate_size=768,
            num_hidden_layers=6,
            num_attention_heads=3,
            vision_use_head=False,
            layer_norm_eps=1e-5,  # the only value that ComfyUI knows
        )
    )


class ContrastiveObjective(nn.Module):
    """Sigmoid loss over all picture-caption pairs of a batch; equal captions count as matches."""

    def __init__(self, vision: MiniVision, text: MiniTextEncoder, tokenizer: MiniTokenizer, width: int = 128):
        super().__init__()
        self.vision, self.text, self.tokenizer = vision, text, tokenizer
        self.image_head = nn.Linear(vision.config.hidden_size, width)
        self.text_head = nn.Linear(text.config.d_model, width)
        self.log_scale = nn.Parameter(torch.tensor(10.0).log())
        self.bias = nn.Parameter(torch.tensor(-10.0))

    def forward(self, batch: tuple[Tensor, list[str]]) -> dict[str, Tensor]:
        """Return the loss and how often a picture finds its caption in the batch."""
        pixels, captions = batch
        _, states = self.vision(pixels)
        tokens = self.tokenizer.batch(captions)
        _, pooled = self.text(tokens)
        image = F.normalize(self.image_head(states.mean(dim=1)), dim=-1)
        text = F.normalize(self.text_head(pooled), dim=-1)
        logits = self.log_scale.exp() * image @ text.T + self.bias
        match = (tokens[:, None] == tokens[None]).all(dim=-1)
        loss = -F.logsigmoid(torch.where(match, logits, -logits)).sum(dim=1).mean()
        found = match[torch.arange(len(captions)), logits.argmax(dim=1)].float().mean()
        return {"loss": loss, "found": found}
