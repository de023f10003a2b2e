"""The miniature's text side: a closed vocabulary of words and a small T5 encoder that serves as T5 and CLIP at once."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import T5Config, T5EncoderModel

from ...uso_model.checkpoints.strict import load_strict
from .files import WEIGHTS, weight_files

__all__ = ["MAX_TOKENS", "MiniTextEncoder", "MiniTokenizer", "load_text"]

MAX_TOKENS = 16
"""Length to which every caption is padded or cut, as USO pads T5 to 512."""

PAD, END, UNKNOWN = 0, 1, 2
_WORD = re.compile("[a-z]+")
_SPECIAL = ("<pad>", "</s>", "<unk>")


class MiniTokenizer:
    """Words to numbers. Unknown words share one token; case and punctuation are ignored."""

    def __init__(self, vocabulary: Sequence[str]):
        self.vocabulary = tuple(vocabulary)
        self._number = {word: i for i, word in enumerate((*_SPECIAL, *self.vocabulary))}

    def __len__(self) -> int:
        return len(self._number)

    def __call__(self, text: str) -> list[int]:
        """Return `MAX_TOKENS` token numbers: words, the end token, padding."""
        words = _WORD.findall(text.lower())[: MAX_TOKENS - 1]
        numbers = [self._number.get(word, UNKNOWN) for word in words] + [END]
        return numbers + [PAD] * (MAX_TOKENS - len(numbers))

    @staticmethod
    def count(text: str) -> int:
        """Return how many tokens a text has, the end token among them; `MAX_TOKENS` are read."""
        return len(_WORD.findall(text.lower())) + 1

    def batch(self, texts: Sequence[str]) -> Tensor:
        """Return the tokens of several texts, `B MAX_TOKENS`."""
        return torch.tensor([self(text) for text in texts])

    def words(self, numbers: Sequence[int]) -> list[str]:
        """Return the words of token numbers."""
        names = (*_SPECIAL, *self.vocabulary)
        return [names[number] for number in numbers]


class MiniTextEncoder(nn.Module):
    """A T5 encoder whose states are the text tokens and whose mean state is the pooled vector."""

    def __init__(self, vocabulary_size: int, width: int = 128, layers: int = 3, heads: int = 4):
        super().__init__()
        self.config = T5Config(
            vocab_size=vocabulary_size,
            d_model=width,
            d_kv=width // heads,
            d_ff=2 * width,
            num_layers=layers,
            num_heads=heads,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
        )
        self.t5 = T5EncoderModel(self.config)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return text tokens `B L D` and pooled text `B D` of token numbers `B L`; padding is attended, as in FLUX."""
        states = self.t5(input_ids=tokens).last_hidden_state
        kept = (tokens != PAD).unsqueeze(-1).to(states.dtype)
        return states, (states * kept).sum(dim=1) / kept.sum(dim=1)


def load_text(folder: Path = WEIGHTS) -> tuple[MiniTokenizer, MiniTextEncoder]:
    """Read the tokenizer and the text encoder."""
    files = weight_files(folder)
    settings = json.loads(files["text_config"].read_text(encoding="utf-8"))
    tokenizer = MiniTokenizer(settings["vocabulary"])
    encoder = MiniTextEncoder(len(tokenizer), settings["width"], settings["layers"], settings["heads"])
    weights = {name: tensor.float() for name, tensor in load_file(files["text"]).items()}
    load_strict(encoder, weights, files["text"].name)
    return tokenizer, encoder.eval()
