"""Files that are absent, of another kind or made for another network are named with their setting, headers alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from comfyui_uso.trainer.encoders import Encoders
from comfyui_uso.trainer.preflight import look
from comfyui_uso.trainer.recipe import TrainConfig
from comfyui_uso.trainer.train import train
from comfyui_uso.uso_model.checkpoints import (
    read_safetensors,
    save_autoencoder,
    save_projector,
    write_diffusion_model_lora,
    write_safetensors,
)
from comfyui_uso.uso_model.errors import UserError

from .conftest import autoencoder, clip, lora, projector, siglip, t5

Make = Callable[..., TrainConfig]


def test_files_that_belong_together_are_no_problem(flux_recipe: Make) -> None:
    assert look(flux_recipe()).problems == []
    assert look(flux_recipe(lora__start="continue", lora__rank=None)).problems == []


def test_every_absent_file_is_named_with_its_setting(flux_recipe: Make, flux_files: dict[str, Path]) -> None:
    for path in flux_files.values():
        path.unlink()
    problems = look(flux_recipe()).problems
    assert len(problems) == len(flux_files)
    for name, path in flux_files.items():
        assert any(problem.startswith(f"models.{name}: {path} is not there") for problem in problems)


def test_quotes_that_a_shell_has_left_are_noticed(flux_recipe: Make) -> None:
    found = look(flux_recipe(models__lora=Path("'C:\\loras\\a.safetensors'"))).problems
    assert len(found) == 1 and "leave out the quotes" in found[0]


def without(path: Path, part: str) -> None:
    tensors = {name: tensor.clone() for name, tensor in read_safetensors(path).items() if part not in name}
    write_safetensors(path, tensors)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("name", "spoil", "words"),
    [
        ("transformer", lambda path: write_safetensors(path, t5()), ["looks like a T5 text encoder"]),
        ("transformer", lambda path: without(path, "txt_attn.proj"), ["missing key"]),
        ("transformer", cut, ["truncated"]),
        ("lora", lambda path: write_safetensors(path, clip()), ["looks like a CLIP text encoder"]),
        ("lora", lambda path: write_diffusion_model_lora(path, lora(256)), ["does not fit", "6 misshapen modules"]),
        ("projector", lambda path: save_projector(path, projector(out=64)), ["of width 64", "is 128 wide"]),
        ("projector", lambda path: write_diffusion_model_lora(path, lora()), ["looks like a LoRA"]),
        ("vae", lambda path: save_autoencoder(path, autoencoder(4)), ["16, expected 64"]),
        ("vae", lambda path: without(path, "conv_norm") or without(path, "norm_out"), ["missing key"]),
        ("vae", lambda path: write_safetensors(path, siglip()), ["looks like a SigLIP"]),
        ("t5", lambda path: write_safetensors(path, t5(24)), ["text tokens of width 24, expected 8"]),
        ("t5", lambda path: write_safetensors(path, clip()), ["looks like a CLIP", "t5xxl_fp16"]),
        ("clip", lambda path: write_safetensors(path, clip(24)), ["width 24, expected 8"]),
        ("siglip", lambda path: write_safetensors(path, siglip(side=24)), ["as many as 36, expected 16"]),
        ("siglip", lambda path: write_safetensors(path, siglip(width=32)), ["width 32, expected 16"]),
        ("csd", lambda path: write_safetensors(path, clip()), ["looks like a CLIP", "uso csd"]),
    ],
)
def test_a_wrong_file_is_named(
    name: str,
    spoil: Callable[[Path], Any],
    words: list[str],
    flux_recipe: Make,
    flux_files: dict[str, Path],
    tmp_path: Path,
) -> None:
    path = flux_files.get(name, tmp_path / "csd.safetensors")
    spoil(path)
    problems = look(flux_recipe(**{f"models__{name}": path})).problems
    assert len(problems) == 1, problems
    assert (problems[0].startswith(f"models.{name}") and path.name in problems[0]) or "LoRA does not fit" in problems[0]
    assert all(word in problems[0] for word in words), problems


def test_folders_are_read_too(flux_recipe: Make, flux_files: dict[str, Path], tmp_path: Path) -> None:
    """A folder of T5 with other sizes, and one of a transformer without weights."""
    folder = tmp_path / "hf" / "text_encoder_2"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({}), encoding="utf-8")
    write_safetensors(folder / "model.safetensors", t5(24))
    (tmp_path / "hf" / "transformer").mkdir()
    problems = look(flux_recipe(models__t5=tmp_path / "hf", models__transformer=tmp_path / "hf")).problems
    assert [problem.partition(":")[0] for problem in problems] == ["models.transformer"]
    assert "has no config.json" in problems[0]
    problems = look(flux_recipe(models__t5=tmp_path / "hf")).problems
    assert len(problems) == 1 and "width 24, expected 8" in problems[0]


def test_layers_that_are_not_there_are_a_problem(flux_recipe: Make) -> None:
    problems = look(flux_recipe(lora__blocks="d7")).problems
    assert len(problems) == 1 and "lora.blocks" in problems[0]


def test_no_value_of_a_large_file_is_read(flux_recipe: Make, flux_files: dict[str, Path]) -> None:
    """Values that no reader would let through are not looked at."""
    for name in ("transformer", "projector", "lora", "vae", "t5"):
        tensors = read_safetensors(flux_files[name])
        write_safetensors(flux_files[name], {key: tensor * float("nan") for key, tensor in tensors.items()})
    assert look(flux_recipe()).problems == []


def test_nothing_is_encoded_for_a_run_that_cannot_end_well(
    recipe: Make, tiny_encoders: Encoders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def encode(*args: object) -> None:
        raise AssertionError("something was encoded")

    write_diffusion_model_lora(tmp_path / "other.safetensors", lora(256))
    config = recipe(models={"lora": tmp_path / "other.safetensors"}, lora={"start": "add"})
    monkeypatch.setattr("comfyui_uso.trainer.train.encode", encode)
    with pytest.raises(UserError, match=r"models\.lora"):
        train(config, tiny_encoders)
    assert not config.loop.run_dir.exists()
