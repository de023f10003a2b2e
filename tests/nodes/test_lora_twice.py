"""USO on USO, and a part that was trained beside USO without it, are said in the log and on the node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_uso.uso_model.checkpoints.files import write_safetensors
from comfyui_uso.uso_model.checkpoints.marks import trained_beside

from nodes import LoraLoaderModelOnly

from .conftest import HIDDEN
from .made_files import load, lora, projector, siglip

OWN, WHOLE = {"uso.stage": "triplet", "uso.part": "own"}, {"uso.stage": "triplet", "uso.part": "with-uso"}


def other(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(tensor.shape, generator=generator) for name, tensor in lora().items()}


def both(added: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a LoRA and USO's in one, as the trainer concatenates them."""
    sides = {".down.weight": 0, ".up.weight": 1}
    return {
        name: torch.cat([tensor, added[name]], dim=next(dim for side, dim in sides.items() if name.endswith(side)))
        for name, tensor in lora().items()
    }


@pytest.fixture
def told(put: Any, models: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Any:
    """Put files down and return a function that loads some of them in turn and returns what the last node shows."""
    texts: list[str] = []
    monkeypatch.setattr("comfyui_uso.nodes.load_models.show_on_node", texts.append)
    put("loras/uso.safetensors", lora())
    put("loras/stranger.safetensors", other(3))
    write_safetensors(models / "loras/mine.safetensors", other(1), OWN)
    write_safetensors(models / "loras/mine-with-uso.safetensors", both(other(1)), WHOLE)
    put("model_patches/p.safetensors", projector())
    put("clip_vision/v.safetensors", siglip())

    def loaded(model: Any, *names: str) -> str:
        for name in names:
            model = load(model, f"{name}.safetensors", 1.0, "p.safetensors", "v.safetensors")[0]
        assert (texts[-1] in caplog.text) or not texts[-1]
        return texts[-1]

    return loaded


@pytest.mark.parametrize(
    "names", [("uso", "uso"), ("uso", "mine-with-uso"), ("mine-with-uso", "uso"), ("mine", "mine-with-uso")]
)
def test_what_counts_twice_is_said(names: tuple[str, ...], told: Any, base_model: Any) -> None:
    if names[0] == "mine":  # its own part lies in the second half of the rows: only USO's are compared
        assert told(base_model, "uso", "mine", "mine-with-uso").startswith(
            "mine-with-uso.safetensors contains the LoRA"
        )
    else:
        assert told(base_model, *names).startswith(f"{names[-1]}.safetensors contains the LoRA that this model has")


def test_a_part_without_uso_is_said(told: Any, base_model: Any) -> None:
    assert told(base_model, "mine").startswith("mine.safetensors was trained beside USO's LoRA, which this model does")


def test_a_part_without_another_lora_is_said(told: Any, base_model: Any, models: Path) -> None:
    write_safetensors(models / "loras/mine.safetensors", other(1), {**OWN, **trained_beside("ink.safetensors")})
    assert told(base_model, "mine").startswith(
        "mine.safetensors was trained beside ink.safetensors, which is not USO's"
    )
    assert told(base_model, "stranger", "mine") == ""


@pytest.mark.parametrize(
    "names", [("uso",), ("uso", "mine"), ("mine-with-uso",), ("stranger", "uso"), ("uso", "stranger")]
)
def test_what_is_right_is_not_said(names: tuple[str, ...], told: Any, base_model: Any) -> None:
    assert told(base_model, *names) == ""


def test_the_stock_loader_is_seen_too(told: Any, base_model: Any, put: Any) -> None:
    """By rows of the same layer, whatever the names of the keys."""
    sides = {"lora_A": "down", "lora_B": "up"}
    layer, processor = "diffusion_model.double_blocks.0.img_attn.proj", "double_blocks.0.processor.proj_lora1"
    keys = {f"{layer}.{here}.weight": lora()[f"{processor}.{there}.weight"] for here, there in sides.items()}
    put("loras/stock.safetensors", keys)
    model = LoraLoaderModelOnly().load_lora_model_only(base_model, "stock.safetensors", 1.0)[0]
    assert told(model, "uso").startswith("uso.safetensors contains the LoRA")


def test_a_part_of_other_layers_than_usos_is_right_beside_uso(told: Any, base_model: Any, models: Path) -> None:
    layer = "diffusion_model.double_blocks.0.img_mlp.0"
    factors = {"lora_A": torch.ones(2, HIDDEN), "lora_B": torch.ones(4 * HIDDEN, 2)}
    weights = {f"{layer}.{side}.weight": tensor for side, tensor in factors.items()}
    write_safetensors(models / "loras/mlp.safetensors", weights, OWN)
    assert told(base_model, "uso", "mlp") == ""
    assert told(base_model, "mlp").startswith("mlp.safetensors was trained beside USO's LoRA")
