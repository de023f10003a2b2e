"""`verify` on the official code's reference tensors, and on folders with something wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from comfyui_uso.trainer.formula import parse_formula
from comfyui_uso.trainer.verify import LIMIT, run, verify
from comfyui_uso.uso_model.checkpoints.files import read_safetensors, write_safetensors

CASES = (
    *(
        "projector.style0",
        "projector.style1",
        "t2i",
        "subject",
        "style",
        "joint",
        "joint2x2",
        "ids",
        "denoise4",
    ),
    *("ae.encode", "ae.decode", "schedules", "preprocess"),
)


def test_everything_equals_the_official_code(golden: Path) -> None:
    errors = verify(golden)
    assert set(errors) == set(CASES)
    assert max(errors.values()) <= LIMIT, errors
    assert errors["preprocess"] == 0 and errors["ids"] == 0


def test_run_prints_one_json_object(golden: Path) -> None:
    text, code = run(golden)
    assert code == 0
    assert set(json.loads(text)) == set(CASES)


@pytest.fixture
def copy(golden: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    shutil.copytree(golden, folder)
    return folder


def _change(path: Path, name: str, change: object) -> None:
    tensors = read_safetensors(path)
    tensors = {k: t.clone() for k, t in tensors.items()}
    if change is None:
        del tensors[name]
    else:
        tensors[name] = change(tensors[name])  # type: ignore[operator]
    write_safetensors(path, tensors)


def test_a_wrong_value_exits_with_1(copy: Path) -> None:
    _change(copy / "cases.safetensors", "subject.velocity", lambda t: t + 2e-4)
    text, code = run(copy)
    errors = json.loads(text)
    assert code == 1
    assert 1.5e-4 < errors["subject"] < 2.5e-4 and errors["style"] <= LIMIT


def test_one_wrong_pixel_exits_with_1(copy: Path) -> None:
    def flip(pixels: torch.Tensor) -> torch.Tensor:
        pixels[0, 0, 0] ^= 1
        return pixels

    _change(copy / "preprocess_content.safetensors", "0.out", flip)
    text, code = run(copy)
    assert code == 1 and json.loads(text)["preprocess"] == 1


@pytest.mark.parametrize("damage", [lambda t: t[:, :-1], lambda t: t * float("nan")])
def test_another_shape_or_nan_is_an_error_and_still_json(copy: Path, damage: object) -> None:
    _change(copy / "cases.safetensors", "t2i.velocity", damage)
    text, code = run(copy)
    assert code == 1 and json.loads(text)["t2i"] > 1e300


def test_a_missing_file_exits_with_2(copy: Path) -> None:
    (copy / "ae_tiny.safetensors").unlink()
    text, code = run(copy)
    assert code == 2 and "ae_tiny.safetensors" in text and "\n" not in text


def test_a_missing_folder_exits_with_2(tmp_path: Path) -> None:
    text, code = run(tmp_path / "nowhere")
    assert code == 2 and "not a folder" in text


def test_a_missing_tensor_is_named(copy: Path) -> None:
    _change(copy / "cases.safetensors", "joint.ref_ids0", None)
    text, code = run(copy)
    assert code == 2 and "joint.ref_ids0" in text and "cases.safetensors" in text


def test_a_missing_weight_is_named(copy: Path) -> None:
    _change(copy / "flux_tiny.safetensors", "img_in.bias", None)
    text, code = run(copy)
    assert code == 2 and "1 missing key (img_in.bias)" in text


def test_a_truncated_file_is_named(copy: Path) -> None:
    path = copy / "projector.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    text, code = run(copy)
    assert code == 2 and "projector.safetensors is truncated" in text


@pytest.mark.parametrize(("name", "entry"), [("cases.json", "schedules"), ("config.json", "depth")])
def test_a_missing_entry_is_named(copy: Path, name: str, entry: str) -> None:
    entries = json.loads((copy / name).read_text())
    del entries[entry]
    (copy / name).write_text(json.dumps(entries))
    text, code = run(copy)
    assert code == 2 and entry in text and name in text


def test_broken_json_is_named(copy: Path) -> None:
    (copy / "cases.json").write_text("{")
    text, code = run(copy)
    assert code == 2 and "cases.json is not JSON" in text


def test_formula_is_arithmetic_only() -> None:
    x = torch.tensor([0.5, 1.0])
    got = parse_formula("2*sin(0.5*x + (k+1)) - cos(x)/4 - -k")({"x": x, "k": 3})
    assert torch.equal(got, 2 * torch.sin(0.5 * x + 4) - torch.cos(x) / 4 + 3)
    for text in ("__import__('os')", "x.shape", "open('f')", "x**2", "y"):
        with pytest.raises(ValueError, match="arithmetic"):
            parse_formula(text)({"x": x})
    with pytest.raises(ValueError, match="no formula"):
        parse_formula("2*(")
