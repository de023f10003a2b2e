"""The paper's claims, each as a difference between two rows, and what the measured runs say of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import Field

from ...trainer.reading.values import Settings
from .statistics import Interval, difference

__all__ = ["Claim", "Records", "Verdict", "judged", "load_claims"]

Records = Mapping[str, Mapping[int, Mapping[str, Any]]]
"""Row to seed to record."""


class Claim(Settings):
    """The row `more` has more of a number than the row `less`."""

    says: str = Field(description="the claim in words")
    paper: str = Field(description="what the paper measured")
    more: str = Field(description="name of a row")
    less: str = Field(description="name of a row")
    mode: str = Field(description="which references are given; see measure.MODES")
    number: str = Field(description="what is compared; see measure.measure")


class Verdict(NamedTuple):
    """What the runs say."""

    word: str
    """`confirmed`, `contradicted`, `undecided` or `not run`."""
    gap: Interval | None
    seeds: int


def load_claims() -> list[Claim]:
    """Read the claims in the order of claims.yaml."""
    text = Path(__file__).with_name("claims.yaml").read_text(encoding="utf-8")
    return [Claim.model_validate(values) for values in yaml.safe_load(text)]


def judged(claim: Claim, records: Records) -> Verdict:
    """Compare the two rows of a claim over the seeds that both have.

    A claim is confirmed or contradicted where the whole interval of the difference lies on one side of zero, and
    undecided otherwise; with a single seed it is undecided whatever the numbers are.
    """
    pair = [records.get(name, {}) for name in (claim.more, claim.less)]
    seeds = sorted(set(pair[0]) & set(pair[1]))
    if not seeds:
        return Verdict("not run", None, 0)
    values: list[Sequence[float]] = [[of[seed]["numbers"][claim.mode][claim.number] for seed in seeds] for of in pair]
    gap = difference(*values)
    if gap.half is None or abs(gap.mean) <= gap.half:
        return Verdict("undecided", gap, len(seeds))
    return Verdict("confirmed" if gap.mean > 0 else "contradicted", gap, len(seeds))
