"""The plan of an experiment, read from YAML: sizes, changed settings of every stage, and rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ...trainer.reading.errors import Origin
from ...trainer.reading.values import Settings, load_config, read_yaml, validated
from ...uso_model.errors import UserError
from ..stage_names import RowStage, StageName
from ..world import IMPROVISED_SHARE

__all__ = ["PLANS", "ExperimentPlan", "ExperimentRow", "load_plan", "load_rows"]

PLANS = Path(__file__).parent / "plans"
"""Folder of the plans and of the rows."""

ROWS = "rows"
"""Name of the file of the rows among the plans."""


class ExperimentRow(Settings):
    """One run of the recipe."""

    says: str = Field(description="what differs, in words")
    skip: list[RowStage] = Field([], description="stages that are left out")
    settings: dict[RowStage, dict[str, Any]] = Field({}, description="for each stage dotted settings and their values")


class ExperimentPlan(Settings):
    """Sizes of an experiment."""

    pictures: int = Field(gt=0, description="captioned pictures in each of the two folders")
    triplets: int = Field(gt=0, description="triplets in each of the two folders")
    improvised: float = Field(IMPROVISED_SHARE, ge=0, le=1, description="share of triplets in a style without a name")
    settings: dict[StageName, dict[str, Any]] = Field({}, description="for each stage what differs from its recipe")
    manifests: dict[RowStage, list[Literal["manifest", "identity", "singles"]]] = Field(
        {}, description="for each stage that reads others than its recipe the names of its manifests"
    )
    cases: int = Field(gt=0, description="held-out triplets that every row draws, in every mode")
    sample_steps: int = Field(gt=0, description="Euler steps of the drawn pictures")
    cfg: float = Field(description="classifier-free guidance of the drawn pictures")
    rows: list[str] = Field(min_length=1, description="rows that are run where none are named")
    seeds: list[int] = Field(min_length=1, description="seeds of every row where none are named")


def load_plan(name: str) -> ExperimentPlan:
    """Read a plan by its name or path.

    Raises:
        UserError: there is no plan of that name, or a setting is wrong.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else PLANS / f"{name}.yaml"
    if not path.is_file() or path.stem == ROWS:
        known = sorted(p.stem for p in PLANS.glob("*.yaml") if p.stem != ROWS)
        raise UserError(f"there is no plan {name!r}; use one of {', '.join(known)}, or the path of a YAML file")
    return load_config(ExperimentPlan, path)


def load_rows(names: list[str]) -> dict[str, ExperimentRow]:
    """Read rows by their names.

    Raises:
        UserError: a name is unknown or a setting of a row is wrong.
    """
    file = PLANS / f"{ROWS}.yaml"
    known = read_yaml(file)
    if unknown := [name for name in names if name not in known]:
        raise UserError(f"there is no row {', '.join(unknown)}; use some of {', '.join(known)}")
    return {name: validated(ExperimentRow, known[name], Origin(file.name, file)) for name in names}
