"""The judges of a recipe: known, with a file of their kind, with a gradient and references where they reward."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...uso_model.errors import UserError
from ...uso_model.import_path import is_import_path
from ...uso_model.judging import JUDGES, load_judge
from ...uso_model.judging.registry import judge_file
from ..data.manifest import Row
from ..encoders.judges import compares_with, lacking, named_judges, require_gradient
from ..family import family_of
from ..recipe import DESCRIPTOR, Against, TrainConfig, label

__all__ = ["examine_judges"]


def examine_judges(
    config: TrainConfig, rows: Sequence[Row], problems: list[str], notes: list[str], encoders: bool = True
) -> None:
    """Add what is wrong with a recipe's judges to the problems, and to the notes what may be as intended.

    Args:
        config: the recipe.
        rows: those that would be trained on.
        problems: to be added to.
        notes: to be added to.
        encoders: look at the judges' files too; False where others are given.
    """
    named = named_judges(config)
    rewards = {} if config.reward is None else config.reward.judges
    for name, path in named.items():
        if encoders and (path is None or path.exists()):  # the others are told with the other absent files
            try:
                _examine(config, name, path, name in rewards)
            except UserError as error:
                problems.append(f"{_setting(config, name)}: {error}")
    for name, asked in rewards.items():
        against = asked.against or _against(config, name)
        having = sum(1 for row in rows if (row.style if against == "style" else row.contents))
        if against == "content" and config.stage != "triplet":
            left_out = f"which stage {config.stage} leaves out"
            problems.append(f"reward.judges: {label(name)} compares with the content reference, {left_out}")
        elif against is not None and rows and not having:
            problems.append(
                f"reward.judges: {label(name)} compares with the {against} reference, and none of {len(rows)} rows has "
                "one; take another judge, or other data"
            )
    family_judges = getattr(family_of(config), "judges", {})
    witnesses = config.monitor.witnesses
    others = {*named, *family_judges} if witnesses is None else set(witnesses)
    if rewards and not (others - rewards.keys() and config.monitor.samples_every):
        judges = ", ".join(map(label, rewards))
        notes.append(
            f"no judge but the reward itself ({judges}) will look at samples: name the file of another one, such as "
            "models.judges.style_encoder, and set monitor.samples_every"
        )


def _examine(config: TrainConfig, name: str, path: Path | None, rewards: bool) -> None:
    """Raise UserError where a judge is not what it should be."""
    if is_import_path(name):
        judge = load_judge(name, path)
        compares_with(judge.card)
        if rewards:
            require_gradient(judge, name)
        return
    if path is None:
        if name not in getattr(family_of(config), "judges", {}):
            raise UserError(lacking(name))
        return
    judge_file(name, path)


def _against(config: TrainConfig, name: str) -> Against | None:
    """Return what a judge compares with, None where that is known when it is read."""
    if name in JUDGES:
        return compares_with(JUDGES[name].card)
    return getattr(family_of(config), "judges", {}).get(name)


def _setting(config: TrainConfig, name: str) -> str:
    """Return the setting at which a judge is named."""
    if name == DESCRIPTOR and config.models.csd is not None:
        return "models.csd"
    if name in config.models.judges:
        return f"models.judges.{name}"
    return "reward.judges" if config.reward is not None and name in config.reward.judges else "monitor.witnesses"
