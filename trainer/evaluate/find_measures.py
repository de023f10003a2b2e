"""All measures of a scoring: those of the judges, those of the protocol, and those that were named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ...uso_model.errors import UserError
from ...uso_model.import_path import is_import_path, object_at
from ...uso_model.judging.judge import Judge
from .bench import read_bench
from .measures import Measure, standard_measures

__all__ = ["find_measures", "usual_judges"]


def usual_judges(bench_folder: Path, device: torch.device | str = "cpu") -> list[Judge]:
    """Return the judges that a bench's protocol brings with it, none where it brings none.

    Raises:
        UserError: the bench is damaged, or its protocol is gone.
    """
    make = _brought(bench_folder, "judges")
    return [] if make is None else make(device)


def find_measures(
    bench_folder: Path, judges: Sequence[Judge], paths: Sequence[str] = (), device: torch.device | str = "cpu"
) -> list[Measure]:
    """Return the measures of judges, of the bench's protocol if it brings its own, and of import paths.

    What a protocol has under `measures`, and what an import path leads to, is a function of judges and device that
    returns measures. Judges that a protocol has measures of have no others.

    Raises:
        UserError: the bench is damaged, or an import path leads to no such function.
    """
    make = _brought(bench_folder, "measures")
    own: list[Measure] = [] if make is None else make(judges, device)
    used = {measure.card.judge for measure in own}
    found = [*own, *standard_measures([judge for judge in judges if judge.card.name not in used], device)]
    for path in paths:
        make = object_at(path, "measures", "correct --measures")
        if not callable(make):
            raise UserError(f"{path} is no function of judges and device that returns measures; correct --measures")
        found += make(judges, device)
    return found


def _brought(bench_folder: Path, what: str) -> Any:
    """Return what the protocol of a bench has under a name, None for nothing."""
    bench, _, _ = read_bench(bench_folder)
    if not is_import_path(bench.protocol):
        return None
    return getattr(object_at(bench.protocol, "protocol", "build the bench again"), what, None)
