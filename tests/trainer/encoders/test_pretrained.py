"""Files and folders load into networks that compute what transformers computes, or are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from comfyui_uso.trainer.encoders.pretrained import load_clip, load_siglip, load_t5
from comfyui_uso.uso_model.checkpoints import CheckpointError, write_safetensors
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    SiglipConfig,
    SiglipModel,
    SiglipVisionConfig,
    SiglipVisionModel,
    T5Config,
    T5EncoderModel,
    T5ForConditionalGeneration,
)

CPU = torch.device("cpu")
LOADERS = {"tiny_t5": load_t5, "tiny_clip": load_clip, "tiny_siglip": load_siglip}
KINDS = pytest.mark.parametrize("name", LOADERS)
IN_CHECKPOINTS = {"tiny_t5": "text_encoders.t5xxl.transformer.", "tiny_clip": "text_encoders.clip_l.transformer."}
SMALL = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 5, "num_attention_heads": 1}


def outputs(name, model):
    """Return all that is used of a network's outputs."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        if name == "tiny_siglip":
            pixels = torch.randn(2, 3, 32, 32, generator=generator)
            return list(model(pixel_values=pixels, output_hidden_states=True).hidden_states)
        ids = torch.randint(3, 20, (2, 9), generator=generator)
        if name == "tiny_t5":
            return [model(input_ids=ids).last_hidden_state]
        ids[:, 6:] = model.config.eos_token_id
        return [model(input_ids=ids).pooler_output]


def assert_same(name, got, expected):
    pairs = list(zip(outputs(name, got), outputs(name, expected), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs) and pairs[0][0].std() > 0.1
    assert not got.training and not any(parameter.requires_grad for parameter in got.parameters())


@KINDS
def test_a_single_file(name, request, comfy_weights, tmp_path):
    model = request.getfixturevalue(name)
    file = tmp_path / "model.safetensors"
    write_safetensors(file, comfy_weights(model) | {"text_model.embeddings.position_ids": torch.arange(77)})
    assert_same(name, LOADERS[name](file, torch.float32, CPU), model)


@pytest.mark.parametrize("name", IN_CHECKPOINTS)
def test_the_part_of_an_all_in_one_checkpoint(name, request, comfy_weights, tmp_path):
    model = request.getfixturevalue(name)
    stored = {"model.diffusion_model.img_in.weight": torch.zeros(1), "vae.decoder.conv_in.bias": torch.zeros(1)}
    for part, prefix in IN_CHECKPOINTS.items():
        weights = comfy_weights(request.getfixturevalue(part))
        stored |= {f"{prefix}{key}": tensor for key, tensor in weights.items()}
    write_safetensors(tmp_path / "flux1-dev-fp8.safetensors", stored)
    assert_same(name, LOADERS[name](tmp_path / "flux1-dev-fp8.safetensors", torch.float32, CPU), model)


@KINDS
@pytest.mark.parametrize("shard", ["5GB", "40KB"])
def test_a_folder(name, shard, request, tmp_path):
    model = request.getfixturevalue(name)
    model.save_pretrained(tmp_path / "whole", max_shard_size=shard)
    assert (len(list((tmp_path / "whole").glob("*.safetensors"))) > 1) == (shard == "40KB")
    assert_same(name, LOADERS[name](tmp_path / "whole", torch.float32, CPU), model)


@pytest.mark.parametrize("name", ["tiny_clip", "tiny_siglip"])
def test_a_folder_with_the_names_of_published_ones(name, request, comfy_weights, tmp_path):
    model = request.getfixturevalue(name)
    model.config.save_pretrained(tmp_path)
    write_safetensors(tmp_path / "model.safetensors", comfy_weights(model))
    write_safetensors(tmp_path / "model.fp16.safetensors", {"another precision": torch.zeros(1)})
    assert_same(name, LOADERS[name](tmp_path, torch.float32, CPU), model)


def test_a_folder_of_both_towers(tmp_path):
    """openai/clip-vit-large-patch14 and google/siglip-so400m-patch14-384 hold text and vision."""
    vision = {**SMALL, "image_size": 32, "patch_size": 8}
    text = {**SMALL, "vocab_size": 60, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 1}
    clip, siglip = (
        CLIPModel(CLIPConfig(text_config=text, vision_config=vision)).eval(),
        SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).eval(),
    )
    clip.save_pretrained(tmp_path / "clip")
    siglip.save_pretrained(tmp_path / "siglip")
    got = load_clip(tmp_path / "clip", torch.float32, CPU)
    ids = torch.tensor([[1, 30, 31, 2, 2]])
    with torch.no_grad():
        expected = clip.text_model(input_ids=ids).pooler_output
        assert torch.equal(got(input_ids=ids).pooler_output, expected)
    assert_same("tiny_siglip", load_siglip(tmp_path / "siglip", torch.float32, CPU), siglip.vision_model)


