"""The trainer's text and vision encoders read what ComfyUI reads, and give what its own networks give."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from comfyui_uso.trainer.encoders.pretrained import load_clip, load_siglip, load_t5
from comfyui_uso.trainer.encoders.tokenizers import find_tokenizers, load_tokenizers
from comfyui_uso.trainer.recipe import ModelsConfig
from comfyui_uso.uso_model.checkpoints import read_safetensors, write_safetensors
from torch import Tensor

CPU = torch.device("cpu")
COMFY = Path(os.environ.get("COMFYUI_PATH") or "~/comfy/ComfyUI").expanduser()
PROMPTS = [
    "",
    "A cat, 2 dogs",
    "Two  spaces\nand a line",
    "\u201cquoted\u201d \xe9 \u6f22\u5b57 \xbd cup \u2122",
    "word " * 100,
]

# Runs with ComfyUI on the path and prints nothing; files are exchanged through a folder.
SCRIPT = """
import json, sys
folder = sys.argv.pop()
import comfy.options
comfy.options.enable_args_parsing()
import torch
from safetensors.torch import load_file, save_file
from comfy import clip_model, ops
from comfy.text_encoders import flux, t5

def read(network, name):
    network.load_state_dict(load_file(f"{folder}/{name}.safetensors"), strict=True)
    return network.eval()

given, out = load_file(f"{folder}/inputs.safetensors"), {}
common = (torch.float32, "cpu", ops.manual_cast)
with torch.no_grad():
    sizes = dict(num_layers=3, d_model=32, d_kv=8, num_heads=4, d_ff=48, dense_act_fn="gelu_pytorch_tanh",
                 is_gated_act=True, model_type="t5", vocab_size=64)
    out["t5"] = read(t5.T5(sizes, *common), "t5")(given["ids"], None)[0]
    sizes = dict(num_hidden_layers=2, hidden_size=128, num_attention_heads=2, intermediate_size=96,
                 hidden_act="quick_gelu", max_position_embeddings=77, eos_token_id=49407)
    clip = read(clip_model.CLIPTextModel(sizes, *common), "clip")
    out["clip"] = clip(given["clip_ids"])[3]
    sizes = dict(num_hidden_layers=6, hidden_size=128, num_attention_heads=2, intermediate_size=96, image_size=32,
                 hidden_act="gelu_pytorch_tanh", num_channels=3, patch_size=8, model_type="siglip_vision_model")
    vision = read(clip_model.CLIPVisionModelProjection(sizes, *common), "siglip")
    out["siglip"] = vision(pixel_values=given["pixels"], intermediate_output="all")[1]
tokenizer = flux.FluxTokenizer()
ids = [tokenizer.tokenize_with_weights(prompt) for prompt in json.loads(open(f"{folder}/prompts.json").read())]
with open(f"{folder}/ids.json", "w") as file:
    json.dump([{part: [token for row in rows for token, _ in row] for part, rows in one.items()} for one in ids], file)
