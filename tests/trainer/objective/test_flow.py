"""Times and mixing against their closed forms."""

from __future__ import annotations

import pytest
import torch
from comfyui_uso.trainer.objective.flow import mix, sample_timesteps
from comfyui_uso.uso_model.sampling import euler
from comfyui_uso.uso_model.schedule import mu_for_tokens, shifted_schedule


def test_the_ends_of_the_way_are_latent_and_noise():
    latent, noise = torch.randn(2, 16, 4, 4), torch.randn(2, 16, 4, 4)
    assert torch.equal(mix(latent, noise, torch.zeros(2)).x_t, latent)
    assert torch.equal(mix(latent, noise, torch.ones(2)).x_t, noise)


def test_integrating_the_target_leads_back_to_the_latent():
    latent, noise = torch.randn(1, 16, 4, 4), torch.randn(1, 16, 4, 4)
    target = mix(latent, noise, torch.tensor([0.5])).target
    back = euler(lambda x, t: target, noise, shifted_schedule(7, 1.15))
    assert torch.allclose(back, latent, atol=1e-5)


@pytest.mark.parametrize("law", ["uniform_shifted", "logit_normal"])
def test_times_lie_in_range_and_are_shifted_towards_noise_for_more_tokens(law):
    few, many = (sample_timesteps(law, 4000, n, torch.Generator().manual_seed(0)) for n in (64, 4096))
    assert few.min() > 0 and few.max() <= 1
    assert many.mean() > few.mean() + 0.05


def test_uniform_shifted_draws_only_entries_of_the_table():
    table = shifted_schedule(1000, mu_for_tokens(256))
    times = sample_timesteps("uniform_shifted", 50, 256, torch.Generator().manual_seed(0))
    assert torch.isin(times, table).all()


def test_an_unknown_law_is_named():
    with pytest.raises(ValueError, match=r"'cosine'.*uniform_shifted"):
        sample_timesteps("cosine", 1, 64, torch.Generator())  # type: ignore[arg-type]
