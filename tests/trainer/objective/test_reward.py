"""The style reward: where its gradient goes, what its two forms compute, when it is on, and that it works."""

from __future__ import annotations

import pytest
import torch
from comfyui_uso.trainer.encoders import PictureJudge
from comfyui_uso.trainer.engine.randomness import StepRandom
from comfyui_uso.trainer.networks import Networks
from comfyui_uso.trainer.objective.reward import (
    RewardObjective,
    reward_weight,
    rollout_endpoint,
    rollout_one_step,
)
from comfyui_uso.trainer.objective.step import flow_matching_term
from comfyui_uso.trainer.recipe import ConditionsConfig, FlowConfig, RewardConfig
from comfyui_uso.uso_model.sampling import Conditioning, euler, velocity
from comfyui_uso.uso_model.schedule import official_schedule

TIMES = official_schedule(6, 32, 32)
BLANK = torch.full((3, 8), 0.3), torch.full((8,), -0.2)


def settings(**changes):
    return RewardConfig.model_validate({"start": 0, "size": 32, "steps": 4, "last": 2, "active": 2, **changes})


def reward_of(transformer, projector, decoder, descriptor, **changes):
    both = ConditionsConfig(dropout=0.0)
    judges = {"csd": PictureJudge(descriptor, "style", "toy")}
    return RewardObjective(Networks(transformer, projector), decoder, judges, settings(**changes), both, BLANK)


@pytest.mark.parametrize("form", ["refl", "endpoint"])
def test_the_gradient_reaches_lora_and_projector_only(form, adapted, tiny_projector, decoder, descriptor, sample):
    everything = {
        **{f"transformer.{n}": p for n, p in adapted.named_parameters()},
        **{f"projector.{n}": p for n, p in tiny_projector.named_parameters()},
        **{f"decoder.{n}": p for n, p in decoder.named_parameters()},
        **{f"descriptor.{n}": p for n, p in descriptor.named_parameters()},
    }
    losses = reward_of(adapted, tiny_projector, decoder, descriptor, form=form).losses(
        [sample(1)], StepRandom(0, 0, 0, 1)
    )
    losses["loss"].backward()
    reached = {n for n, p in everything.items() if p.grad is not None and p.grad.abs().sum() > 0}
    trained = {n for n in everything if "lora_" in n or n.startswith("projector.")}
    assert reached == trained, (trained - reached, reached - trained)


def linear(x, t):
    return 0.5 * x * (1 + t[:, None, None, None])


def test_refl_is_one_step_to_the_picture():
    noise = torch.randn(2, 16, 4, 4)
    x = noise
    for now, then in zip(TIMES[:3].tolist(), TIMES[1:4].tolist(), strict=True):
        x = x + (then - now) * linear(x, torch.full((2,), now))
    expected = x - TIMES[3] * linear(x, TIMES[3].expand(2))
    assert torch.allclose(rollout_one_step(lambda: linear, noise, TIMES, 3), expected, atol=1e-6)


def test_a_step_is_not_rounded_to_the_networks_precision():
    """A velocity in bfloat16 times a short span would be rounded once more before it is added."""
    noise = torch.randn(1, 16, 4, 4)

    def half(x, t):
        return linear(x, t).bfloat16()

    def exact(x, t):
        return half(x, t).float()

    got, expected = (rollout_endpoint(lambda v=v: v, noise, TIMES, [5]) for v in (half, exact))
    assert torch.equal(got, expected) and torch.equal(got, euler(exact, noise, TIMES))


@pytest.mark.parametrize("active", [[5], [0, 2, 5]])
def test_endpoint_is_the_true_end(active):
    noise = torch.randn(2, 16, 4, 4)
    weight = torch.tensor(0.5, requires_grad=True)

    def v(x, t):
        return weight * x * (1 + t[:, None, None, None])

    end = rollout_endpoint(lambda: v, noise, TIMES, active)
    assert torch.equal(end.detach(), euler(linear, noise, TIMES))
    end.sum().backward()
    points = []
    euler(lambda x, t: points.append((x, t)) or linear(x, t), noise, TIMES)
    spans = TIMES.diff()
    weights = spans[active] / -spans[active].sum()
    slopes = [points[i][0] * (1 + points[i][1][:, None, None, None]) for i in active]
    assert torch.allclose(weight.grad, sum(w * s.sum() for w, s in zip(weights, slopes, strict=True)), rtol=1e-4)


