"""Tiny networks of transformers with random weights, and tokenizers of a few words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    SiglipVisionConfig,
    SiglipVisionModel,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

T5_WORDS = ["<pad>", "</s>", "<unk>", "\u2581", "\u2581a", "\u2581cat", *"abcdefghijklmnopqrstuvwxyz"]
LETTERS = "abcdefghijklmnopqrstuvwxyz"
CLIP_WORDS = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "ca", "cat</w>", "<|startoftext|>", "<|endoftext|>"]
CLIP_END = CLIP_WORDS.index("<|endoftext|>")


def randomised(model: nn.Module, seed: int) -> nn.Module:
    """Give every parameter random values: fresh norms and biases would hide what is not loaded."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * (0.3 if parameter.ndim > 1 else 1.0))
    return model.eval()


@pytest.fixture
def tiny_t5() -> T5EncoderModel:
    config = T5Config(
        vocab_size=len(T5_WORDS),
        d_model=32,
        d_kv=8,
        num_heads=4,
        d_ff=48,
        num_layers=3,
        relative_attention_num_buckets=16,
        feed_forward_proj="gated-gelu",
    )
    return randomised(T5EncoderModel(config), 0)


@pytest.fixture
def tiny_clip() -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=len(CLIP_WORDS),
        hidden_size=128,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        hidden_act="quick_gelu",
        eos_token_id=CLIP_END,
        bos_token_id=CLIP_END - 1,
        pad_token_id=CLIP_END,
    )
    return randomised(CLIPTextModel(config), 1)


@pytest.fixture
def tiny_siglip() -> SiglipVisionModel:
    config = SiglipVisionConfig(
        hidden_size=128,
        intermediate_size=96,
        num_hidden_layers=6,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
    )
    return randomised(SiglipVisionModel(config), 2)


@pytest.fixture
def comfy_weights() -> Callable[[nn.Module], dict[str, Tensor]]:
    """Return a function that names weights as ComfyUI's files do, whichever transformers is installed."""

    def named(model: nn.Module) -> dict[str, Tensor]:
        prefix = {CLIPTextModel: "text_model.", SiglipVisionModel: "vision_model."}.get(type(model), "")
        return {prefix + name.removeprefix(prefix): tensor for name, tensor in model.state_dict().items()}

    return named


@pytest.fixture
def write_tokenizers() -> Callable[[Path, Path], None]:
    """Return a function that writes a T5 and a CLIP tokenizer into two folders."""

    def write(t5: Path, clip: Path) -> None:
        T5TokenizerFast(vocab=[(word, -float(n)) for n, word in enumerate(T5_WORDS)], extra_ids=0).save_pretrained(t5)
        clip.mkdir(parents=True, exist_ok=True)
        (clip / "vocab.json").write_text(json.dumps({word: n for n, word in enumerate(CLIP_WORDS)}))
        (clip / "merges.txt").write_text("#version: 0.2\nc a\nca t</w>\n")

    return write


@pytest.fixture
def picture() -> Image.Image:
    """Return a picture of noise, wider than high."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 48, 3), dtype=np.uint8))
