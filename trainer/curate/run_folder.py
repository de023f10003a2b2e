"""`run.yaml`: what a run is made with, so that tables, reviews and exports need neither source nor experts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from ...uso_model.errors import UserError
from ...uso_model.untrusted import named
from ...uso_model.writing import atomic_write
from ..reading.values import read_yaml
from .ledger import Ledger
from .listing import read_listing, write_listing
from .pipeline import Pipeline, Progress
from .recipe import CurateConfig
from .steps import TARGET, Row, StepPlan

__all__ = ["RUN", "candidates", "pipeline_of", "read_run", "rows_of_run", "write_run"]

RUN = "run.yaml"


def pipeline_of(config: CurateConfig, plans: list[StepPlan]) -> Pipeline:
    """Return the pipeline of these settings."""
    return Pipeline(plans, config.reject, config.vlm.settled if config.vlm else "", config.attempts)


def write_run(run: Path, config: CurateConfig, pipeline: Pipeline, rows: Iterable[Row]) -> None:
    """Write `rows.jsonl`, see `listing`, and `run.yaml`, each whole or not at all; `rows` are those of the source."""
    told = {"rows": write_listing(run, rows), "settings": config.model_dump(mode="json"), "steps": pipeline.told()}
    text = yaml.safe_dump(told, sort_keys=False, allow_unicode=True)
    atomic_write(run / RUN, lambda temporary: Path(temporary).write_text(text, encoding="utf-8"))


def read_run(run: Path) -> tuple[CurateConfig, Pipeline]:
    """Return settings and steps of a run.

    Raises:
        UserError: the folder holds no run.
    """
    if not (run / RUN).is_file():
        raise UserError(f"{named(run)} holds no {RUN}; name the folder of a run of `uso curate run`")
    told = read_yaml(run / RUN)
    try:
        config = CurateConfig.model_validate(told["settings"])
        plans = [StepPlan.read(step) for step in told["steps"]]
        if not plans or plans[0].name != TARGET:
            raise ValueError("every step needs a target")
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{named(run / RUN)} is damaged; run `uso curate run` with the recipe once more") from error
    return config, pipeline_of(config, plans)


def rows_of_run(run: Path) -> int | None:
    """Return how many rows the source of a run has had, where that is known.

    Raises:
        UserError: `run.yaml` is damaged.
    """
    found = read_yaml(run / RUN).get("rows")
    return found if type(found) is int and found >= 0 else None


def candidates(pipeline: Pipeline, ledger: Ledger) -> Iterator[Progress]:
    """Yield the rows that the last start has seen and some step has touched, in the order of their pictures' keys.

    Raises:
        UserError: the listing of the rows is absent or damaged.
    """
    for row in sorted(read_listing(ledger.run), key=lambda row: (row.key, row.layout, row.number)):
        progress = pipeline.progress(row, ledger)
        if progress.entries:
            yield progress
