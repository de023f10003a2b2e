"""Strict loading: one key removed, one added, one misshapen."""

from __future__ import annotations

import pytest
import torch
from comfyui_uso.uso_model.checkpoints.strict import CheckpointError, load_strict
from torch import nn


def _model() -> nn.Module:
    return nn.Sequential(*(nn.Linear(3, 3) for _ in range(4)))


def test_exact_keys_load() -> None:
    source, target = _model(), _model()
    load_strict(target, source.state_dict(), "a.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), target.parameters(), strict=True))


def test_each_problem_is_counted_with_three_examples() -> None:
    weights = _model().state_dict()
    for name in ("0.bias", "1.bias", "2.bias", "3.bias"):
        del weights[name]
    weights["extra"] = torch.zeros(1)
    weights["3.weight"] = torch.zeros(3, 4)
    with pytest.raises(CheckpointError) as caught:
        load_strict(_model(), weights, "a.safetensors")
    message = str(caught.value)
    assert message.startswith("a.safetensors does not fit Sequential")
    assert "4 missing keys (0.bias, 1.bias, 2.bias, ...)" in message
    assert "1 unknown key (extra)" in message
    assert "1 misshapen key (3.weight: got (3, 4), expected (3, 3))" in message
    assert "\n" not in message


@pytest.mark.parametrize("problem", ["missing", "unknown", "misshapen"])
def test_nothing_is_loaded_from_a_file_that_does_not_fit(problem: str) -> None:
    weights = {name: torch.full_like(tensor, 7.0) for name, tensor in _model().state_dict().items()}
    if problem == "missing":
        del weights["3.weight"]
    elif problem == "unknown":
        weights["4.weight"] = torch.zeros(3, 3)
    else:
        weights["3.weight"] = torch.zeros(2, 3)
    target = _model()
    with pytest.raises(CheckpointError, match=f"1 {problem} key"):
        load_strict(target, weights, "a.safetensors")
    assert not any((p == 7).any() for p in target.parameters())


def test_assign_fills_a_model_on_the_meta_device() -> None:
    with torch.device("meta"):
        target = _model()
    load_strict(target, {k: t.half() for k, t in _model().state_dict().items()}, "a.safetensors", assign=True)
    assert {p.dtype for p in target.parameters()} == {torch.float16}
    assert {p.device.type for p in target.parameters()} == {"cpu"}


def test_checkpoint_error_is_a_value_error() -> None:
    assert issubclass(CheckpointError, ValueError)
