"""Preservation: what it compares, what it moves, and when it counts."""

from __future__ import annotations

import torch
from comfyui_uso.trainer.engine.randomness import StepRandom
from comfyui_uso.trainer.lora.adapters import adapters_off
from comfyui_uso.trainer.networks import Networks
from comfyui_uso.trainer.objective.flow import draw, mix
from comfyui_uso.trainer.objective.prior_preservation import PriorPreservationObjective, prior_preservation_weight
from comfyui_uso.trainer.recipe import FlowConfig, PriorPreservationConfig
from comfyui_uso.uso_model.sampling import Conditioning, velocity

FLOW = FlowConfig(guidance=(1.0, 5.0))
BLANK = torch.full((3, 8), 0.3), torch.full((8,), -0.2)


def test_the_loss_of_a_row_is_the_difference_that_the_lora_makes_without_references(adapted, sample):
    rows, random = [sample(1), sample(2, style=False)], StepRandom(0, 4, 0, 2)
    got = PriorPreservationObjective(Networks(adapted, None), FLOW, BLANK).losses(rows, random)
    draws = draw(FLOW, rows, random)
    for place, row in enumerate(rows):
        t = draws.t[place : place + 1]
        x = mix(row.latent[None], draws.noise[place][None], t).x_t
        guidance = draws.guidance[place : place + 1]
        follow = velocity(adapted, Conditioning(txt=BLANK[0][None], vec=BLANK[1][None], guidance=guidance))
        with_lora = follow(x, t)
        with adapters_off(adapted):
            without = follow(x, t)
        assert torch.allclose(got["rows"][place], (with_lora - without).square().mean(), rtol=1e-4)
    assert torch.allclose(got["loss"], got["rows"].mean())


def test_only_the_lora_is_moved_and_towards_the_network_without_it(adapted, sample):
    rows, random = [sample(1), sample(2)], StepRandom(0, 0, 0, 2)
    objective = PriorPreservationObjective(Networks(adapted, None), FLOW, BLANK)
    trained = [p for p in adapted.parameters() if p.requires_grad]
    before = objective.losses(rows, random)["loss"]
    before.backward()
    assert all(p.grad is None for p in adapted.parameters() if not p.requires_grad)
    with torch.no_grad():
        for p in trained:
            p -= 0.05 * p.grad
    assert objective.losses(rows, random)["loss"] < before


def test_the_rows_own_prompt_may_stay(adapted, sample):
    rows, random = [sample(1)], StepRandom(0, 0, 0, 1)
    own = PriorPreservationObjective(Networks(adapted, None), FLOW, None).losses(rows, random)["loss"]
    as_if_blank = PriorPreservationObjective(Networks(adapted, None), FLOW, (rows[0].txt, rows[0].vec)).losses(
        rows, random
    )["loss"]
    assert torch.equal(own, as_if_blank)
    assert not torch.equal(
        own, PriorPreservationObjective(Networks(adapted, None), FLOW, BLANK).losses(rows, random)["loss"]
    )


def test_it_counts_at_its_steps():
    weight = prior_preservation_weight(PriorPreservationConfig(weight=0.5, every=3))
    assert [weight(step) for step in range(5)] == [0.5, 0, 0, 0.5, 0]