def test_a_t5_with_its_decoder(tmp_path):
    config = T5Config(vocab_size=32, d_model=32, d_kv=8, num_heads=4, d_ff=48, num_layers=2)
    model = T5ForConditionalGeneration(config).eval()
    model.save_pretrained(tmp_path)
    got = load_t5(tmp_path, torch.float32, CPU)
    ids = torch.tensor([[4, 5, 1, 0]])
    with torch.no_grad():
        assert torch.equal(got(input_ids=ids).last_hidden_state, model.encoder(input_ids=ids).last_hidden_state)


@pytest.mark.parametrize("kept", ["shared.weight", "encoder.embed_tokens.weight"])
def test_a_t5_embedding_under_one_name(kept, tiny_t5, comfy_weights, tmp_path):
    dropped = {"shared.weight", "encoder.embed_tokens.weight"} - {kept}
    weights = {name: tensor for name, tensor in comfy_weights(tiny_t5).items() if name not in dropped}
    write_safetensors(tmp_path / "t5.safetensors", weights)
    got = load_t5(tmp_path / "t5.safetensors", torch.float32, CPU)
    assert_same("tiny_t5", got, tiny_t5)
    assert got.shared.weight is got.encoder.embed_tokens.weight, "held once"


def test_a_t5_without_gates(tmp_path):
    """The first version of T5: relu, one matrix in."""
    config = T5Config(vocab_size=32, d_model=32, d_kv=8, num_heads=4, d_ff=48, num_layers=2)
    model = T5EncoderModel(config).eval()
    write_safetensors(tmp_path / "t5.safetensors", model.state_dict())
    assert_same("tiny_t5", load_t5(tmp_path / "t5.safetensors", torch.float32, CPU), model)


@pytest.mark.parametrize("scaled", [False, True])
def test_a_t5_in_8_bits(scaled, tiny_t5, comfy_weights, tmp_path):
    """t5xxl_fp8_e4m3fn is all cast; t5xxl_fp8_e4m3fn_scaled has a marker, and a scale beside each matrix."""
    stored = {"scaled_fp8": torch.empty(0, dtype=torch.float8_e4m3fn)} if scaled else {}
    expected = {}
    for name, tensor in comfy_weights(tiny_t5).items():
        layer = name.removesuffix(".weight")
        scale = tensor.abs().max() / 448 if scaled and tensor.ndim == 2 and ".layer." in name else torch.tensor(1.0)
        stored[name] = (tensor / scale).to(torch.float8_e4m3fn)
        expected[name] = stored[name].float() * scale
        if scale != 1:
            stored[f"{layer}.scale_weight"] = scale
    write_safetensors(tmp_path / "t5.safetensors", stored)
    tiny_t5.load_state_dict(expected)
    assert_same("tiny_t5", load_t5(tmp_path / "t5.safetensors", torch.float32, CPU), tiny_t5)
    half = load_t5(tmp_path / "t5.safetensors", torch.bfloat16, CPU)
    eight = {name for name, weight in half.named_parameters() if weight.dtype == torch.float8_e4m3fn}
    assert eight == {n for n, w in half.named_parameters() if w.ndim == 2 and ".block." in n}, "as in the file"
    assert_same("tiny_t5", half, tiny_t5.bfloat16())
    half.encoder.block[1].layer[1].register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        half(input_ids=torch.tensor([[3]]))
    assert eight == {n for n, w in half.named_parameters() if w.dtype == torch.float8_e4m3fn}, "and after a failure"


def test_a_t5_of_half_precision_is_the_file_itself(tiny_t5, comfy_weights, tmp_path):
    stored = {name: tensor.half() for name, tensor in comfy_weights(tiny_t5).items()}
    write_safetensors(tmp_path / "t5.safetensors", stored)
    half = load_t5(tmp_path / "t5.safetensors", torch.bfloat16, CPU)
    weight = half.encoder.block[1].layer[1].DenseReluDense.wo.weight
    assert weight.dtype == torch.float16, "brought to bfloat16 when its block computes"
    tiny_t5.load_state_dict({name: tensor.bfloat16() for name, tensor in stored.items()})
    assert_same("tiny_t5", half, tiny_t5.bfloat16())


