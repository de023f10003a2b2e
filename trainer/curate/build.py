"""The steps of a run, made of its recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ...uso_model.errors import UserError
from ...uso_model.untrusted import quoted
from .experts.open import open_expert
from .judging.look import Look
from .judging.measures import Measures
from .judging.vlm import vlm_step
from .making.caption import CaptionTarget
from .making.instructions import read_instructions
from .making.reference import DrawContent, DrawStyle, Maker
from .making.target import ReadTarget
from .pipeline import scores_of
from .recipe import REJECT, CurateConfig, MakeSettings
from .sources.source import Picture
from .steps import Choosy, Expert, Step
from .where import parse_where

__all__ = ["build_steps", "drawing_steps"]


def build_steps(config: CurateConfig, pictures: Mapping[str, Picture]) -> list[Step]:
    """Return the steps in an order in which each comes after those that it needs.

    Raises:
        UserError: an expert or a judge cannot be made, or an expression names a score that no step gives.
    """
    steps: list[Step] = [ReadTarget(pictures), *drawing_steps(config)]
    steps += _judges(config, [step.plan.name for step in steps[1:]])
    _check_scores(config, steps)
    return steps


def drawing_steps(config: CurateConfig) -> list[Step]:
    """Return the steps that experts do, which need neither the source nor judges.

    Raises:
        UserError: an expert cannot be made.
    """
    experts: dict[str, Expert] = {}

    def maker(make: MakeSettings, usual: str) -> Maker:
        if make.expert not in config.experts:
            raise UserError(f"there is no expert {quoted(make.expert)!r}, expected one of {', '.join(config.experts)}")
        if make.expert not in experts:
            experts[make.expert] = made = open_expert(make.expert, config.experts[make.expert])
            if isinstance(made, Choosy):
                made.check(_inputs(config, make.expert))
        return Maker(make.expert, experts[make.expert], read_instructions(make.instructions, usual))

    steps: list[Step] = []
    if config.style:
        steps.append(DrawStyle(maker(config.style, "stylise"), config.width, config.height, config.seed))
    contents = {
        "preserved": (config.content_kept, "destylise_kept"),
        "shifted": (config.content_shifted, "destylise_shifted"),
    }
    own = {layout: maker(make, usual) for layout, (make, usual) in contents.items() if make}
    for layout, name, count in (("preserved", "kept", config.kept), ("shifted", "shifted", config.shifted)):
        if own and layout not in own and count:
            raise UserError(
                f"nobody draws content references for the {count} rows of each picture that {name}={count} asks for; "
                f"name an expert as content_{name}, or set {name} to 0"
            )
    if own:
        steps.append(DrawContent(own, config.width, config.height, config.seed))
    return steps


def _inputs(config: CurateConfig, name: str) -> set[str]:
    """Return what an expert will be given besides a seed and a size."""
    found: set[str] = set()
    if config.style and config.style.expert == name:
        found |= {"style", "prompt"}
    for make in (config.content_kept, config.content_shifted):
        if make and make.expert == name:
            found |= {"content", "prompt"}
    return found


def _judges(config: CurateConfig, references: Sequence[str]) -> Iterator[Step]:
    """Yield the steps that score and caption, the cheap ones first."""
    yield Look(references)
    if references:
        yield Measures(references)
    if references and config.judges:
        from .judging.likeness import Likeness

        for name, path in config.judges.items():
            yield Likeness(name, path, references, config.folders, config.judge_device)
    if config.caption and config.shifted:
        yield CaptionTarget(config.caption)
    if references and config.vlm:
        yield vlm_step(config.vlm, references)


def _check_scores(config: CurateConfig, steps: Sequence[Step]) -> None:
    """Refuse two scores of one name, and expressions over scores that no step gives.

    Raises:
        UserError: there are such.
    """
    plans = [step.plan for step in steps]
    names = [name for plan in plans for name in plan.scores]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"two judges give the score {quoted(twice[0])}; take one of them out of the recipe's judges")
    known = scores_of(plans)
    for reason, text in config.reject.items():
        if REJECT.get(reason) != text:
            parse_where(text).check(known)
    if config.vlm:
        parse_where(config.vlm.settled).check(known)
