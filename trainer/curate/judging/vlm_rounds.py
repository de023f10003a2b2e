"""UNO's three rounds about two pictures: name the parts, compare each, score each.

Source: the filter of UNO-1M (labels `vlm_filter_cot` with `score_part` and `score_final` in its data card;
bytedance/UNO). The wording is our own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ...reading.values import read_yaml
from .vlm_answers import name_schema, read_findings, read_names, read_scores, table_schema
from .vlm_asking import Account, Asking
from .vlm_model import Turn

__all__ = ["PAIRS", "PROMPTS", "Prompts", "read_prompts", "scores_of"]

PAIRS = ("style", "subject")
"""What is judged: target and style reference, target and content reference."""

PROMPTS = Path(__file__).with_name("vlm_prompts.yaml")


class Prompts(NamedTuple):
    """What is asked of one pair."""

    name: str
    compare: str
    score: str

    def digest(self) -> str:
        """Return a short hash of all words."""
        return hashlib.sha256(json.dumps(list(self)).encode()).hexdigest()[:16]


def read_prompts() -> tuple[dict[str, Prompts], dict[str, str]]:
    """Return the prompts of each pair, and all others by their names."""
    told = read_yaml(PROMPTS)
    return {pair: Prompts(**told[pair]) for pair in PAIRS}, {
        name: text for name, text in told.items() if name not in PAIRS
    }


def scores_of(
    pictures: Sequence[bytes], prompts: Prompts, asking: Asking, account: Account, place: str
) -> dict[str, int]:
    """Return the score of each part, 0 to 4, that the first of two pictures has.

    Args:
        pictures: two JPEG files, in the order in which they are shown.
        prompts: of this pair.
        asking: who is asked.
        account: is added to.
        place: of the conversation, for people.

    Raises:
        Unjudged: a round gave no answer that can be used.
        UserError: no request can do better until a person mends something.
    """
    turns = [Turn("user", prompts.name, pictures)]
    parts = asking.ask(turns, name_schema(), read_names, account, f"{place}, round 1")
    asked = json.dumps(parts, ensure_ascii=False)
    turns += [_said({"parts": parts}), Turn("user", prompts.compare.replace("{parts}", asked))]
    schema = table_schema("comparisons", "finding", parts)
    findings = asking.ask(turns, schema, lambda told: read_findings(told, parts), account, f"{place}, round 2")
    rows = [{"part": part, "finding": finding} for part, finding in findings.items()]
    turns += [_said({"comparisons": rows}), Turn("user", prompts.score.replace("{parts}", asked))]
    schema = table_schema("scores", "score", parts)
    return asking.ask(turns, schema, lambda told: read_scores(told, parts), account, f"{place}, round 3")


def _said(value: dict[str, Any]) -> Turn:
    """Return what the model has said, without what it said beside it, so that a try that failed leaves no trace."""
    return Turn("assistant", json.dumps(value, ensure_ascii=False))
