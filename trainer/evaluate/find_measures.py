"""All measures of a scoring: those of the judges, those of the protocol, and those that were named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ...uso_model.errors import UserError
from ...uso_model.import_path import is_import_path, object_at
from ...uso_model.judging.judge import Judge
from .bench import read_bench
from .measures import Measure, standard_measures

__all__ = ["find_measures"]


def find_measures(
    bench_folder: Path, judges: Sequence[Judge], paths: Sequence[str] = (), device: torch.device | str = "cpu"
) -> list[Measure]:
    """Return the measures of judges, of the bench's protocol if it brings its own, and of import paths.

    What a protocol has under `measures`, and what an import path leads to, is a function of judges and device that
    returns measures.

    Raises:
        UserError: the bench is damaged, or an import path leads to no such function.
    """
    found = standard_measures(judges, device)
    bench, _, _ = read_bench(bench_folder)
    if is_import_path(bench.protocol):
        own = getattr(object_at(bench.protocol, "protocol", "build the bench again"), "measures", None)
        if own is not None:
            found += own(judges, device)
    for path in paths:
        make = object_at(path, "measures", "correct --measures")
        if not callable(make):
            raise UserError(f"{path} is no function of judges and device that returns measures; correct --measures")
        found += make(judges, device)
    return found
