"""Which files auto takes, what it says of them, and what is said where some are missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import folder_paths
import pytest
import torch
from comfyui_uso.nodes.graph.model_files import LoraFile, ProjectorFile, find
from comfyui_uso.uso_model.checkpoints.files import read_header, write_safetensors
from comfyui_uso.uso_model.errors import UserError

from .conftest import HIDDEN
from .made_files import load, lora, projector, siglip

NO_LORA = "Found no file in models/loras that is a USO LoRA for a model of width 64"
PUT_LORA = "put uso-flux1-dit-lora-v1.safetensors (models/loras)"


def said(base_model: Any, **choices: str) -> str:
    with pytest.raises(UserError) as caught:
        load(base_model, **choices)
    return str(caught.value)


def test_all_that_is_missing_is_said_at_once(put: Any, base_model: Any) -> None:
    projector_words = "no file in models/model_patches that is a USO style projector for a model of width 64"
    put_projector = "uso-flux1-projector-v1.safetensors (models/model_patches)"
    put_vision = "sigclip_vision_patch14_384.safetensors (models/clip_vision)"
    assert said(base_model) == (
        f"{NO_LORA}, {projector_words} and no file in models/clip_vision that is a SigLIP vision model for USO's "
        f"projector: {PUT_LORA}, {put_projector} and {put_vision} in place or choose files by hand."
    )
    put("clip_vision/v.safetensors", siglip())
    folder_paths.filename_list_cache.clear()
    assert said(base_model) == (
        f"{NO_LORA} and {projector_words}: {PUT_LORA} and {put_projector} in place or choose files by hand."
    )
    put("model_patches/p.safetensors", projector())
    folder_paths.filename_list_cache.clear()
    assert said(base_model) == f"{NO_LORA}: {PUT_LORA} in place or choose a file by hand."
    with pytest.raises(UserError, match=r"\AFound no gone\.safetensors in models/loras: put gone\."):
        find(LoraFile(HIDDEN), "gone.safetensors")
    load(base_model, lora="none")


def test_released_files_go_before_ones_own_results(put: Any, models: Path, base_model: Any) -> None:
    trained, own = {"uso.stage": "triplet"}, {"uso.stage": "triplet", "uso.part": "own"}
    write_safetensors(models / "loras/a_uso_mine.safetensors", lora(), trained)
    write_safetensors(models / "loras/b_uso_own.safetensors", lora(), own)
    write_safetensors(models / "model_patches/a_uso_mine.safetensors", projector(), trained)
    put("clip_vision/v.safetensors", siglip())
    assert LoraFile(HIDDEN, (2, 2)).is_unmistakable(read_header(models / "loras/a_uso_mine.safetensors"))
    found = [find(wanted, "auto") for wanted in (LoraFile(HIDDEN, (2, 2)), ProjectorFile(HIDDEN))]
    assert [file.name for file in found] == ["a_uso_mine.safetensors"] * 2 and [f.fitting for f in found] == [1, 1]
    for folder, tensors in (("loras", lora()), ("model_patches", projector())):
        put(f"{folder}/released.safetensors", tensors)
    folder_paths.filename_list_cache.clear()
    found = [find(wanted, "auto") for wanted in (LoraFile(HIDDEN, (2, 2)), ProjectorFile(HIDDEN))]
    assert [file.told for file in found] == ["released.safetensors (1 of 2 that fit)"] * 2
    assert load(base_model, lora="b_uso_own.safetensors")[0].patches


def test_auto_takes_no_lora_of_some_blocks(put: Any, base_model: Any) -> None:
    """LoRAs of XLabs have USO's names in the double blocks alone."""
    put("loras/uso.safetensors", {name: tensor for name, tensor in lora().items() if "single" not in name})
    put("model_patches/p.safetensors", projector())
    put("clip_vision/v.safetensors", siglip())
    assert said(base_model).startswith(NO_LORA)
    assert load(base_model, lora="uso.safetensors")[0].patches


def test_auto_goes_past_damaged_files(put: Any) -> None:
    put("loras/a_uso.safetensors", {name: tensor for name, tensor in lora().items() if ".down." not in name})
    put("loras/b.safetensors", lora())
    put("model_patches/a_uso.safetensors", {name: part for name, part in projector().items() if "low_" not in name})
    put("model_patches/b.safetensors", projector())
    found = [find(wanted, "auto") for wanted in (LoraFile(HIDDEN, (2, 2)), ProjectorFile(HIDDEN))]
    assert [file.name for file in found] == ["b.safetensors"] * 2


def test_auto_finds_usos_names_after_a_prefix(put: Any, base_model: Any) -> None:
    put("loras/saved.safetensors", {f"diffusion_model.{name}": tensor for name, tensor in lora().items()})
    put("model_patches/p.safetensors", projector())
    put("clip_vision/v.safetensors", siglip())
    assert len(load(base_model)[0].patches) == 12


def test_the_node_shows_what_auto_took(put: Any, base_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    monkeypatch.setattr("comfyui_uso.nodes.load_models.show_on_node", texts.append)
    put("loras/a.safetensors", lora())
    put("loras/uso.safetensors", lora())
    put("model_patches/p.safetensors", projector())
    put("clip_vision/v.safetensors", siglip())
    load(base_model)
    load(base_model, "a.safetensors", 1.0, "p.safetensors", "v.safetensors")
    took = "LoRA: uso.safetensors (1 of 2 that fit);\nprojector: p.safetensors;\nvision model: v.safetensors"
    assert texts == [took, ""]


def test_a_vision_model_that_comfyui_does_not_know_is_said(
    put: Any, base_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("comfy.clip_vision.load_clipvision_from_sd", lambda weights: None)
    put("loras/a.safetensors", lora())
    put("model_patches/p.safetensors", projector())
    put("clip_vision/v.safetensors", {**siglip(), "vision_model.encoder.layers.5.x": torch.zeros(1)})
    assert said(base_model).startswith("v.safetensors is a SigLIP vision model of 1 layers, which ComfyUI does not")
