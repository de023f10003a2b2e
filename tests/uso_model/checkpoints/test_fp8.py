"""8-bit files: round trips within the format's precision, and both scaled layouts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from comfyui_uso.uso_model.checkpoints.files import read_safetensors, write_safetensors
from comfyui_uso.uso_model.checkpoints.flux import load_transformer, save_transformer, to_bfl
from comfyui_uso.uso_model.checkpoints.fp8 import dequantize, quantize_plain, quantize_scaled
from comfyui_uso.uso_model.checkpoints.strict import CheckpointError
from torch import Tensor

Weights = dict[str, Tensor]
MATRIX = "double_blocks.0.img_attn.qkv.weight"


def _note(**entries: object) -> Tensor:
    return torch.tensor(list(json.dumps(entries).encode()), dtype=torch.uint8)


def _relative(got: Tensor, expected: Tensor) -> float:
    return ((got.float() - expected.float()).norm() / expected.float().norm()).item()


@pytest.mark.parametrize("precision", ["fp8", "fp8_scaled"])
def test_files_round_trip_within_8_bits(tmp_path: Path, tiny_flux: Weights, precision: str) -> None:
    write_safetensors(tmp_path / "in.safetensors", tiny_flux)
    save_transformer(tmp_path / "out.safetensors", load_transformer(tmp_path / "in.safetensors"), precision)  # type: ignore[arg-type]
    stored = read_safetensors(tmp_path / "out.safetensors")
    assert stored[MATRIX].dtype == torch.float8_e4m3fn
    assert stored["img_in.weight"].dtype == stored["double_blocks.0.img_attn.qkv.bias"].dtype == torch.bfloat16
    got = to_bfl(load_transformer(tmp_path / "out.safetensors", torch.float32).state_dict())
    assert got.keys() == tiny_flux.keys()
    # e4m3 keeps 3 bits behind the leading one: at most 1/16 per value, about 2.7% in the mean square.
    assert max(_relative(got[name], tiny_flux[name]) for name in got) < 0.04
    again = tmp_path / "again.safetensors"
    save_transformer(again, load_transformer(tmp_path / "out.safetensors", torch.float32), precision)  # type: ignore[arg-type]
    assert {n: t.float().tolist() for n, t in read_safetensors(again).items() if n == MATRIX} == {
        MATRIX: stored[MATRIX].float().tolist()
    }


def test_scaling_rescues_small_and_large_weights() -> None:
    small = {MATRIX: torch.randn(8, 8, generator=torch.Generator().manual_seed(0)) * 1e-5}
    assert _relative(dequantize(quantize_scaled(small), "x", torch.float32)[MATRIX], small[MATRIX]) < 0.04
    assert _relative(dequantize(quantize_plain(small), "x", torch.float32)[MATRIX], small[MATRIX]) > 0.5
    large = {MATRIX: small[MATRIX] * 1e10}
    assert _relative(dequantize(quantize_scaled(large), "x", torch.float32)[MATRIX], large[MATRIX]) < 0.04
    assert dequantize(quantize_plain(large), "x", torch.float32)[MATRIX].abs().max() == 448


def test_a_zero_matrix_stays_zero() -> None:
    got = dequantize(quantize_scaled({MATRIX: torch.zeros(4, 4)}), "x", torch.float32)
    assert torch.equal(got[MATRIX], torch.zeros(4, 4))


def test_plain_fp8_is_read_exactly() -> None:
    stored = {MATRIX: torch.randn(4, 4).to(torch.float8_e4m3fn), "b": torch.randn(4).to(torch.float8_e5m2)}
    got = dequantize(stored, "x")
    assert {t.dtype for t in got.values()} == {torch.bfloat16}
    assert all(torch.equal(got[name].float(), stored[name].float()) for name in stored)


def test_one_dtype_for_the_whole_of_an_8_bit_file() -> None:
    got = dequantize({MATRIX: torch.randn(4, 4).to(torch.float8_e4m3fn), "b": torch.randn(4)}, "x")
    assert {t.dtype for t in got.values()} == {torch.bfloat16}
    assert {t.dtype for t in dequantize({"b": torch.randn(4)}, "x").values()} == {torch.float32}


@pytest.mark.parametrize("scale", [torch.tensor(0.25), torch.tensor([0.25])])
def test_older_scaled_layout(scale: Tensor) -> None:
    weight = torch.randn(4, 6).to(torch.float8_e4m3fn)
    stored = {
        "scaled_fp8": torch.empty(2, dtype=torch.float8_e4m3fn),
        "a.weight": weight,
        "a.scale_weight": scale,
        "a.scale_input": torch.tensor(1.0),
        "a.bias": torch.ones(4, dtype=torch.float16),
        "b.weight": weight,
    }
    got = dequantize(stored, "x", torch.float32)
    assert set(got) == {"a.weight", "a.bias", "b.weight"}
    assert torch.equal(got["a.weight"], weight.float() * 0.25)
    assert torch.equal(got["b.weight"], weight.float())


@pytest.mark.parametrize("form", ["float8_e4m3fn", "float8_e5m2"])
def test_newer_scaled_layout(form: str) -> None:
    weight = torch.randn(4, 6).to(getattr(torch, form))
    stored = {
        "a.weight": weight,
        "a.weight_scale": torch.tensor(3.0),
        "a.input_scale": torch.tensor(0.5),
        "a.comfy_quant": _note(format=form, full_precision_matrix_mult=True),
    }
    got = dequantize(stored, "x", torch.float32)
    assert set(got) == {"a.weight"}
    assert torch.equal(got["a.weight"], weight.float() * 3)


def test_a_scale_per_row() -> None:
    weight = torch.randn(4, 6).to(torch.float8_e4m3fn)
    rows = torch.tensor([1.0, 2.0, 3.0, 4.0])
    for scale in (rows, rows[:, None]):
        got = dequantize({"a.weight": weight, "a.weight_scale": scale}, "x", torch.float32)
        assert torch.equal(got["a.weight"], weight.float() * rows[:, None])


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"a.comfy_quant": _note(format="nvfp4"), "a.weight_scale": torch.ones(4, 1)}, "format nvfp4"),
        ({"a.comfy_quant": _note(format="float8_e4m3fn")}, "without a weight_scale"),
        (
            {"a.comfy_quant": torch.tensor([1, 2], dtype=torch.uint8)},
            "quantisation note a.comfy_quant of .* is not JSON",
        ),
        ({"a.weight_scale": torch.ones(4, 2)}, "8 scales"),
        ({"c.weight_scale": torch.ones(())}, "no weight of that name"),
        ({"c.weight": torch.zeros(2, 2, dtype=torch.uint8)}, "stores c.weight as uint8"),
    ],
)
def test_other_formats_are_refused(extra: Weights, message: str) -> None:
    stored = {"a.weight": torch.zeros(4, 6).to(torch.float8_e4m3fn), **extra}
    with pytest.raises(CheckpointError, match=message):
        dequantize(stored, "quant.safetensors")


def test_scaled_inside_a_checkpoint(tmp_path: Path, tiny_flux: Weights) -> None:
    stored = {f"model.diffusion_model.{name}": t for name, t in tiny_flux.items()}
    prefix = "model.diffusion_model."
    stored[f"{prefix}scaled_fp8"] = torch.empty(0, dtype=torch.float8_e4m3fn)
    stored[f"{prefix}{MATRIX}"] = (tiny_flux[MATRIX] / 0.01).to(torch.float8_e4m3fn)
    stored[f"{prefix}{MATRIX.replace('.weight', '.scale_weight')}"] = torch.tensor(0.01)
    write_safetensors(tmp_path / "all.safetensors", stored)
    model = load_transformer(tmp_path / "all.safetensors", torch.float32)
    got = model.double_blocks[0].img_attn.qkv.weight
    assert _relative(got, tiny_flux[MATRIX]) < 0.04
