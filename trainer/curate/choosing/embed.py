"""Vectors of the accepted rows' targets: those that the run has kept, and of the others made now."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from ....uso_model.errors import UserError
from ....uso_model.untrusted import quoted
from ..judging.likeness import Likeness
from ..judging.vectors import Vectors, kept_vectors
from ..pictures import Pictures
from ..recipe import CurateConfig
from ..steps import TARGET
from .choose import Choice

__all__ = ["target_vectors"]

_AT_ONCE = 16


def target_vectors(
    run: Path, config: CurateConfig, names: Sequence[str], choice: Choice
) -> dict[str, dict[str, np.ndarray]]:
    """Return for each of these judges the vectors of all targets, by the SHA-256 of the picture.

    Raises:
        UserError: the run has no judge of that name, or its file is not there.
        OSError: the vectors cannot be written.
    """
    found = {}
    judges = [Likeness(name, path, (), config.folders, config.judge_device) for name, path in config.judges.items()]
    by_name = {judge.name: judge for judge in judges}
    targets = {one.pictures[TARGET].sha256: one.pictures[TARGET] for one in choice.rows}
    pictures = Pictures(run)
    for name in names:
        if name not in by_name:
            there = ", ".join(by_name) or "none"
            raise UserError(f"got --alike {quoted(name)!r}; the judges of the run are {there}")
        judge = by_name[name]
        kept = kept_vectors(run, judge.digest, targets)
        vectors = Vectors(run, judge.digest)
        missing = iter([key for key in targets if key not in kept])
        while keys := list(islice(missing, _AT_ONCE)):
            new = judge.described([pictures.open(targets[key]) for key in keys])
            for key, vector in zip(keys, new, strict=True):
                vectors.add(key, vector)
                kept[key] = vector
        found[name] = kept
    return found
