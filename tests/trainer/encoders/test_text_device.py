"""Prompts are encoded where the recipe says, or where there is room."""

from __future__ import annotations

import logging

import pytest
import torch
from comfyui_uso.trainer.encoders.text_device import text_device
from comfyui_uso.trainer.recipe import ModelsConfig
from comfyui_uso.uso_model.errors import UserError

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 1)


@pytest.mark.parametrize(
    ("asked", "free", "expected"), [("auto", 20e9, CUDA), ("auto", 8e9, CPU), ("cuda", 8e9, CUDA), ("cpu", 20e9, CPU)]
)
def test_a_gpu_with_or_without_room(asked, free, expected, monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(free), int(24e9)))
    with caplog.at_level(logging.INFO):
        assert text_device(ModelsConfig(text_device=asked), CUDA) == expected
    assert ("encoded on the CPU" in caplog.text) == (asked == "auto" and expected == CPU)


def test_no_gpu():
    assert text_device(ModelsConfig(), CPU) == text_device(ModelsConfig(text_device="cpu"), CPU) == CPU
    with pytest.raises(UserError, match="no CUDA GPU; set it to auto or cpu"):
        text_device(ModelsConfig(text_device="cuda"), CPU)
