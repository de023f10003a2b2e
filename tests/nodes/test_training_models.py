"""Files of FLUX.1 for a training: found in ComfyUI's folders, and compared with what is free on the card."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import folder_paths
import pytest
from comfyui_uso.nodes.training.memory import require_room
from comfyui_uso.nodes.training.models import model_settings
from comfyui_uso.nodes.training.recipes import recipe_path, recipe_values
from comfyui_uso.trainer.encoders.parts import CLIP_KEY, T5_KEY
from comfyui_uso.uso_model.errors import UserError

TRANSFORMER = {
    "img_in.weight": (3072, 64),
    "double_blocks.0.img_attn.qkv.weight": (9216, 3072),
    "vector_in.in_layer.weight": (3072, 768),
    "guidance_in.in_layer.weight": (3072, 256),
}
VAE = {
    "encoder.down.0.block.0.conv1.weight": (128, 128, 3, 3),
    "decoder.up.0.block.0.conv1.weight": (128, 128, 3, 3),
    "decoder.conv_in.weight": (512, 16, 3, 3),
}
T5 = {T5_KEY: (32, 64), "shared.weight": (32128, 4096)}
CLIP = {f"text_model.{CLIP_KEY}": (49408, 768)}


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give ComfyUI empty model folders."""
    for kind in ("diffusion_models", "vae", "text_encoders", "clip_vision", "loras", "model_patches"):
        (tmp_path / kind).mkdir()
        monkeypatch.setitem(folder_paths.folder_names_and_paths, kind, ([str(tmp_path / kind)], {".safetensors"}))
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    monkeypatch.setattr(folder_paths, "base_path", str(tmp_path))
    return tmp_path


def put(path: Path, shapes: dict[str, tuple[int, ...]]) -> Path:
    """Write a safetensors file of half precision whose values take no room on the disk."""
    head: dict[str, Any] = {}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + 2 * math.prod(shape)
        head[name] = {"dtype": "F16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(head).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    return path


def models(**changed: str) -> dict[str, Any]:
    return {**recipe_values(recipe_path("by kind", "style"))["models"], **changed}


def test_what_is_missing_is_one_sentence(folders: Path) -> None:
    with pytest.raises(UserError) as error:
        model_settings(models(), {})
    for part in ("a FLUX.1 model", "autoencoder", "T5-XXL", "CLIP-L", "SigLIP", "USO LoRA", "style projector"):
        assert part in str(error.value)
    assert "t5xxl_fp16.safetensors (models/text_encoders)" in str(error.value) and str(error.value).count(". ") == 0


def test_files_are_found_by_name_by_keys_and_where_the_recipe_has_them(folders: Path) -> None:
    named = put(folders / "vae/ae.safetensors", {"anything": (1,)})
    put(folders / "diffusion_models/fill.safetensors", {**TRANSFORMER, "img_in.weight": (3072, 384)})
    put(folders / "diffusion_models/schnell.safetensors", dict(list(TRANSFORMER.items())[:3]))
    keys = [put(folders / "diffusion_models/my flux.safetensors", TRANSFORMER)]
    keys += [put(folders / "text_encoders/a.safetensors", T5), put(folders / "text_encoders/b.safetensors", CLIP)]
    own = put(folders / "siglip.safetensors", {"anything": (1,)})
    given = {name: value for name, value in models(siglip=str(own)).items() if name not in ("lora", "projector")}
    assert model_settings(given, {}) == [
        f"models.transformer={keys[0]}",
        f"models.vae={named}",
        f"models.t5={keys[1]}",
        f"models.clip={keys[2]}",
        f"models.siglip={own}",
    ]
    typed = {"models.t5": "x", "models.clip": "y", "models.transformer": "z", "models.siglip": "s"}
    assert model_settings(given, typed) == [f"models.vae={named}"]
    assert model_settings(None, {}) == []


def test_an_autoencoder_of_another_size_is_not_taken(folders: Path) -> None:
    put(folders / "vae/other.safetensors", {**VAE, "decoder.conv_in.weight": (512, 4, 3, 3)})
    with pytest.raises(UserError, match=r"models/vae that is a FLUX\.1 autoencoder"):
        model_settings({"vae": "models/vae/ae.safetensors"}, {})
    right = put(folders / "vae/right.safetensors", VAE)
    assert model_settings({"vae": "models/vae/ae.safetensors"}, {}) == [f"models.vae={right}"]


def test_a_card_that_is_too_small_is_told_before_anything_starts() -> None:
    recipe = recipe_path("by kind", "style")
    with pytest.raises(
        UserError, match=r"Training needs .* GB on the GPU by the plan, and 4\.0 GB are free: write one"
    ):
        require_room(recipe, [], 4e9)
    require_room(recipe, [], 400e9)
