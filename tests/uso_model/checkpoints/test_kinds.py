"""Kinds of files, told from key lists as they are published."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from comfyui_uso.uso_model.checkpoints.kinds import kind_of, looks_like
from comfyui_uso.uso_model.config import FLUX_DEV, FLUX_SCHNELL

SIGLIP = ["vision_model.embeddings.patch_embedding.bias", "vision_model.embeddings.patch_embedding.weight"]
CLIP = ["vision_model.embeddings.class_embedding", "vision_model.embeddings.patch_embedding.weight"]
VAE = ["encoder.conv_in.weight", "encoder.down.0.block.0.conv1.weight", "decoder.up.0.block.0.conv1.weight"]


@pytest.mark.parametrize("prefix", ["", "diffusion_model.", "model.diffusion_model."])
def test_flux(flux_shapes: Callable, prefix: str) -> None:
    for config in (FLUX_DEV, FLUX_SCHNELL):
        assert kind_of(f"{prefix}{name}" for name in flux_shapes(config)) == "flux"


def test_flux_with_one_telling_key_missing_is_still_flux(flux_shapes: Callable) -> None:
    for name in ("img_in.weight", "double_blocks.0.img_attn.qkv.weight"):
        assert kind_of(set(flux_shapes(FLUX_DEV)) - {name}) == "flux"


def test_all_in_one_checkpoint_is_flux(flux_shapes: Callable) -> None:
    parts = [f"model.diffusion_model.{name}" for name in flux_shapes(FLUX_DEV)]
    assert kind_of([*parts, *(f"vae.{key}" for key in VAE), "text_encoders.clip_l.logit_scale"]) == "flux"


def test_loras_and_projector(lora_shapes: Callable, projector_shapes: Callable, tiny_lora: dict[str, Any]) -> None:
    uso, projector = set(lora_shapes(FLUX_DEV, 128)), set(projector_shapes(729, 64, 1152, 3072))
    assert kind_of(uso) == "uso_lora" and kind_of(tiny_lora) == "uso_lora"
    assert kind_of({"double_blocks.3.processor.proj_lora2.up.weight"}) == "uso_lora"
    assert kind_of(projector) == "projector"
    assert kind_of(uso | projector) == "uso_lora"
    for name in (
        "lora_A.weight",
        "lora_B.weight",
        "lora_down.weight",
        "lora_up.weight",
        "lora_A.default.weight",
    ):
        assert kind_of([f"diffusion_model.double_blocks.0.img_attn.qkv.{name}"]) == "lora"


def test_vision_models() -> None:
    assert kind_of(SIGLIP) == "siglip"
    assert kind_of([*SIGLIP, "text_model.encoder.layers.0.layer_norm1.bias", "logit_scale"]) == "siglip"
    assert kind_of(CLIP) == "clip_vision"
    assert kind_of(["visual.class_embedding", "visual.conv1.weight"]) == "clip_vision"


@pytest.mark.parametrize("prefix", ["", "vae.", "first_stage_model."])
def test_autoencoder(prefix: str) -> None:
    keys = [f"{prefix}{key}" for key in VAE]
    assert kind_of(keys) == "autoencoder"
    assert kind_of([*keys, f"{prefix}quant_conv.weight"]) == "unknown"


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        (
            [
                "double_stream_modulation_img.lin.weight",
                "img_in.weight",
                "double_blocks.0.img_attn.qkv.weight",
            ],
            "FLUX.2",
        ),
        (
            [
                "distilled_guidance_layer.in_proj.weight",
                "img_in.weight",
                "double_blocks.0.img_attn.qkv.weight",
            ],
            "Chroma",
        ),
        (
            ["model.diffusion_model.input_blocks.0.0.weight", "model.diffusion_model.label_emb.0.0.weight"],
            "SDXL",
        ),
        (["model.diffusion_model.input_blocks.0.0.weight"], "Stable Diffusion 1"),
        (["model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight"], "Stable Diffusion 3"),
        (["single_transformer_blocks.0.norm.linear.weight"], "diffusers layout"),
        (["txt_in.individual_token_refiner.blocks.0.norm1.weight"], "HunyuanVideo"),
        (["lora_unet_double_blocks_0_img_attn_qkv.alpha"], "kohya"),
        (["encoder.block.0.layer.0.SelfAttention.q.weight"], "T5"),
        (["something.else"], "unknown kind"),
    ],
)
def test_other_families_are_unknown_but_named(keys: list[str], name: str) -> None:
    assert kind_of(keys) == "unknown"
    assert name in looks_like(keys)
