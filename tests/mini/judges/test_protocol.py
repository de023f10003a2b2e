"""Judges of any kind can measure, and the bundled ones need nothing of the trainer."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from comfyui_uso.mini.bench.cases import cases
from comfyui_uso.mini.experiment.measure import measure
from comfyui_uso.mini.judges.networks import PHOTO, TRAITS
from comfyui_uso.mini.judges.protocol import Judges
from comfyui_uso.uso_model.judging.roc import area
from torch import Tensor


def colour(pixels: Tensor) -> Tensor:
    return F.normalize(torch.cat([pixels.mean(dim=(2, 3)), torch.ones(len(pixels), 1)], dim=1), dim=1)


def test_functions_are_judges_too() -> None:
    def identity(pixels: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        return colour(pixels), tuple(torch.zeros(len(pixels), count) for count in TRAITS)

    held_out = cases(4, seed=1)
    judges = Judges(lambda pixels: torch.zeros(len(pixels), PHOTO + 1), identity, colour)
    found = measure(lambda prompts, styles, contents, seed: list(styles or contents), judges, held_out, modes=["style"])
    # The style references themselves are drawn: their colours are those of the references.
    assert found["style"]["likeness"] == pytest.approx(1, abs=1e-5) and found["true"]["likeness"] < 1


def test_the_area_is_the_chance_of_the_right_order() -> None:
    assert area(torch.tensor([3.0, 2.0]), torch.tensor([1.0, 0.0])) == 1
    assert area(torch.tensor([0.0, 2.0]), torch.tensor([1.0])) == 0.5
    assert area(torch.tensor([1.0]), torch.tensor([1.0])) == 0.5


def test_the_judges_bring_no_training_with_them() -> None:
    code = (
        "import sys, comfyui_uso.mini.judges.networks, comfyui_uso.mini.judges.protocol\n"
        "print([m for m in sys.modules if m.startswith('comfyui_uso.trainer') or m in ('pydantic', 'accelerate')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"
