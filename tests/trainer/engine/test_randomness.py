"""First weights by a seed."""

from __future__ import annotations

import torch
from comfyui_uso.trainer.engine.randomness import seeded
from torch import nn


def test_layers_depend_on_the_seed_and_leave_the_global_generator_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    with seeded(1):
        first = nn.Linear(4, 4)
    with seeded(1):
        again = nn.Linear(4, 4)
    with seeded(2):
        other = nn.Linear(4, 4)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first.weight, again.weight) and not torch.equal(first.weight, other.weight)
