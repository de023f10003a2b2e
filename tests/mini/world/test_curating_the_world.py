"""Spoilt triplets of the procedural world are found by judges that had no part in drawing them."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import pytest
from comfyui_uso.trainer.curate.choosing.choose import choose, drop_duplicates
from comfyui_uso.trainer.curate.choosing.cuts import fitted, spent
from comfyui_uso.trainer.curate.choosing.suggest import known_of
from comfyui_uso.trainer.curate.pipeline import Pipeline, Progress
from comfyui_uso.trainer.curate.where import parse_where

from .spoilt import GOOD, KINDS, judged

DUPLICATE, BITS, LOST = "duplicate", 4, 0.025

Labelled = Sequence[tuple[str, Progress]]
Counts = tuple[int, int]
"""Rows left out, and all."""


def expression(rows: Labelled, kinds: Collection[str]) -> str:
    """Return thresholds fitted to good rows and those of some kinds, as `--suggest --keep .975` fits them."""
    seen = [(kind, row) for kind, row in rows if kind in (GOOD, *kinds) and row.standing == "complete"]
    known = known_of([row for _, row in seen], [kind == GOOD for kind, _ in seen])
    return " and ".join(map(str, spent(fitted(known), known, LOST)))


def left_out(pipeline: Pipeline, rows: Labelled, text: str, bits: int | None) -> dict[str, Counts]:
    """Return how many rows of each kind an expression and the search for near duplicates leave out."""
    choice = choose((row for _, row in rows), pipeline, parse_where(text), {})
    drop_duplicates(choice, bits, {})
    accepted = {one.row.id for one in choice.rows}
    found = {}
    for kind in (*KINDS, GOOD):
        own = [row.row.id not in accepted for label, row in rows if label == kind]
        found[kind] = sum(own), len(own)
    return found


def measured(run: Path, count: int, seed: int, improvised: float = 0.0) -> dict[str, tuple[str, Counts, Counts]]:
    """Return for each kind the expression fitted on one half, and rows left out of the other: of the kind, good ones.

    The last kind is all of them at once.
    """
    pipeline, rows = judged(run, count, seed, improvised)
    fit, test = ([pair for place, pair in enumerate(rows) if place // 2 % 2 == half] for half in (0, 1))
    found = {}
    for kind in KINDS:
        text = "" if kind == DUPLICATE else expression(fit, [kind])
        told = left_out(pipeline, rows if kind == DUPLICATE else test, text, BITS if kind == DUPLICATE else None)
        found[kind] = text or f"pHash: {BITS} bits", told[kind], told[GOOD]
    text = expression(fit, [kind for kind in KINDS if kind != DUPLICATE])
    told = left_out(pipeline, test, text, BITS)
    bad = [told[kind] for kind in KINDS if kind != DUPLICATE]
    found["all"] = text, (sum(out for out, _ in bad), sum(of for _, of in bad)), told[GOOD]
    return found


def table(found: dict[str, tuple[str, Counts, Counts]]) -> str:
    """Return what was found as lines."""
    lines = [f"{'kind':20s}    found       of  false alarms"]
    for kind, (text, (out, of), (wrong, good)) in found.items():
        lines.append(f"{kind:20s} {out / max(1, of):8.1%} {of:8d} {wrong / max(1, good):8.1%} of {good}   {text}")
    return "\n".join(lines)


@pytest.mark.long
def test_finds_what_is_spoilt_and_leaves_the_rest(tmp_path: Path) -> None:
    found = measured(tmp_path, 1000, 3)
    told = table(found)
    sys.stdout.write(f"{told}\n")
    for kind in KINDS:
        _, (out, of), (wrong, good) = found[kind]
        assert out >= 0.95 * of - 1, told  # with 15 of a kind one more or less is chance
        assert wrong <= 0.05 * good, told