save_file({name: tensor.contiguous() for name, tensor in out.items()}, f"{folder}/outputs.safetensors")
"""


def _t5() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"shared.weight": (64, 32), "encoder.final_layer_norm.weight": (32,)}
    for i in range(3):
        at = f"encoder.block.{i}.layer"
        shapes |= {f"{at}.0.SelfAttention.{part}.weight": (32, 32) for part in "qkvo"}
        shapes |= {f"{at}.{n}.layer_norm.weight": (32,) for n in (0, 1)}
        shapes |= {f"{at}.1.DenseReluDense.wi_{n}.weight": (48, 32) for n in (0, 1)}
        shapes |= {f"{at}.1.DenseReluDense.wo.weight": (32, 48)}
    return shapes | {"encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight": (32, 4)}


def _tower(layers: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for i in range(layers):
        at = f"encoder.layers.{i}"
        sizes = {f"self_attn.{part}_proj": (128, 128) for part in ("q", "k", "v", "out")}
        sizes |= {"mlp.fc1": (96, 128), "mlp.fc2": (128, 96)}
        for name, shape in sizes.items():
            shapes |= {f"{at}.{name}.weight": shape, f"{at}.{name}.bias": shape[:1]}
        for n in (1, 2):
            shapes |= {f"{at}.layer_norm{n}.weight": (128,), f"{at}.layer_norm{n}.bias": (128,)}
    return shapes


def _clip() -> dict[str, tuple[int, ...]]:
    shapes = {"embeddings.token_embedding.weight": (49408, 128), "embeddings.position_embedding.weight": (77, 128)}
    shapes |= _tower(2) | {"final_layer_norm.weight": (128,), "final_layer_norm.bias": (128,)}
    return {f"text_model.{name}": shape for name, shape in shapes.items()} | {"text_projection.weight": (128, 128)}


def _siglip() -> dict[str, tuple[int, ...]]:
    shapes = {"embeddings.patch_embedding.weight": (128, 3, 8, 8), "embeddings.patch_embedding.bias": (128,)}
    shapes |= {"embeddings.position_embedding.weight": (16, 128)} | _tower(6)
    shapes |= {"post_layernorm.weight": (128,), "post_layernorm.bias": (128,)}
    return {f"vision_model.{name}": shape for name, shape in shapes.items()}


def _random(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    weights = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return {
        name: 1 + 0.1 * tensor if "norm" in name and name.endswith("weight") else 0.1 * tensor
        for name, tensor in weights.items()
    }


@pytest.fixture(scope="module")
def exchanged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write random weights and inputs, and let ComfyUI's networks and tokenizers write their outputs beside them."""
    folder = tmp_path_factory.mktemp("exchanged")
    for seed, (name, shapes) in enumerate({"t5": _t5(), "clip": _clip(), "siglip": _siglip()}.items()):
        write_safetensors(folder / f"{name}.safetensors", _random(shapes, seed))
    generator = torch.Generator().manual_seed(9)
    ids = torch.randint(3, 60, (2, 20), generator=generator)
    clip_ids = torch.cat([ids[:, :10] + 300, torch.full((2, 67), 49407)], dim=1)
    pixels = torch.randn(2, 3, 32, 32, generator=generator)
    write_safetensors(folder / "inputs.safetensors", {"ids": ids, "clip_ids": clip_ids, "pixels": pixels})
    (folder / "prompts.json").write_text(json.dumps(PROMPTS))
    environment = {**os.environ, "PYTHONPATH": str(COMFY), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, "--cpu", str(folder)]
    done = subprocess.run(command, cwd=COMFY, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


@torch.no_grad()
def test_networks(exchanged: Path) -> None:
    given, expected = (read_safetensors(exchanged / f"{name}.safetensors") for name in ("inputs", "outputs"))
    files = [(exchanged / f"{name}.safetensors", torch.float32, CPU) for name in ("t5", "clip", "siglip")]
    t5, clip, vision = (load(*file) for load, file in zip((load_t5, load_clip, load_siglip), files, strict=True))
    states = vision(pixel_values=given["pixels"], output_hidden_states=True).hidden_states
    got = {
        "t5": t5(input_ids=given["ids"]).last_hidden_state,
        "clip": clip(input_ids=given["clip_ids"]).pooler_output,
        "siglip": torch.stack(states[1:-1], dim=1),
    }
    expected["siglip"] = expected["siglip"][:, :-1]  # USO reads up to the last layer but one
    for name, tensor in got.items():
        assert (tensor - expected[name]).abs().max() <= 1e-4 and tensor.std() > 0.1, name


def test_tokens(exchanged: Path) -> None:
    """Equal before the padding, which is to another length in ComfyUI, and up to where ours are cut."""
    absent = exchanged / "absent"
    models = ModelsConfig(vae=absent, t5=absent, clip=absent, siglip=absent, tokenizers=COMFY)
    t5, clip = load_tokenizers(find_tokenizers(models))
    for prompt, theirs in zip(PROMPTS, json.loads((exchanged / "ids.json").read_text()), strict=True):
        ours = t5(prompt).input_ids
        assert theirs["t5xxl"][: len(ours)] == ours and set(theirs["t5xxl"][len(ours) :]) <= {0}
        ours = clip(prompt, truncation=True, max_length=77).input_ids
        assert theirs["l"][: len(ours) - 1] == ours[:-1]
