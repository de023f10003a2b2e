"""A style descriptor joins the encoders when the recipe names its file."""

from __future__ import annotations

import pytest
import torch
from comfyui_uso.trainer.encoders.open import open_encoders
from comfyui_uso.uso_model.checkpoints import write_safetensors
from comfyui_uso.uso_model.judging import csd


def test_the_descriptor_is_read_on_first_use_and_again_after_release(tmp_path, monkeypatch, recipe):
    write_safetensors(tmp_path / "csd.safetensors", {"w": torch.full((1,), 3.0)})
    read = []

    def load(path, device):
        read.append((path, device))
        return lambda pixels: pixels.mean(dim=(2, 3)) * 3

    monkeypatch.setattr(csd, "load_csd", load)
    plain, encoders = (open_encoders(recipe(models={"csd": path})) for path in (None, tmp_path / "csd.safetensors"))
    assert encoders.names["descriptor"] != plain.names["descriptor"] and read == []
    assert {**plain.names, "descriptor": encoders.names["descriptor"]} == encoders.names
    pixels = torch.rand(2, 3, 8, 8).requires_grad_()
    for _ in range(2):
        descriptor = encoders.descriptor(pixels)
        assert torch.equal(descriptor, pixels.mean(dim=(2, 3)) * 3) and descriptor.requires_grad
    assert read == [(tmp_path / "csd.safetensors", "cpu")]
    encoders.release()
    encoders.descriptor(pixels)
    assert len(read) == 2


def test_a_descriptor_that_is_not_there(tmp_path, recipe):
    with pytest.raises(ValueError, match=r"csd\.safetensors is not there"):
        open_encoders(recipe(models={"csd": tmp_path / "csd.safetensors"}))
