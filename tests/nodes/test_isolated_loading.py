"""How a MODEL knows that its LoRA was trained with isolated references, and which LoRAs do not go together."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from comfy.lora_convert import convert_uso_lora
from comfyui_uso.nodes.graph.isolation import is_isolated
from comfyui_uso.nodes.reuse import ReuseReferences
from comfyui_uso.uso_model.checkpoints.files import write_safetensors
from comfyui_uso.uso_model.checkpoints.marks import ISOLATED, MARKER, OWN_PART, trained_beside
from comfyui_uso.uso_model.errors import UserError
from comfyui_uso.uso_model.isolation import mark

from nodes import LoraLoader, LoraLoaderModelOnly

from .isolated import isolated_lora
from .made_files import load, lora, projector, siglip

JOINT = {"uso.stage": "triplet"}
FILES = {
    "whole": (isolated_lora(), {**JOINT, **ISOLATED}),
    "unmarked": (isolated_lora(marked=False), {**JOINT, **ISOLATED}),
    "bare": (isolated_lora(), {}),
    "uso-keys": ({**lora(), MARKER: mark(64)}, {**JOINT, **ISOLATED}),
    "extracted": ({**isolated_lora(marked=False), f"diffusion_model.{MARKER}": torch.zeros(64)}, {}),
    "joint": (isolated_lora(2, marked=False), JOINT),
    "xlabs": ({key: tensor for key, tensor in lora().items() if key.startswith("double")}, {}),
    "style": (isolated_lora(5, marked=False), {}),
    "released": (lora(), {}),
    "own-of-uso": (isolated_lora(4), {**JOINT, **OWN_PART, **ISOLATED}),
    "own": (isolated_lora(4), {**JOINT, **OWN_PART, **ISOLATED, **trained_beside("joint.safetensors")}),
}


@pytest.fixture
def loaded(models: Path, base_model: Any) -> Any:
    """Put the files down and return a function that loads some of them in turn."""
    for name, (weights, metadata) in FILES.items():
        write_safetensors(models / f"loras/{name}.safetensors", weights, metadata)
    write_safetensors(models / "model_patches/p.safetensors", projector())
    write_safetensors(models / "clip_vision/v.safetensors", siglip())

    def put_on(*names: str, strength: float = 1.0) -> Any:
        model = base_model
        for name in names:
            model = load(model, f"{name}.safetensors", strength, "p.safetensors", "v.safetensors")[0]
        return model

    return put_on


@pytest.mark.parametrize("name", ["whole", "unmarked", "bare", "uso-keys"])
def test_our_loader_sees_it(name: str, loaded: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert is_isolated(loaded(name, strength=-0.5)) and not is_isolated(loaded(name, strength=0.0))
    assert not caplog.records, "no key may be left unloaded"


def test_stock_loaders_carry_it(loaded: Any, base_model: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Of USO's own names, which the stock loader knows by FLUX's number of blocks, it carries all with a prefix."""
    file = "whole.safetensors"
    assert f"diffusion_model.{MARKER}" in convert_uso_lora(FILES["uso-keys"][0])
    with caplog.at_level(logging.WARNING):
        assert is_isolated(LoraLoaderModelOnly().load_lora_model_only(base_model, file, 0.5)[0])
        assert not is_isolated(LoraLoaderModelOnly().load_lora_model_only(base_model, file, 0.0)[0])
        assert not is_isolated(LoraLoader().load_lora(base_model, None, file, 0.0, 1.0)[0])
    assert not caplog.records, "no key may be left unloaded"


@pytest.mark.parametrize("names", [("joint",), ("released",), ("extracted",), ()])
def test_others_are_joint(names: tuple[str, ...], loaded: Any) -> None:
    assert not is_isolated(loaded(*names))


@pytest.mark.parametrize(
    ("names", "got"),
    [
        (("joint", "whole"), "whole.safetensors, which was trained with isolated references, on a model with joint"),
        (("joint", "unmarked"), "unmarked.safetensors, which was trained with isolated"),
        (("whole", "joint"), "joint.safetensors, which was trained without isolated references, on a model with whole"),
        (("released", "whole"), "whole.safetensors, which was trained with isolated references, on a model with rele"),
        (("whole", "released"), "released.safetensors, which was trained without isolated references, on a model wit"),
        (("released", "own"), "own.safetensors, which was trained with isolated references, on a model with released"),
        (("joint", "own", "released"), "released.safetensors, which was trained without isolated"),
    ],
)
def test_one_trained_the_other_way_is_refused(names: tuple[str, ...], got: str, loaded: Any) -> None:
    with pytest.raises(UserError, match=f"^Got {got}"):
        loaded(*names)


@pytest.mark.parametrize(
    "names",
    [
        ("joint", "own"),
        ("own", "joint"),
        ("released", "own-of-uso"),
        ("own-of-uso", "released"),
        ("style", "whole"),
        ("whole", "xlabs"),
    ],
)
def test_what_may_go_together(names: tuple[str, ...], loaded: Any) -> None:
    """A part with the one it was trained beside, in either order; and one that knows nothing of references."""
    assert is_isolated(loaded(*names))


def test_a_stock_loaded_one_is_seen_too(loaded: Any, base_model: Any) -> None:
    """Of it only the mark is known: the released LoRA may be the one it was trained beside, others are refused."""
    stock = LoraLoaderModelOnly().load_lora_model_only(base_model, "own.safetensors", 1.0)[0]
    vision = ("p.safetensors", "v.safetensors")
    assert is_isolated(load(stock, "released.safetensors", 1.0, *vision)[0])
    with pytest.raises(UserError, match=r"^Got joint.safetensors, .* with a LoRA that was trained with them"):
        load(stock, "joint.safetensors", 1.0, *vision)


def test_there_is_nothing_to_reuse(loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    monkeypatch.setattr("comfyui_uso.nodes.reuse.show_on_node", texts.append)
    for name in ("whole", "joint"):
        model = loaded(name)
        assert (ReuseReferences.execute(model, 3, "linear", 1, 0, 0.0).result[0] is model) is (name == "whole")
    assert texts[0].startswith("The model's LoRA has isolated references") and not texts[1]