@pytest.mark.parametrize("form", ["refl", "endpoint"])
def test_in_half_precision_the_rollout_adds_up_in_float32(form, adapted, tiny_projector, decoder, descriptor, sample):
    """25 Euler steps in bfloat16 would lose the small ones; what is decoded must not be rounded to it."""
    decoded, seen = [], []

    def decode(latents):
        decoded.append(latents.detach())
        return decoder(latents)

    def half_look(pixels):
        seen.append(torch.is_autocast_enabled("cpu") or pixels.dtype != torch.float32)
        return descriptor(pixels)

    objective = reward_of(adapted, tiny_projector, decode, half_look, form=form)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = objective.losses([sample(1)], StepRandom(0, 0, 0, 1))
    assert decoded[0].dtype == torch.float32 and not torch.equal(decoded[0], decoded[0].bfloat16().float())
    assert not any(seen) and losses["loss"].dtype == torch.float32
    losses["loss"].backward()
    assert all(torch.isfinite(p.grad).all() for p in adapted.parameters() if p.grad is not None)


def test_the_log_says_where_the_gradient_enters(adapted, tiny_projector, decoder, descriptor, sample):
    """`refl` stops in the last `last` steps; `endpoint` may enter at any, late ones more often."""

    @torch.no_grad()
    def stops(count, **changes):
        objective = reward_of(adapted, tiny_projector, decoder, descriptor, **changes)
        return [objective.losses([sample(1)], StepRandom(0, k, 0, 1))["stop"].item() for k in range(count)]

    one_step, endpoint = stops(12, form="refl"), stops(32, form="endpoint", active=1)
    assert set(one_step) == {2, 3}
    assert set(endpoint) >= {1, 2, 3} and endpoint.count(3) > endpoint.count(2) > endpoint.count(1)
    assert stops(1, form="endpoint", active=4) == [0]


def test_lambda_switches_on_at_s():
    assert [reward_weight(settings(start=3))(k) for k in (0, 2, 3, 4)] == [0, 0, 1, 1]
    assert [reward_weight(settings(start=2, every=3, weight=0.5))(k) for k in range(2, 9)] == [
        0.5,
        0,
        0,
        0.5,
        0,
        0,
        0.5,
    ]
    assert [reward_weight(settings(start=1, warmup=4))(k) for k in range(1, 7)] == [0.25, 0.5, 0.75, 1, 1, 1]


def test_above_the_margin_nothing_is_gained(adapted, tiny_projector, decoder, descriptor, sample):
    objective = reward_of(adapted, tiny_projector, decoder, descriptor, margin=-1.0)
    losses = objective.losses([sample(1)], StepRandom(0, 0, 0, 1))
    losses["loss"].backward()
    assert losses["loss"] == 0 and all(p.grad is None or p.grad.abs().sum() == 0 for p in adapted.parameters())


def test_rows_without_a_style_are_left_out(adapted, tiny_projector, decoder, descriptor, sample):
    objective = reward_of(adapted, tiny_projector, decoder, descriptor)
    assert objective.losses([sample(1, style=False)], StepRandom(0, 0, 0, 1)) == {}
    mixed = objective.losses([sample(1, style=False), sample(2), sample(3, content=False)], StepRandom(0, 0, 0, 3))
    assert mixed["rows"][0] == 0 and (mixed["rows"][1:] > 0).all()
    assert torch.allclose(mixed["loss"], mixed["rows"].mean()) and 2 <= mixed["stop"] < 4


@pytest.mark.parametrize("form", ["refl", "endpoint"])
def test_how_a_batch_is_cut_changes_nothing(form, adapted, tiny_projector, decoder, descriptor, sample):
    """Else a run on two processes would be another run. All rows enter together, each from noise of its own."""
    objective = reward_of(adapted, tiny_projector, decoder, descriptor, form=form)
    rows = [sample(1), sample(1), sample(2, content=False), sample(3)]
    for step in range(4):
        whole = objective.losses(rows, StepRandom(0, step, 0, 4))
        cut = [objective.losses([row], StepRandom(0, step, place, 1)) for place, row in enumerate(rows)]
        assert torch.allclose(whole["rows"], torch.cat([part["rows"] for part in cut]), atol=1e-5)
        assert {part["stop"].item() for part in cut} == {whole["stop"].item()}
        assert not torch.isclose(whole["rows"][0], whole["rows"][1], atol=1e-5)


