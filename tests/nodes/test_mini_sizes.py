"""USO-mini refuses what it cannot draw, warns of what it draws badly, and takes one's own files."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import comfy.sample
import folder_paths
import pytest
import torch
from comfyui_uso.mini.model import missing_files, weight_files
from comfyui_uso.nodes.graph.lora import with_lora
from comfyui_uso.nodes.graph.mini_size import _check_then_sample
from comfyui_uso.nodes.load_mini import LoadMini
from comfyui_uso.uso_model.checkpoints.files import read_safetensors
from comfyui_uso.uso_model.errors import UserError

import nodes as comfy_nodes

from .made_files import lora, projector

pytestmark = pytest.mark.skipif(bool(missing_files()), reason="USO-mini's weights are not in this checkout")


@pytest.fixture(scope="module")
def host() -> Any:
    return LoadMini.execute(1.0).result


def draw(host: Any, model: Any, width: int, height: int) -> Any:
    text = comfy_nodes.CLIPTextEncode().encode(host[1], "a cat")[0]
    latent = {"samples": torch.zeros(1, 16, height // 8, width // 8)}
    return comfy_nodes.KSampler().sample(model, 1, 1, 1.0, "euler", "simple", text, text, latent)


def merged(model: Any) -> Any:
    from comfy_extras.nodes_model_merging import ModelMergeSimple

    return ModelMergeSimple().merge(model, model.clone(), 0.5)[0]


CHANGED: dict[str, Callable[[Any], Any]] = {
    "itself": lambda model: model,
    "clone": lambda model: model.clone(),
    "merge": merged,
    "LoRA": lambda model: with_lora(model, read_safetensors(weight_files()["lora"]), 0.1, "x"),
}


@pytest.mark.parametrize("how", CHANGED)
def test_a_latent_that_is_far_too_large_is_refused_before_the_first_step(how: str, host: Any) -> None:
    sentence = (
        r"\AGot a latent of 520 x 64 pixels for USO-mini, which draws 128 x 128, expected at most 512 a side: set "
        r"latent_long_side of USO Encode Content, or width and height of the empty latent, to 128[^\n]*\.\Z"
    )
    with pytest.raises(UserError, match=sentence):
        draw(host, CHANGED[how](host[0]), 520, 64)


@pytest.mark.parametrize(
    ("width", "height", "warned"), [(128, 128, False), (160, 64, False), (64, 168, True), (512, 16, True)]
)
def test_between_is_a_warning(
    width: int, height: int, warned: bool, host: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts: list[str] = []
    monkeypatch.setattr("comfyui_uso.nodes.graph.mini_size.show_on_node", texts.append)
    with caplog.at_level(logging.WARNING, "comfyui_uso.nodes.graph.mini_size"):
        draw(host, host[0], width, height)
    lines = [record.getMessage() for record in caplog.records if record.name.endswith("mini_size")]
    if not warned:
        assert texts == [""] and lines == []
        return
    assert texts == [f"{width} x {height} is too large for USO-mini: set the latent's sides to 128."]
    assert [f"of {width} x {height} pixels fall apart: set latent_long_side of" in line for line in lines] == [True]


def test_several_latents_at_once_pass() -> None:
    assert _check_then_sample(lambda noise: noise.shape, torch.zeros(1, 1, 10_000)) == (1, 1, 10_000)


def test_ones_own_files_take_the_place_of_the_bundled_ones(put: Any, host: Any) -> None:
    files = weight_files()
    doubled = {
        key: tensor * 2 if "lora_B" in key else tensor for key, tensor in read_safetensors(files["lora"]).items()
    }
    put("loras/mine.safetensors", doubled)
    put("model_patches/mine.safetensors", {k: v + 0.5 for k, v in read_safetensors(files["projector"]).items()})
    model, *_, patch = LoadMini.execute(1.0, "", "mine.safetensors", "mine.safetensors").result
    twice = LoadMini.execute(2.0).result[0]
    assert torch.allclose(*(draw(host, m, 64, 64)[0]["samples"] for m in (model, twice)), atol=1e-4)
    assert not torch.equal(draw(host, model, 64, 64)[0]["samples"], draw(host, host[0], 64, 64)[0]["samples"])
    weights = [part.model.high_projection.weight for part in (patch, host[4])]
    assert torch.allclose(weights[0] - weights[1], torch.tensor(0.5), atol=1e-3) and weights[0].dtype == torch.float32


@pytest.mark.parametrize(
    ("folder", "tensors", "words"),
    [
        ("loras", lora(hidden=64), "is a USO LoRA of another size, expected one for a model of width 256"),
        ("loras", {"double_blocks.0.img_mlp.0.lora_A.weight": torch.ones(2, 3072)}, "a part is missing"),
        (
            "loras",
            {
                "lora_unet_double_blocks_0_img_mlp_0.lora_down.weight": torch.ones(2, 3072),
                "lora_unet_double_blocks_0_img_mlp_0.lora_up.weight": torch.ones(12288, 2),
            },
            r"made for 12288 x 3072, the layer has 1024 x 256\), expected a LoRA for USO-mini",
        ),
        ("loras", projector(), "looks like a USO style projector, expected a USO LoRA"),
        ("model_patches", projector(hidden=3072), "of another size, expected one for a model of width 256"),
        ("model_patches", projector(hidden=256, tokens=16), "of another size, expected one for a model of width 256"),
        ("model_patches", lora(), "looks like a USO LoRA, expected a USO style projector"),
    ],
    ids=["width", "torn", "kohya", "projector as LoRA", "FLUX's", "other vision", "LoRA as projector"],
)
def test_files_of_other_sizes_are_one_sentence(
    folder: str, tensors: dict[str, torch.Tensor], words: str, put: Any
) -> None:
    put(f"{folder}/wrong.safetensors", tensors)
    chosen = {"loras": ("wrong.safetensors", "bundled"), "model_patches": ("bundled", "wrong.safetensors")}[folder]
    sentence = rf"\Awrong\.safetensors [^\n]*{words}[^\n]*choose bundled, or one that the trainer[^\n]*\.\Z"
    with pytest.raises(UserError, match=sentence):
        LoadMini.execute(1.0, "", *chosen)


def test_a_change_of_ones_own_files_is_noticed(put: Any) -> None:
    path: Path = put("loras/mine.safetensors", lora())
    folder_paths.filename_list_cache.clear()
    assert LoadMini.fingerprint_inputs() == LoadMini.fingerprint_inputs(1.0, "") == []
    before = LoadMini.fingerprint_inputs(lora="mine.safetensors")
    path.write_bytes(path.read_bytes() + b" ")
    assert before and before != LoadMini.fingerprint_inputs(lora="mine.safetensors")


def test_a_lora_of_strength_zero_is_not_read(models: Path) -> None:
    assert not LoadMini.execute(0.0).result[0].patches


def test_the_samplers_error_is_the_nodes(host: Any) -> None:
    """Also through ComfyUI's own function, which every sampler node calls in the end."""
    text = comfy_nodes.CLIPTextEncode().encode(host[1], "a cat")[0]
    empty = torch.zeros(1, 16, 128, 128)
    with pytest.raises(UserError, match="1024 x 1024"):
        comfy.sample.sample(host[0], empty, 1, 1.0, "euler", "simple", text, text, empty)
