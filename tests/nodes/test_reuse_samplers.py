"""References reused under every sampler of ComfyUI: those of second order ask several times in a step."""

from __future__ import annotations

from typing import Any

import comfy.sample
import comfy.samplers
import pytest
import torch
from comfyui_uso.nodes.apply import Apply

from .conftest import content
from .reused import counting, longest_steps, reusing, sampled, small

STEPS = 8
FEW = {"heun", "dpmpp_2s_ancestral"}
OFF_SCHEDULE = {"dpm_fast", "dpm_adaptive"}
"""They choose their times themselves."""
NOISY = "dpmpp_3m_sde"
"""Third order with new noise on each of eight steps: a corrected line errs by 2.9 % here, a plain one by less."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in FEW else pytest.mark.long) for name in comfy.samplers.SAMPLER_NAMES],
)
def test_every_sampler(name: str, base_model: Any, prompt: Any, style: Any) -> None:
    lengths: list[tuple[int, int]] = []
    model, positive, negative = Apply.execute(base_model, prompt(), prompt(4), small(style), content((4, 4))).result
    options = {"steps": STEPS, "name": name, "cfg": 2.0}
    exact = sampled(model, positive, negative, **options)
    assert torch.equal(sampled(reusing(model, every=100, first=100), positive, negative, **options), exact)
    bare = sampled(model, prompt(), negative, **options)
    reused = sampled(reusing(counting(model, lengths), every=2), positive, negative, **options)
    bound = 0.04 if name.startswith(NOISY) else 0.02
    assert (reused - exact).square().sum() < bound * (bare - exact).square().sum()
    if name not in OFF_SCHEDULE:
        assert longest_steps(lengths) == [0, 1, 3, 5, 7]


def test_less_than_the_whole_schedule(base_model: Any, prompt: Any, style: Any) -> None:
    """Steps are counted from where the sampling begins."""
    lengths: list[tuple[int, int]] = []
    model, positive, _ = Apply.execute(base_model, prompt(), None, small(style)).result
    latent = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(3))
    mask = torch.ones(1, 8, 8)
    mask[:, :4] = 0.3
    model = reusing(counting(model, lengths), every=3)
    sampled(model, positive, steps=6, denoise=0.5, latent=latent, noise_mask=mask)
    assert longest_steps(lengths) == [0, 1, 4]


def test_exact_steps_at_the_end(base_model: Any, prompt: Any, style: Any) -> None:
    lengths: list[tuple[int, int]] = []
    model, positive, _ = Apply.execute(base_model, prompt(), None, small(style)).result
    sampled(reusing(counting(model, lengths), every=100, first=3, last=2), positive, steps=STEPS)
    assert longest_steps(lengths) == [0, 1, 2, 6, 7]


@pytest.mark.parametrize("churn", [0.0, 1.0, 5.0])
def test_noise_that_a_sampler_adds_moves_no_step(churn: float, base_model: Any, prompt: Any, style: Any) -> None:
    """With churn every step is asked for at a sigma above its own."""
    lengths: list[tuple[float, int]] = []

    def note(q: Any, k: Any, v: Any, extra_options: dict[str, Any], **_: Any) -> dict[str, Any]:
        lengths.append((float(extra_options["sigmas"][0]), q.shape[2]))
        return {}

    model, positive, _ = Apply.execute(base_model, prompt(), None, small(style)).result
    model = model.clone()
    model.set_model_attn1_patch(note)
    noise = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(7))
    comfy.sample.sample_custom(
        reusing(model, every=100, last=2),
        noise,
        1.0,
        comfy.samplers.ksampler("euler", {"s_churn": churn}),
        torch.linspace(1, 0, 11),
        positive,
        [],
        torch.zeros_like(noise),
        disable_pbar=True,
    )
    steps = dict(lengths)  # one sigma for each step
    longest = max(steps.values())
    assert [number for number, length in enumerate(steps.values()) if length == longest] == [0, 1, 8, 9]


def test_a_sampler_that_goes_back_begins_anew(base_model: Any, prompt: Any, style: Any) -> None:
    """Restarts add noise again: what was kept at less is no base for it."""
    queries: list[tuple[float, int]] = []

    def note(q: Any, k: Any, v: Any, extra_options: dict[str, Any], **_: Any) -> dict[str, Any]:
        queries.append((round(float(extra_options["sigmas"][0]), 2), q.shape[2]))
        return {}

    def restart(model: Any, x: torch.Tensor, sigmas: torch.Tensor, **more: Any) -> torch.Tensor:
        for time in (0.8, 0.6, 0.4, 0.2, 1.0, 0.8, 0.6, 0.4, 0.8, 0.2):
            model(x, x.new_full((len(x),), time), **more.get("extra_args", {}))
        return x

    model, positive, _ = Apply.execute(base_model, prompt(), None, small(style)).result
    model = model.clone()
    model.set_model_attn1_patch(note)
    noise = torch.randn(1, 16, 8, 8)

    comfy.sample.sample_custom(
        reusing(model, every=100),
        noise,
        1.0,
        comfy.samplers.KSAMPLER(restart),
        torch.linspace(1, 0, 6),
        positive,
        [],
        torch.zeros_like(noise),
        disable_pbar=True,
    )
    longest = max(length for _, length in queries)
    assert [time for time, length in queries[::4] if length == longest] == [0.8, 0.6, 1.0, 0.8]


def test_a_strength_that_changes_keeps_what_was_computed(base_model: Any, prompt: Any, style: Any) -> None:
    """ComfyUI gets an entry for each stretch of the curve."""
    lengths: list[tuple[int, int]] = []
    model, positive, _ = Apply.execute(
        base_model, prompt(), None, small(style), content((4, 4)), style_curve="1, 0.9, 0.8"
    ).result
    assert len(positive) == 3
    reused = sampled(reusing(counting(model, lengths), every=3), positive, steps=STEPS)
    assert longest_steps(lengths) == [0, 1, 4, 7]
    exact, bare = sampled(model, positive, steps=STEPS), sampled(model, prompt(), steps=STEPS)
    assert (reused - exact).abs().max() < 0.1 * (bare - exact).abs().max()