def test_the_style_is_never_dropped(adapted, tiny_projector, decoder, descriptor, sample):
    always = ConditionsConfig(dropout=1.0, mode="independent")
    judges = {"csd": PictureJudge(descriptor, "style", "toy")}
    objective = RewardObjective(Networks(adapted, tiny_projector), decoder, judges, settings(), always, BLANK)
    dropped = objective.losses([sample(1)], StepRandom(0, 0, 0, 1))
    without = reward_of(adapted, tiny_projector, decoder, descriptor).losses(
        [sample(1)._replace(contents=())], StepRandom(0, 0, 0, 1)
    )
    assert torch.equal(dropped["loss"], without["loss"])


def test_the_rollout_is_reproducible_and_differs_between_steps(adapted, tiny_projector, decoder, descriptor, sample):
    objective = reward_of(adapted, tiny_projector, decoder, descriptor)
    first, again, later = (objective.losses([sample(1)], StepRandom(0, k, 0, 1))["loss"] for k in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, later)


def test_a_guided_rollout_leads_away_from_the_empty_prompt(adapted, tiny_projector, decoder, descriptor, sample):
    """Against the formula; the negative side has no gradient, or the reward could be raised by spoiling it."""
    row, random = sample(1), StepRandom(0, 5, 0, 1)
    losses = reward_of(adapted, tiny_projector, decoder, descriptor, cfg=3.0).losses([row], random)
    style = tiny_projector(type(row.styles[0])(*(level[None] for level in row.styles[0])))
    positive, negative = (
        velocity(adapted, conditioning)
        for conditioning in (
            Conditioning(txt=row.txt[None], vec=row.vec[None], style=style, content=(row.contents[0][None],)),
            Conditioning(txt=BLANK[0][None], vec=BLANK[1][None]),
        )
    )

    def v(x, t):
        away = negative(x, t).detach()
        return away + 3 * (positive(x, t) - away)

    noise = torch.randn(1, 16, 4, 4, generator=random.row(0, "reward noise"))
    end = rollout_one_step(lambda: v, noise, official_schedule(4, 32, 32), int(losses["stop"]))
    expected = 1 - (descriptor(decoder(end)) * row.descriptors["csd"]).sum()
    assert torch.allclose(losses["loss"], expected, atol=1e-5)
    trained = [p for p in adapted.parameters() if p.requires_grad]
    got, wanted = (torch.autograd.grad(loss, trained) for loss in (losses["loss"], expected))
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(got, wanted, strict=True))


@pytest.mark.long
@pytest.mark.parametrize("form", ["refl", "endpoint"])
def test_the_reward_rises_and_the_loss_stays(form, adapted, tiny_projector, decoder, descriptor, sample):
    """Within 200 steps the similarity rises by more than 0.1, and the flow-matching loss stays within 10 %."""
    rows = [sample(k) for k in range(4)]
    flow = flow_matching_term(Networks(adapted, tiny_projector), FlowConfig(), ConditionsConfig(dropout=0.0))
    reward = reward_of(adapted, tiny_projector, decoder, descriptor, form=form)
    trained = [p for p in adapted.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=2e-3)

    @torch.no_grad()
    def measured():
        fixed = [StepRandom(99, k, 0, 4) for k in range(8)]
        losses = torch.stack([flow.losses(rows, random)["loss"] for random in fixed]).mean()
        return losses.item(), torch.stack([reward.losses(rows, r)["similarity"] for r in fixed]).mean().item()

    for step in range(
        200
    ):  # first without the reward, so that what the flow-matching loss gains is not mistaken for it
        flow.losses(rows, StepRandom(0, step, 0, 4))["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
    loss_before, before = measured()
    for step in range(200, 400):
        random = StepRandom(0, step, 0, 4)
        flow.losses(rows, random)["loss"].backward()
        reward.losses(rows, random)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
    loss_after, after = measured()
    assert after > before + 0.1 and loss_after < 1.1 * loss_before, (before, after, loss_before, loss_after)
