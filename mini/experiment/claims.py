"""The paper's claims, each as a difference between two rows, and what the measured runs say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .statistics import Interval, difference

__all__ = ["CLAIMS", "Claim", "Verdict", "judged"]

Records = Mapping[str, Mapping[int, Mapping[str, Any]]]
"""Row to seed to record."""


class Claim(NamedTuple):
    """`better` has more of a number than `worse`."""

    says: str
    paper: str
    better: str
    worse: str
    mode: str
    number: str


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "the style reward raises style similarity of joint pictures",
        "CSD .413 to .492",
        "full",
        "without_asr",
        "joint",
        "likeness",
    ),
    Claim("the style reward raises it for an independent judge too", "none", "full", "without_asr", "joint", "style"),
    Claim(
        "the style reward raises identity of subject-driven pictures",
        "CLIP-I .619 to .647",
        "full",
        "without_asr",
        "subject",
        "resemblance",
    ),
    Claim(
        "the style reward raises style similarity of style-driven pictures",
        "CSD .491 to .556",
        "full",
        "without_asr",
        "style",
        "likeness",
    ),
    Claim(
        "a shared encoder loses style in joint pictures",
        "CSD .492 to .382",
        "full",
        "without_disentangled_encoders",
        "joint",
        "likeness",
    ),
    Claim(
        "a shared encoder loses identity",
        "CLIP-I .647 to .594",
        "full",
        "without_disentangled_encoders",
        "subject",
        "resemblance",
    ),
    Claim(
        "a shared encoder copies more of the style picture",
        "shown in pictures",
        "without_disentangled_encoders",
        "full",
        "joint",
        "leak",
    ),
    Claim(
        "the style stage is needed",
        "joint CSD .495 to .409 (arXiv v1)",
        "full",
        "without_style_stage",
        "joint",
        "likeness",
    ),
    Claim(
        "three depths are better than the last alone",
        "CSD .277 to .402 (arXiv v1, table 4)",
        "full",
        "last_layer_only",
        "style",
        "likeness",
    ),
    Claim("condition dropout helps single references", "none", "full", "without_dropout", "style", "style"),
    Claim(
        "training the projector in stage 2 helps style",
        "CVPR does, arXiv v1 does not",
        "full",
        "frozen_projector",
        "joint",
        "likeness",
    ),
    Claim(
        "a reward at the true end is better than one step to it",
        "not in the paper",
        "endpoint_reward",
        "full",
        "joint",
        "style",
    ),
    Claim(
        "the style reward raises style similarity of joint pictures, rolled out under the guidance they are drawn with",
        "CSD .413 to .492",
        "guided_reward",
        "without_asr",
        "joint",
        "likeness",
    ),
    Claim(
        "that reward raises it for an independent judge too",
        "none",
        "guided_reward",
        "without_asr",
        "joint",
        "style",
    ),
    Claim(
        "that reward raises identity of subject-driven pictures",
        "CLIP-I .619 to .647",
        "guided_reward",
        "without_asr",
        "subject",
        "resemblance",
    ),
    Claim(
        "to hold the LoRA to the base without references helps style in joint pictures",
        "not in the paper",
        "preserved",
        "full",
        "joint",
        "style",
    ),
    Claim(
        "to hold the LoRA to the base without references helps identity in joint pictures",
        "not in the paper",
        "preserved",
        "full",
        "joint",
        "identity",
    ),
)


class Verdict(NamedTuple):
    """What the runs say."""

    word: str
    """`confirmed`, `contradicted`, `undecided` or `not run`."""
    gap: Interval | None
    seeds: int


def judged(claim: Claim, records: Records) -> Verdict:
    """Compare the two rows of a claim over the seeds that both have.

    A claim is confirmed or contradicted where the whole interval of the difference lies on one side of zero, and
    undecided otherwise; with a single seed it is undecided whatever the numbers are.
    """
    pair = [records.get(name, {}) for name in (claim.better, claim.worse)]
    seeds = sorted(set(pair[0]) & set(pair[1]))
    if not seeds:
        return Verdict("not run", None, 0)
    values: list[Sequence[float]] = [[of[seed]["numbers"][claim.mode][claim.number] for seed in seeds] for of in pair]
    gap = difference(*values)
    if gap.half is None or abs(gap.mean) <= gap.half:
        return Verdict("undecided", gap, len(seeds))
    return Verdict("confirmed" if gap.mean > 0 else "contradicted", gap, len(seeds))
