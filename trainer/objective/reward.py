"""The reward, by style (SRL in arXiv 2508.18966 v1, section 3.3.3, Algorithm 1; ASR in the CVPR version) or subject.

A picture is rolled out from fresh noise without a gradient; the gradient enters late, goes through the autoencoder's
decoder and one or several judges, and asks for likeness to the references. The paper's judge is CSD, which compares
with the style reference. Judges of subjects, DINO or CLIP, compare with the content reference; the paper only measures
with them, after DreamBooth (Ruiz et al. 2023, arXiv 2208.12242, section 4.3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ...uso_model.packing import PIXELS_PER_LATENT
from ...uso_model.sampling import Conditioning, guided, velocity
from ...uso_model.schedule import official_schedule
from ..data.batch import Sample, stack_by_shape
from ..data.buckets import nearest_bucket
from ..encoders import PictureJudge
from ..engine.randomness import StepRandom
from ..networks import Networks
from ..recipe import ConditionsConfig, RewardConfig, label
from .conditions import conditioning_of, drop_conditions, unconditional

__all__ = ["RewardObjective", "reward_weight", "rollout_endpoint", "rollout_one_step"]


def reward_weight(reward: RewardConfig) -> Callable[[int], float]:
    """Return lambda as a function of the step: 0 before S and between rewarded steps, then rising to its weight."""

    def weight(step: int) -> float:
        since = step - reward.start
        if since < 0 or since % reward.every:
            return 0.0
        return reward.weight * min(1.0, (since + 1) / reward.warmup) if reward.warmup else reward.weight

    return weight


class RewardObjective:
    """The sum over judges d of `weight relu(margin - cos(d(picture), d(reference)))`; `-cos` at margin 1."""

    def __init__(
        self,
        networks: Networks,
        decode: Callable[[Tensor], Tensor],
        judges: Mapping[str, PictureJudge],
        reward: RewardConfig,
        conditions: ConditionsConfig,
        empty: tuple[Tensor, Tensor],
    ):
        """Join the networks.

        Args:
            networks: predict the velocity.
            decode: latents `b c h w` to pictures `b 3 8h 8w`, with a gradient.
            judges: those of the reward, by its names for them.
            reward: form and sizes of the rollout, weights and margins of the judges.
            conditions: dropout of references as in the flow-matching loss; what a judge compares with is never dropped.
            empty: text tokens `L D` and pooled text `D` of the empty prompt, which classifier-free guidance leads away
                from.
        """
        self._networks, self._decode, self._judges = networks, decode, judges
        self._reward, self._conditions, self._empty = reward, conditions, empty

    def losses(self, samples: Sequence[Sample], random: StepRandom) -> dict[str, Tensor]:
        """Return the mean loss of the rows and what it was made of; nothing where no row has a judge's reference.

        Each judge counts for the rows that have its reference. `similarity` is the mean cosine; of several judges there
        is one for each, `similarity_csd` and so on.
        """
        rewarded = [place for place, sample in enumerate(samples) if sample.descriptors]
        if not rewarded:
            return {}
        device, (transformer, projector, isolated) = self._networks.device, self._networks
        errors = torch.zeros(len(samples), device=device)
        similarity: dict[str, list[Tensor]] = {}
        saturated = []
        entered = self._entered(random)
        for batch in stack_by_shape([self._kept(samples[place], random, place) for place in rewarded]):
            places = [rewarded[place] for place in batch.places]
            height, width = (PIXELS_PER_LATENT * side for side in batch.latent.shape[-2:])
            width, height = nearest_bucket(width, height, self._reward.size)
            shape = (batch.latent.shape[1], height // PIXELS_PER_LATENT, width // PIXELS_PER_LATENT)
            noise = torch.stack([torch.randn(shape, generator=random.row(p, "reward noise")) for p in places]).to(
                device
            )
            guidance = torch.full((len(places),), self._reward.guidance)
            times = official_schedule(self._reward.steps, width, height)

            def follow(batch=batch, guidance=guidance) -> Callable[[Tensor, Tensor], Tensor]:
                conditioning: Conditioning = conditioning_of(batch, projector, guidance, device, isolated)
                v = velocity(transformer, conditioning)
                if self._reward.cfg == 1:
                    return v
                away = velocity(transformer, unconditional(self._empty, guidance, device))
                # Without a gradient: the reward is not to be had by making the negative side worse.
                return guided(v, torch.no_grad()(away), self._reward.cfg)

            if self._reward.form == "refl":
                latent = rollout_one_step(follow, noise, times, entered[0])
            else:
                latent = rollout_endpoint(follow, noise, times, entered)
            picture = checkpoint(self._decode, latent, use_reentrant=False)
            with torch.autocast(device.type, enabled=False):
                seen = picture.float().clamp(-1, 1)
                for name, references in batch.descriptors.items():
                    cosine = (self._judges[name].embed(seen).float() * references.to(device)).sum(dim=1)
                    errors = errors.index_add(0, torch.tensor(places, device=device), self._loss(name, cosine))
                    similarity.setdefault(self._key(name), []).append(cosine.detach())
            saturated.append((picture.detach().abs() > 1).float().mean(dim=(1, 2, 3)))
        return {
            "loss": errors.mean(),
            "rows": errors.detach(),
            **{key: torch.cat(cosines).mean() for key, cosines in similarity.items()},
            "saturated": torch.cat(saturated).mean(),  # pixels beyond the range pull no more; many of them mean burning
            "stop": torch.tensor(float(entered[0])),  # where the gradient enters first
        }

    def _kept(self, sample: Sample, random: StepRandom, place: int) -> Sample:
        dropped = drop_conditions(sample, self._conditions.dropout, self._conditions.mode, random.row(place, "dropout"))
        if any(judge.against == "style" for judge in self._judges.values()):
            dropped = dropped._replace(styles=sample.styles, style_latents=sample.style_latents)
        if any(judge.against == "content" for judge in self._judges.values()):
            dropped = dropped._replace(contents=sample.contents)
        return dropped

    def _loss(self, name: str, cosine: Tensor) -> Tensor:
        judge = self._reward.judges[name]
        margin = self._reward.margin if judge.margin is None else judge.margin
        return judge.weight * (margin - cosine).relu()

    def _key(self, name: str) -> str:
        return "similarity" if len(self._judges) == 1 else f"similarity_{label(name)}"

    def _entered(self, random: StepRandom) -> list[int]:
        """Draw the steps whose velocities have the gradient; the same for all rows, so that they roll out together.

        `refl`: one of the last. `endpoint`: several, late ones more often, with weights (i + 1)^2 as in FlowBP-Sparse.
        """
        steps, generator = self._reward.steps, random.shared("reward stop")
        if self._reward.form == "refl":
            return [steps - self._reward.last + int(torch.randint(self._reward.last, (), generator=generator))]
        weights = torch.arange(1, steps + 1).float().square()
        return sorted(torch.multinomial(weights, self._reward.active, generator=generator).tolist())


Follow = Callable[[], Callable[[Tensor, Tensor], Tensor]]
"""Makes the velocity function anew, so that conditions are computed with or without a gradient."""


def rollout_one_step(follow: Follow, noise: Tensor, times: Tensor, stop: int) -> Tensor:
    """Roll out `stop` steps without a gradient, then return the one-step prediction `x_t - t v` with one.

    Source: arXiv 2508.18966, Algorithm 1, whose last line is read as a step all the way to 0; the scheme is ReFL's
    (Xu et al. 2023, arXiv 2304.05977, Algorithm 1).

    Args:
        follow: makes the velocity of `x` (`b c h w`) at times `b`.
        noise: `b c h w`.
        times: falling times from 1 to 0, `steps + 1`.
        stop: steps before the one with the gradient.
    """
    x = noise
    with torch.no_grad():
        v = follow()
        for now, then in zip(times[:stop].tolist(), times[1 : stop + 1].tolist(), strict=True):
            x = x + (then - now) * _at(v, x, now)
    t = float(times[stop])
    return x - t * _at(follow(), x, t)


def rollout_endpoint(follow: Follow, noise: Tensor, times: Tensor, active: Sequence[int]) -> Tensor:
    """Return the true end of the whole rollout, with the gradient of the velocities of a few of its steps.

    The value is that of the rollout without a gradient; the active steps are computed again from their recorded points,
    which are held fixed (straight-through, as FlowBP-Sparse, arXiv 2606.11075). Their gradients are scaled by one over
    the time that they span, so that their weights add up to 1 whichever steps are drawn.

    Args:
        follow: makes the velocity of `x` (`b c h w`) at times `b`.
        noise: `b c h w`.
        times: falling times from 1 to 0, `steps + 1`.
        active: numbers of the steps with a gradient.
    """
    spans = times.diff().tolist()
    points, x = [], noise
    with torch.no_grad():
        v = follow()
        for now, span in zip(times[:-1].tolist(), spans, strict=True):
            points.append(x)
            x = x + span * _at(v, x, now)
    scale = 1 / sum(-spans[i] for i in active)
    v = follow()
    moved = sum(spans[i] * scale * _at(v, points[i], float(times[i])) for i in active)
    assert isinstance(moved, Tensor)  # at least one step is active
    return x + (moved - moved.detach())


def _at(v: Callable[[Tensor, Tensor], Tensor], x: Tensor, t: float) -> Tensor:
    """Return a velocity in float32: the sums of a rollout lose too much in half precision."""
    return v(x, torch.full((len(x),), t, device=x.device)).float()
