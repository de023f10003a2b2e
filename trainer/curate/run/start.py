"""A run made ready: recipe read, steps built, rows claimed, ledger read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ....uso_model.errors import UserError
from ....uso_model.untrusted import named, quoted
from ...evaluate.shards import WHOLE, Shard
from ...evaluate.short_names import ShortNames
from ...reading.values import load_config
from ..build import build_steps
from ..ledger import Ledger
from ..pipeline import Pipeline
from ..recipe import CurateConfig
from ..rows import Rows, rows_of, subjects_of
from ..run_folder import RUN, pipeline_of, read_run, write_run
from ..sources.open import require_apart, source_pictures
from ..sources.source import Picture
from ..steps import Checked, Step
from .driver import Counts, Driver
from .lease import Lease, living
from .local import run_local

__all__ = ["Prepared", "Start", "prepared", "started"]


@dataclass(frozen=True)
class Start:
    """All that a run needs."""

    config: CurateConfig
    steps: Sequence[Step]
    pipeline: Pipeline
    rows: Rows
    ledger: Ledger
    lease: Lease
    counts: Counts

    def drive(self, engine: str = "local", retry_failed: bool = False) -> Driver:
        """Do what is missing; see `run_local`."""
        parts = (self.pipeline, self.steps, self.rows, self.ledger, self.config)
        if engine == "ray":
            from .cluster import run_cluster

            return run_cluster(*parts, retry_failed=retry_failed, counts=self.counts, lost=self.lease.why_lost)
        return run_local(*parts, retry_failed=retry_failed, counts=self.counts, lost=self.lease.why_lost)


class Prepared(NamedTuple):
    """A recipe, read."""

    config: CurateConfig
    pictures: Mapping[str, Picture]
    steps: Sequence[Step]
    pipeline: Pipeline


def prepared(recipe: Path, settings: Sequence[str], names: ShortNames) -> Prepared:
    """Read a recipe and build its steps.

    Args:
        recipe: its file, or the name of one that a model family brings, with the family's prefix.
        settings: `name=value` that win over the recipe's.
        names: short names of experts and judges.

    Raises:
        UserError: recipe or source cannot be used.
    """
    config = load_config(CurateConfig, _recipe_file(recipe), texts=settings).spelt_out(names)
    pictures = source_pictures(config.source)
    steps = build_steps(config, pictures)
    return Prepared(config, pictures, steps, pipeline_of(config, [step.plan for step in steps]))


@contextmanager
def started(run: Path, recipe: Prepared, shard: Shard = WHOLE, first: int | None = None) -> Iterator[Start]:
    """Make a run ready and keep other drivers from its rows.

    Args:
        run: folder of the run.
        recipe: see `prepared`.
        shard: which rows.
        first: no more than so many of them.

    Raises:
        UserError: a step cannot do what it will be asked for, or another driver has these rows, or the
            run would be its own source.
        OSError: the folder cannot be written to.
    """
    config, pictures, steps, pipeline = recipe
    require_apart(run, config.source.path)
    for step in steps:
        if isinstance(step, Checked):
            step.check()
    subjects = subjects_of(config)
    rows = Rows(lambda: rows_of(pictures.values(), config, subjects), shard, first)
    total = len(pictures) * (config.kept + config.shifted)
    # Shares are equal but for chance.
    counts = Counts(min(total // shard[1], first or total))
    with Lease(run, shard, counts.told) as lease:
        _require_one_recipe(run, config, pipeline, shard)
        write_run(run, config, pipeline, rows_of(pictures.values(), config, subjects))
        yield Start(config, steps, pipeline, rows, Ledger(run), lease, counts)


def _require_one_recipe(run: Path, config: CurateConfig, pipeline: Pipeline, shard: Shard) -> None:
    """Refuse other settings than those by which the drivers of other shares work: `run.yaml` is one."""
    busy = [other for other in living(run) if other.shard != shard]
    if not busy or not (run / RUN).is_file():
        return
    known, plans = read_run(run)
    if (known, plans.told()) != (config, pipeline.told()):
        raise UserError(
            f"{named(run)} is worked on by process {busy[0].pid} on {quoted(busy[0].host)} with other settings than "
            "these; use the same recipe for all shares, or wait until that ends"
        )


def _recipe_file(asked: Path) -> Path:
    if asked.is_file() or asked.suffix or asked.name != str(asked):
        return asked  # one that is not there is named when it is read
    from ...family import declared_families

    name = str(asked)
    for family in declared_families():
        file = family.recipes / f"{name.removeprefix(family.prefix)}.yaml"
        if name.startswith(family.prefix) and file.is_file():
            return file
    return asked
