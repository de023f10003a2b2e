"""Train the miniature's vision and text encoder together, on pictures and their captions; and the tower on styles.

The objective is SigLIP's pairwise sigmoid loss (Zhai et al., "Sigmoid Loss for Language Image Pre-Training", eq. 1).
Captions name subject, colours, background and style, so the vision tower learns all four, at different depths. What no
caption says, how wide a stroke is or which tint the paper has, it learns from the style descriptor.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..model import MiniDescriptor, MiniTextEncoder, MiniTokenizer
from ..model.networks import MiniVision

__all__ = ["ContrastiveObjective", "VisionObjective"]

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
        return self.of_states(self.vision(pixels)[1], captions)

    def of_states(self, states: Tensor, captions: list[str]) -> dict[str, Tensor]:
        """Return the same of the tower's last states `b n c`."""
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


STATISTICS_WEIGHT = 30.0
"""Weight of the statistics beside the captions' loss, which is a sum over all words; with it both are of one size."""


class VisionObjective(nn.Module):
    """The captions' loss, and that of telling the style descriptor's statistics, which no caption says.

    They are read from the mean tokens of the three style levels by a linear layer, because the projector mixes tokens
    linearly too: what this layer finds, that can pass on.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, captions: ContrastiveObjective, descriptor: MiniDescriptor, pictures: Tensor):
        """Ask for statistics in units of what they are like in `pictures`, `b 3 h w` in -1..1."""
        super().__init__()
        self.captions, self.descriptor = captions, descriptor.requires_grad_(False)
        spread, mean = torch.std_mean(descriptor.statistics(pictures), dim=0)
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread + 1e-3)
        self.head = nn.Linear(3 * captions.vision.config.hidden_size, len(mean))

    def forward(self, batch: tuple[tuple[Tensor, list[str]], tuple[Tensor, Tensor, Tensor]]) -> dict[str, Tensor]:
        """Return the losses of captioned pictures and, where only statistics are asked for, triplets."""
        (pictures, captions), (targets, references, _) = batch  # a photo is in no style
        pixels = torch.cat([pictures, targets, references])
        features, states = self.captions.vision(pixels)
        said = self.captions.of_states(states[: len(pictures)], captions)
        told = self.head(torch.cat([level.mean(dim=1) for level in features], dim=1))
        wanted = (self.descriptor.statistics(pixels) - self.mean) / self.spread
        missed = F.mse_loss(told.float(), wanted.float())
        return {**said, "loss": said["loss"] + STATISTICS_WEIGHT * missed, "missed": missed}
