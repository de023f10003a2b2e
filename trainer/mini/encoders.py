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


GRAMMAR = {"a", "an", "and", "of", "on"}
"""Words of the vocabulary that say nothing about a picture."""


class ContrastiveObjective(nn.Module):
    """Sigmoid loss over all pairs of a picture and a text; the texts are the batch's captions and single words.

    A picture matches its caption, captions equal to it, and every word of it. Without the words a tower this small
    learns little from few pictures: a batch holds one right caption, but half a dozen right words.
    """

    def __init__(self, vision: MiniVision, text: MiniTextEncoder, tokenizer: MiniTokenizer, width: int = 128):
        super().__init__()
        self.vision, self.text, self.tokenizer = vision, text, tokenizer
        self.image_head = nn.Linear(vision.config.hidden_size, width)
        self.text_head = nn.Linear(text.config.d_model, width)
        self.log_scale = nn.Parameter(torch.tensor(10.0).log())
        self.bias = nn.Parameter(torch.tensor([-10.0, -10.0]))
        words = [word for word in tokenizer.vocabulary if word not in GRAMMAR]
        self.words = tokenizer.batch(words)

    def forward(self, batch: tuple[Tensor, list[str]]) -> dict[str, Tensor]:
        """Return the loss, how often a picture finds its caption in the batch, and how often its words come first."""
        pixels, captions = batch
        _, states = self.vision(pixels)
        tokens = self.tokenizer.batch(captions)
        _, pooled = self.text(torch.cat([tokens, self.words]))
        image = F.normalize(self.image_head(states.mean(dim=1)), dim=-1)
        text = F.normalize(self.text_head(pooled), dim=-1)
        count = len(captions)
        own, words = (self.log_scale.exp() * image @ text.T).split([count, len(self.words)], dim=1)
        match = (tokens[:, None] == tokens[None]).all(dim=-1)
        said = (tokens[:, None] == self.words[None, :, :1]).any(dim=-1)
        loss = _sigmoid_loss(own + self.bias[0], match) + _sigmoid_loss(words + self.bias[1], said)
        found = match[torch.arange(count), own.argmax(dim=1)].float().mean()
        number = said.sum(dim=1)
        first = words.argsort(dim=1, descending=True).argsort(dim=1) < number[:, None]
        return {"loss": loss, "found": found, "named": ((first & said).sum(dim=1) / number).mean()}


def _sigmoid_loss(logits: Tensor, match: Tensor) -> Tensor:
    """Return the mean over pictures of the summed loss of their texts."""
    return -F.logsigmoid(torch.where(match, logits, -logits)).sum(dim=1).mean()