def test_the_sizes_of_the_published_siglip(comfy_weights, tmp_path):
    """Neither its heads, 72 wide, nor the 6 of 384 pixels that no patch of 14 covers can be seen in the weights."""
    sizes = {"hidden_size": 1152, "intermediate_size": 4304, "num_attention_heads": 16}
    with torch.device("meta"):
        model = SiglipVisionModel(SiglipVisionConfig(**sizes, num_hidden_layers=1, image_size=384, patch_size=14))
    weights = {name: torch.zeros(t.shape, dtype=torch.float16) for name, t in comfy_weights(model).items()}
    write_safetensors(tmp_path / "sigclip.safetensors", weights, durable=False)
    got = load_siglip(tmp_path / "sigclip.safetensors", torch.float16, CPU).config
    assert {**got.to_dict(), "vision_use_head": True} == {**model.config.to_dict(), "vision_use_head": True}


@KINDS
def test_others_are_refused(name, request, comfy_weights, tmp_path):
    load = LOADERS[name]
    file = tmp_path / "x.safetensors"
    others = [comfy_weights(request.getfixturevalue(other)) for other in LOADERS if other != name]
    for weights in [*others, {"a": torch.ones(1)}]:
        write_safetensors(file, weights)
        with pytest.raises(CheckpointError, match=r"x\.safetensors looks like .*; choose .*safetensors"):
            load(file, torch.float32, CPU)
    for other in LOADERS:
        if other != name:
            request.getfixturevalue(other).save_pretrained(tmp_path / other)
            with pytest.raises(CheckpointError, match=f"{other} looks like .*; choose"):
                load(tmp_path / other, torch.float32, CPU)


def test_a_clip_vision_model_is_no_siglip(tmp_path):
    model = CLIPVisionModel(CLIPVisionConfig(**SMALL, image_size=32, patch_size=8))
    weights = {f"vision_model.{name.removeprefix('vision_model.')}": t for name, t in model.state_dict().items()}
    write_safetensors(tmp_path / "clip_vision_h.safetensors", weights)
    with pytest.raises(CheckpointError, match=r"clip_vision_h\.safetensors does not fit SiglipVisionModel"):
        load_siglip(tmp_path / "clip_vision_h.safetensors", torch.float32, CPU)


@KINDS
def test_an_incomplete_model_is_refused(name, request, comfy_weights, tmp_path):
    model = request.getfixturevalue(name)
    weights = comfy_weights(model)
    model.save_pretrained(tmp_path / "folder")
    for absent in ("encoder.layers.0.mlp.fc1.weight", "encoder.block.0.layer.0.SelfAttention.q.weight", "norm.bias"):
        kept = {key: tensor for key, tensor in weights.items() if not key.endswith(absent)}
        if len(kept) == len(weights):
            continue
        for path in (tmp_path / "file.safetensors", tmp_path / "folder"):
            write_safetensors(path / "model.safetensors" if path.is_dir() else path, kept)
            with pytest.raises(CheckpointError, match=r"lacks .*; download|missing key"):
                LOADERS[name](path, torch.float32, CPU)


def test_folders_that_cannot_be_read(tiny_t5, tmp_path):
    folder = tmp_path / "t5"
    tiny_t5.save_pretrained(folder, max_shard_size="20KB")
    shard = sorted(folder.glob("model-*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(CheckpointError, match=f"lacks the shard {shard.name}"):
        load_t5(folder, torch.float32, CPU)
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        load_t5(tmp_path, torch.float32, CPU)
    (folder / "model.safetensors.index.json").unlink()
    with pytest.raises(CheckpointError, match="no index that joins them"):
        load_t5(folder, torch.float32, CPU)
    index = {"weight_map": {"a": "../outside.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    write_safetensors(tmp_path / "outside.safetensors", {"a": torch.ones(1)})
    with pytest.raises(CheckpointError, match=r"lacks the shard outside\.safetensors"):
        load_t5(folder, torch.float32, CPU)
    (folder / "model.safetensors.index.json").write_text("{")
    with pytest.raises(CheckpointError, match="is not JSON"):
        load_t5(folder, torch.float32, CPU)


def test_an_absent_file(tmp_path: Path):
    with pytest.raises(CheckpointError, match="is not there"):
        load_clip(tmp_path / "clip_l.safetensors", torch.float32, CPU)
