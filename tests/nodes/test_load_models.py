"""Loading USO's files: found by keys, refused in one sentence."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import comfy.lora
import comfy.sd
import folder_paths
import pytest
import torch
from comfyui_uso.nodes.load_models import LoadModels
from comfyui_uso.uso_model.errors import UserError
from safetensors.torch import load_file

from .conftest import HIDDEN
from .made_files import FOLDERS, POSITION, load, lora, projector, siglip


def test_auto_finds_files_by_their_keys(put: Any, base_model: Any) -> None:
    put("loras/a_portrait.safetensors", lora(native=False))
    put("loras/wide.safetensors", lora(hidden=2 * HIDDEN))
    put("loras/b.safetensors", lora())
    put("model_patches/a.safetensors", {"controlnet_blocks.0.y_rms.weight": torch.ones(2)})
    put("model_patches/b.safetensors", projector(hidden=2 * HIDDEN))
    put("model_patches/c.safetensors", projector())
    put("clip_vision/a.safetensors", {**siglip(), "vision_model.embeddings.class_embedding": torch.zeros(32)})
    put("clip_vision/b.safetensors", siglip(tokens=25))
    put("clip_vision/c.safetensors", siglip())
    model, patch, vision = load(base_model)
    assert len(model.patches) == 12 and not base_model.patches
    assert patch.model.high_projection.weight.shape == (HIDDEN, 32)
    assert vision[POSITION].shape == (16, 32)
    assert model.is_clone(base_model)


def test_partial_lora_with_released_names_is_applied_like_its_plain_twin(put: Any, base_model: Any) -> None:
    import comfy.lora_convert

    path = put("loras/uso.safetensors", lora())
    put("model_patches/p.safetensors", projector())
    put("clip_vision/v.safetensors", siglip())
    model = load(base_model, strength=0.5)[0]
    twin, _ = comfy.sd.load_lora_for_models(
        base_model, None, comfy.lora_convert.convert_uso_lora(load_file(path)), 0.5, 0
    )
    for key, patches in twin.patches.items():
        weight = comfy.utils.get_attr(base_model.model, key)
        ours, theirs = (comfy.lora.calculate_weight(p, weight.clone(), key) for p in (model.patches[key], patches))
        assert torch.equal(ours, theirs) and not torch.equal(ours, weight)


def test_blocks_of_a_lora_have_strengths_of_their_own(put: Any, base_model: Any) -> None:
    put("loras/uso.safetensors", lora())
    put("model_patches/p.safetensors", projector())
    put("clip_vision/v.safetensors", siglip())
    plain, weighed = (
        LoadModels.execute(base_model, "auto", 0.5, "auto", "auto", blocks).result[0] for blocks in ("", "d1:0.5, s0:0")
    )
    factors = {"double_blocks.1.": 0.5, "single_blocks.0.": 0.0}
    for key, patches in plain.patches.items():
        factor = next((value for name, value in factors.items() if name in key), 1.0)
        assert [patch[0] for patch in weighed.patches[key]] == [factor * patch[0] for patch in patches]
    with pytest.raises(ValueError, match="d0 to d1"):
        LoadModels.execute(base_model, "auto", 0.5, "auto", "auto", "d2:1")


def test_without_lora_the_models_weights_stay(put: Any, base_model: Any) -> None:
    put("loras/b.safetensors", lora())
    put("model_patches/c.safetensors", projector())
    put("clip_vision/c.safetensors", siglip())
    assert not load(base_model, lora="none")[0].patches
    assert not load(base_model, strength=0.0)[0].patches


def test_name_decides_between_equals(put: Any, base_model: Any) -> None:
    put("loras/a.safetensors", lora())
    put("loras/my_USO.safetensors", {name: 2 * tensor for name, tensor in lora().items()})
    put("model_patches/c.safetensors", projector())
    put("clip_vision/c.safetensors", siglip())
    auto, named = (load(base_model, lora=name)[0] for name in ("auto", "my_USO.safetensors"))
    for key, patches in named.patches.items():
        weight = comfy.utils.get_attr(base_model.model, key)
        assert torch.equal(*(comfy.lora.calculate_weight(p, weight.clone(), key) for p in (auto.patches[key], patches)))


@pytest.mark.parametrize(
    ("folder", "tensors", "pattern"),
    [
        (
            "projector",
            lora(),
            "looks like a USO LoRA, expected a USO style projector.*uso-flux1-projector-v1",
        ),
        ("projector", projector(hidden=128), "of another size, expected one for a model of width 64"),
        ("lora", projector(), "looks like a USO style projector, expected a USO LoRA.*uso-flux1-dit-lora-v1"),
        ("lora", lora(hidden=128), "of another size, expected one for a model of width 64"),
        (
            "vision",
            {**siglip(), "vision_model.embeddings.class_embedding": torch.zeros(32)},
            "looks like a CLIP vision model, expected a SigLIP vision model.*sigclip_vision_patch14_384",
        ),
        (
            "vision",
            siglip(tokens=1024),
            "of another size, expected one for the projector, which reads 16 tokens x 32",
        ),
        (
            "lora",
            {
                "diffusion_model.elsewhere.lora_A.weight": torch.ones(2, 4),
                "diffusion_model.elsewhere.lora_B.weight": torch.ones(4, 2),
            },
            "changes none of the model's weights",
        ),
    ],
)
def test_wrong_file(folder: str, tensors: dict[str, torch.Tensor], pattern: str, put: Any, base_model: Any) -> None:
    put("loras/good.safetensors", lora())
    put("model_patches/good.safetensors", projector())
    put("clip_vision/good.safetensors", siglip())
    place = {"lora": "loras", "projector": "model_patches", "vision": "clip_vision"}[folder]
    put(f"{place}/wrong.safetensors", tensors)
    with pytest.raises(ValueError, match=rf"\Awrong\.safetensors .*{pattern}[^\n]*\.\Z"):
        load(base_model, **{folder: "wrong.safetensors"})


def test_truncated_file(put: Any, base_model: Any) -> None:
    path = put("loras/cut.safetensors", lora())
    path.write_bytes(path.read_bytes()[:-100])
    for choice in ("cut.safetensors", "auto"):
        with pytest.raises(ValueError, match=r"\A[^\n]*cut\.safetensors is truncated[^\n]*\.\Z"):
            load(base_model, lora=choice)


DAMAGED = {
    "offset of text": {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, "4"]}},
    "no shape": {"a": {"dtype": "F32", "data_offsets": [0, 4]}},
    "shape of nothing": {"a": {"dtype": "F32", "shape": None, "data_offsets": [0, 4]}},
    "metadata of text": {"__metadata__": "x", "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}},
    "a list": [],
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_file_that_cannot_be_read_is_passed_over(name: str, models: Path, put: Any, base_model: Any) -> None:
    raw = json.dumps(DAMAGED[name]).encode()
    for folder in FOLDERS:
        (models / folder / "a_damaged.safetensors").write_bytes(struct.pack("<Q", len(raw)) + raw + b"\0" * 4)
    with pytest.raises(UserError, match=r"Found no file in models/loras .*\(.*a_damaged\.safetensors[^\n]*\)"):
        load(base_model)
    put("loras/b.safetensors", lora())
    put("model_patches/c.safetensors", projector())
    put("clip_vision/c.safetensors", siglip())
    folder_paths.filename_list_cache.clear()
    assert len(load(base_model)[0].patches) == 12
    with pytest.raises(UserError, match=r"a_damaged\.safetensors"):
        load(base_model, lora="a_damaged.safetensors")


@pytest.mark.parametrize(
    "change",
    [
        {"feature_embedder.high_embedding_linear.0.weight": None},
        {"feature_embedder.low_projection.bias": None},
        {"feature_embedder.high_embedding_linear.0.weight": torch.ones(8)},
        {"feature_embedder.mid_projection.weight": torch.ones(3, 3)},
        {"feature_embedder.mid_layer_norm.bias": torch.zeros(32, dtype=torch.int32)},
        {"feature_embedder.more": torch.ones(1)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_projector_that_is_not_whole_is_named(change: dict[str, Any], put: Any, base_model: Any) -> None:
    put("loras/b.safetensors", lora())
    weights = {name: tensor for name, tensor in {**projector(), **change}.items() if tensor is not None}
    put("model_patches/torn.safetensors", weights)
    with pytest.raises(UserError, match=r"\A[^\n]*torn\.safetensors[^\n]*\Z"):
        load(base_model)


def test_fingerprint_follows_the_files(put: Any) -> None:
    before = LoadModels.fingerprint_inputs(lora="auto")
    put("loras/b.safetensors", lora())
    folder_paths.filename_list_cache.clear()
    after = LoadModels.fingerprint_inputs(lora="auto")
    assert before == [] and len(after) == 1
    assert LoadModels.fingerprint_inputs(lora="none") == []
