"""LoRA files: both namings, one form, strict merging."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from comfyui_uso.uso_model.checkpoints.files import read_safetensors, read_shapes
from comfyui_uso.uso_model.checkpoints.flux import from_bfl
from comfyui_uso.uso_model.checkpoints.lora import Lora, LowRank, merge_lora, uso_modules
from comfyui_uso.uso_model.checkpoints.lora_files import (
    lora_from_state_dict,
    read_lora,
    write_diffusion_model_lora,
    write_uso_lora,
)
from comfyui_uso.uso_model.checkpoints.strict import CheckpointError, load_strict
from comfyui_uso.uso_model.config import FLUX_DEV, FluxConfig
from comfyui_uso.uso_model.transformer import UsoTransformer
from torch import Tensor

Weights = dict[str, Tensor]


@pytest.fixture
def model(tiny: FluxConfig, tiny_flux: Weights) -> UsoTransformer:
    model = UsoTransformer(tiny)
    load_strict(model, from_bfl(tiny_flux), "tiny")
    return model


@pytest.fixture
def lora(tiny_lora: Weights) -> Lora:
    return lora_from_state_dict(tiny_lora, "tiny")


def _same(a: Lora, b: Lora) -> bool:
    return a.modules.keys() == b.modules.keys() and all(
        torch.equal(a.modules[n].down, b.modules[n].down)
        and torch.equal(a.modules[n].up, b.modules[n].up)
        and a.modules[n].scale == b.modules[n].scale
        for n in a.modules
    )


def test_the_released_lora(lora_shapes: Callable) -> None:
    published = lora_shapes(FLUX_DEV, 128)
    assert len(published) == 304
    weights = {name: torch.empty(shape, device="meta") for name, shape in published.items()}
    lora = lora_from_state_dict(weights, "dit_lora.safetensors")
    assert lora.parameters == 239_075_328
    assert lora.modules.keys() == uso_modules(19, 38).keys()
    with torch.device("meta"):
        model = UsoTransformer(FLUX_DEV)
    merge_lora(model, lora)  # every module is there and every shape fits


def test_names_of_each_stream(lora: Lora, tiny_lora: Weights) -> None:
    pairs = {
        "double_blocks.0.img_attn.qkv": "double_blocks.0.processor.qkv_lora1",
        "double_blocks.0.img_attn.proj": "double_blocks.0.processor.proj_lora1",
        "double_blocks.0.txt_attn.qkv": "double_blocks.0.processor.qkv_lora2",
        "double_blocks.0.txt_attn.proj": "double_blocks.0.processor.proj_lora2",
        "single_blocks.1.linear1_qkv": "single_blocks.1.processor.qkv_lora",
        "single_blocks.1.linear2": "single_blocks.1.processor.proj_lora",
    }
    for module, key in pairs.items():
        assert torch.equal(lora.modules[module].down, tiny_lora[f"{key}.down.weight"])
        assert torch.equal(lora.modules[module].up, tiny_lora[f"{key}.up.weight"])
        assert lora.modules[module].scale == 1


@pytest.fixture
def full() -> Lora:
    return Lora({name: LowRank(torch.randn(1, 2), torch.randn(3, 1)) for name in uso_modules(19, 38)})


def test_uso_file_round_trip(tmp_path: Path, full: Lora) -> None:
    path = tmp_path / "lora.safetensors"
    write_uso_lora(path, full, {"rank": "4"})
    written = read_safetensors(path)
    for module, key in uso_modules(19, 38).items():
        assert torch.equal(written[f"{key}.down.weight"], full.modules[module].down)
        assert torch.equal(written[f"{key}.up.weight"], full.modules[module].up)
    assert _same(read_lora(path), full)


def test_partial_uso_files_are_refused(tmp_path: Path, lora: Lora) -> None:
    with pytest.raises(ValueError, match="ComfyUI would apply nothing"):
        write_uso_lora(tmp_path / "lora.safetensors", lora)
    assert not (tmp_path / "lora.safetensors").exists()


def test_a_full_uso_file_has_the_names_that_comfyui_looks_for(tmp_path: Path, full: Lora) -> None:
    write_uso_lora(tmp_path / "lora.safetensors", full)
    keys = read_shapes(tmp_path / "lora.safetensors")
    assert len(keys) == 304
    # the two keys by which ComfyUI recognises the format
    assert "single_blocks.37.processor.qkv_lora.up.weight" in keys
    assert "double_blocks.18.processor.qkv_lora2.up.weight" in keys


@pytest.mark.parametrize("module", ["double_blocks.0.img_mlp.0", "single_blocks.0.linear1_mlp", "img_in"])
def test_modules_that_uso_names_cannot_express(tmp_path: Path, lora: Lora, module: str) -> None:
    more = Lora({**lora.modules, module: LowRank(torch.ones(1, 2), torch.ones(3, 1))})
    with pytest.raises(ValueError, match=rf"1 \({module}\) have no name in the USO format"):
        write_uso_lora(tmp_path / "lora.safetensors", more)


def test_scale_goes_into_up_in_uso_files(tmp_path: Path, full: Lora) -> None:
    scaled = Lora({n: LowRank(a.down, a.up, 0.5) for n, a in full.modules.items()})
    write_uso_lora(tmp_path / "lora.safetensors", scaled)
    for name, adapter in read_lora(tmp_path / "lora.safetensors").modules.items():
        assert adapter.scale == 1 and torch.equal(adapter.delta(), scaled.modules[name].delta())


def test_diffusion_model_file_round_trip(tmp_path: Path, lora: Lora) -> None:
    mixed = Lora(
        {
            **lora.modules,
            "img_in": LowRank(torch.randn(3, 64), torch.randn(128, 3), scale=0.5),
            "single_blocks.0.linear1_mlp": LowRank(torch.randn(2, 128), torch.randn(256, 2)),
        }
    )
    write_diffusion_model_lora(tmp_path / "lora.safetensors", mixed)
    keys = read_shapes(tmp_path / "lora.safetensors")
    assert keys["diffusion_model.single_blocks.0.linear1_qkv.lora_B.weight"] == (384, 4)
    assert keys["diffusion_model.single_blocks.0.linear1.lora_B.weight"] == (640, 2)
    assert keys["diffusion_model.img_in.alpha"] == ()
    assert _same(read_lora(tmp_path / "lora.safetensors"), mixed)


@pytest.mark.parametrize("names", [("lora_A", "lora_B"), ("lora_down", "lora_up")])
@pytest.mark.parametrize("prefix", ["diffusion_model.", ""])
def test_both_pairs_of_names_and_alpha(names: tuple[str, str], prefix: str) -> None:
    key = f"{prefix}double_blocks.0.txt_mlp.2"
    weights = {f"{key}.{names[0]}.weight": torch.randn(4, 6), f"{key}.{names[1]}.weight": torch.randn(5, 4)}
    weights[f"{key}.alpha"] = torch.tensor(2.0)
    adapter = lora_from_state_dict(weights, "x").modules["double_blocks.0.txt_mlp.2"]
    assert adapter.rank == 4 and adapter.scale == 0.5


def test_whole_linear1_is_split(model: UsoTransformer) -> None:
    key = "diffusion_model.single_blocks.0.linear1"
    weights = {f"{key}.lora_A.weight": torch.randn(2, 128), f"{key}.lora_B.weight": torch.randn(640, 2)}
    before = torch.cat(
        [getattr(model.single_blocks[0], f"linear1_{part}").weight.detach().clone() for part in ("qkv", "mlp")]
    )
    merge_lora(model, lora_from_state_dict(weights, "x"))
    after = torch.cat([getattr(model.single_blocks[0], f"linear1_{part}").weight.detach() for part in ("qkv", "mlp")])
    assert torch.allclose(after, before + weights[f"{key}.lora_B.weight"] @ weights[f"{key}.lora_A.weight"], atol=1e-5)


def test_a_projector_in_the_same_file_is_left_alone(lora: Lora, tiny_lora: Weights, tiny_projector: Weights) -> None:
    assert _same(lora_from_state_dict({**tiny_lora, **tiny_projector}, "both"), lora)


def test_merge_is_exact_in_float32(model: UsoTransformer, lora: Lora) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    merge_lora(model, lora, strength=0.75)
    for name, tensor in model.state_dict().items():
        adapter = lora.modules.get(name.removesuffix(".weight"))
        expected = before[name] if adapter is None else before[name] + 0.75 * (adapter.up @ adapter.down)
        assert torch.equal(tensor, expected), name


def test_merge_into_bfloat16_rounds_once(model: UsoTransformer, lora: Lora) -> None:
    wide = {name: tensor.clone().bfloat16().float() for name, tensor in model.state_dict().items()}
    model.bfloat16()
    merge_lora(model, lora)
    name = "double_blocks.0.img_attn.qkv"
    expected = (wide[f"{name}.weight"] + lora.modules[name].delta()).bfloat16()
    assert torch.equal(model.state_dict()[f"{name}.weight"], expected)


def test_strength_zero_changes_nothing(model: UsoTransformer, lora: Lora) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    merge_lora(model, lora, strength=0.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("module", "adapter", "message"),
    [
        ("double_blocks.7.img_attn.qkv", LowRank(torch.ones(1, 128), torch.ones(384, 1)), "1 unknown module"),
        (
            "double_blocks.0.img_attn.qkv",
            LowRank(torch.ones(1, 3072), torch.ones(9216, 1)),
            "1 misshapen module",
        ),
    ],
)
def test_merging_what_does_not_fit_changes_nothing(
    model: UsoTransformer, lora: Lora, module: str, adapter: LowRank, message: str
) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=message) as caught:
        merge_lora(model, Lora({**lora.modules, module: adapter}))
    assert module in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_one_tensor_removed_or_added_or_misshapen(tiny_lora: Weights) -> None:
    removed = dict(tiny_lora)
    del removed["double_blocks.0.processor.qkv_lora1.up.weight"]
    with pytest.raises(
        CheckpointError, match=r"x has 1 incomplete or misshapen adapter \(double_blocks\.0\.img_attn\.qkv\)"
    ):
        lora_from_state_dict(removed, "x")
    with pytest.raises(CheckpointError, match=r"x has 1 unknown key \(double_blocks\.0\.processor\.mlp_lora"):
        lora_from_state_dict({**tiny_lora, "double_blocks.0.processor.mlp_lora.up.weight": torch.ones(1, 1)}, "x")
    misshapen = {**tiny_lora, "single_blocks.1.processor.proj_lora.down.weight": torch.ones(3, 384)}
    with pytest.raises(CheckpointError, match=r"misshapen adapter \(single_blocks\.1\.linear2\)"):
        lora_from_state_dict(misshapen, "x")


def test_an_adapter_given_twice_is_refused(tiny_lora: Weights) -> None:
    key = "diffusion_model.single_blocks.0.linear1"
    twice = {
        **tiny_lora,
        f"{key}.lora_A.weight": torch.ones(1, 128),
        f"{key}.lora_B.weight": torch.ones(640, 1),
    }
    with pytest.raises(CheckpointError, match=r"adapts single_blocks\.0\.linear1_qkv twice"):
        lora_from_state_dict(twice, "x")


def test_another_kind_of_file_is_refused(tiny_projector: Weights, tiny_flux: Weights) -> None:
    with pytest.raises(CheckpointError, match="x is not a LoRA for FLUX but looks like a USO style projector"):
        lora_from_state_dict(tiny_projector, "x")
    with pytest.raises(CheckpointError, match=r"looks like a FLUX\.1 model"):
        lora_from_state_dict(tiny_flux, "x")
