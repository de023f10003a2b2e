"""Objectives of USO-mini's vision tower and text encoder: captions, and statistics of style.

Captions are learned by SigLIP's pairwise sigmoid loss (Zhai et al., "Sigmoid Loss for Language Image Pre-Training",
eq. 1). They name subject, colours, background and style, so the vision tower learns all four, at different depths. They
do not name the width of a stroke or the tint of the paper: the tower learns these from the style descriptor.
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

    A picture matches its caption, equal captions, and every word of its caption. The words help a small tower to learn
    from few pictures: a batch holds one right caption for each picture, but six right words.
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
        """Return the loss, the share of pictures that find their caption in the batch, and of words that rank first."""
        pixels, captions = batch
        return self.of_states(self.vision(pixels)[1], captions)

    def of_states(self, states: Tensor, captions: list[str]) -> dict[str, Tensor]:
        """Return the same for the tower's last states `b n c`."""
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
"""Weight of the statistics' loss. The captions' loss is a sum over all words; with this weight both are about equal."""


class VisionObjective(nn.Module):
    """The captions' loss, and the error of predicting the style descriptor's statistics.

    A linear layer predicts them from the mean tokens of the three style levels. The projector mixes tokens linearly,
    too, so it can pass on what this layer finds.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, captions: ContrastiveObjective, descriptor: MiniDescriptor, pictures: Tensor):
        """Normalise the statistics by their mean and spread over `pictures`, `b 3 h w` in -1..1."""
        super().__init__()
        self.captions, self.descriptor = captions, descriptor.requires_grad_(False)
        spread, mean = torch.std_mean(descriptor.statistics(pictures), dim=0)
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread + 1e-3)
        self.head = nn.Linear(3 * captions.vision.config.hidden_size, len(mean))

    def forward(self, batch: tuple[tuple[Tensor, list[str]], tuple[Tensor, Tensor, Tensor]]) -> dict[str, Tensor]:
        """Return the losses of captioned pictures and of triplets, which only have statistics to predict."""
        (pictures, captions), (targets, references, _) = batch  # photos have no style
        pixels = torch.cat([pictures, targets, references])
        features, states = self.captions.vision(pixels)
        said = self.captions.of_states(states[: len(pictures)], captions)
        predicted = self.head(torch.cat([level.mean(dim=1) for level in features], dim=1))
        target = (self.descriptor.statistics(pixels) - self.mean) / self.spread
        missed = F.mse_loss(predicted.float(), target.float())
        return {**said, "loss": said["loss"] + STATISTICS_WEIGHT * missed, "missed": missed}
