"""Files of judges from anywhere: whatever is in them, a judge comes of it, or one sentence."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from comfyui_uso.uso_model.checkpoints import write_safetensors
from comfyui_uso.uso_model.judging import clip, csd, dino, style_encoder
from torch import Tensor

from .mutations import Tally, changed_bytes

SMALL = {"hidden_size": 64, "num_attention_heads": 1, "num_hidden_layers": 1, "intermediate_size": 128}


def towers() -> dict[str, tuple[Any, dict[str, Tensor]]]:
    """Return loaders with small weights that they take."""
    vit = transformers.ViTModel(transformers.ViTConfig(**SMALL), add_pooling_layer=False)
    dinov2 = transformers.Dinov2Model(transformers.Dinov2Config(**{**SMALL, "mlp_ratio": 2}))
    dinov3 = transformers.DINOv3ViTModel(transformers.DINOv3ViTConfig(**SMALL, num_register_tokens=2))
    vision = transformers.CLIPVisionModelWithProjection(
        transformers.CLIPVisionConfig(**SMALL, patch_size=56, projection_dim=8)
    )
    both = transformers.CLIPModel(
        transformers.CLIPConfig(
            text_config={**SMALL, "vocab_size": 99, "projection_dim": 8},
            vision_config={**SMALL, "patch_size": 56, "projection_dim": 8},
            projection_dim=8,
        )
    )
    tower = {f"backbone.{name}": torch.randn(p.shape) for name, p in csd.quickgelu_tower().named_parameters()}
    return {
        "dino": (lambda path: dino.load_dino("dino", path), vit.state_dict()),
        "dinov2": (lambda path: dino.load_dino("dinov2", path), dinov2.state_dict()),
        "dinov3": (lambda path: dino.load_dino("dinov3", path), dinov3.state_dict()),
        "style_encoder": (style_encoder.load_style_encoder, vision.state_dict()),
        "clip": (clip.load_clip, both.state_dict()),
        "csd": (csd.load_csd, {**tower, csd.STYLE_KEY: torch.randn(64, 8)}),
    }


def changed(weights: dict[str, Tensor], rng: random.Random) -> dict[str, Tensor]:
    """Return weights with something wrong with one of them."""
    name = rng.choice(list(weights))
    tensor = weights[name]
    changes = [
        {name: None},
        {name: tensor.T.contiguous() if tensor.ndim == 2 else tensor[None]},
        {name: tensor.flatten()[:0]},
        {name: torch.tensor(1.0)},
        {name: torch.full_like(tensor, float("nan"))},
        {f"{name}.more": tensor},
        {f"vision_model.encoder.layers.{rng.choice((3, 511, 99999))}.self_attn.q_proj.weight": tensor},
        {f"layers.{rng.choice((3, 511, 99999))}.mlp.fc1.weight": tensor},
        *({name: tensor.to(kind)} for kind in (torch.int8, torch.complex64, torch.bool, torch.float8_e4m3fn)),
    ]
    return {key: value for key, value in {**weights, **rng.choice(changes)}.items() if value is not None}


def test_mutated_files(tmp_path: Path, rng: random.Random, rounds: int, tally: Tally, monkeypatch: Any) -> None:
    open_clip = pytest.importorskip("open_clip")
    small = {"width": 64, "layers": 1, "head_width": 64, "mlp_ratio": 2.0}
    text = {"width": 64, "layers": 1, "heads": 1, "mlp_ratio": 2.0, "vocab_size": 99, "context_length": 77}
    settings = {"embed_dim": 8, "quick_gelu": True, "text_cfg": text}
    settings["vision_cfg"] = {**small, "image_size": 224, "patch_size": 56}
    monkeypatch.setattr(open_clip, "get_model_config", lambda name: settings)
    path = tmp_path / "model.safetensors"
    for name, (load, weights) in towers().items():
        write_safetensors(path, weights, durable=False)
        assert load(path).card.name == name
        whole = path.read_bytes()
        for number in range(15 * rounds):
            write_safetensors(path, changed(weights, rng), durable=False)
            tally(f"{name} weights {number}", load, path)
            path.write_bytes(changed_bytes(whole, rng, 2000))
            tally(f"{name} bytes {number}", load, path)
