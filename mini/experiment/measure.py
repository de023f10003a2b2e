"""How well a trained USO-mini follows its references: its bench, drawn, scored and put in a table of modes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ...trainer.evaluate.bench import open_reference, read_bench
from ...trainer.evaluate.build import build_bench
from ...trainer.evaluate.run import draw_bench
from ...trainer.evaluate.score import score_run
from ...trainer.evaluate.scores import Whose
from ...trainer.evaluate.summary import numbers_of
from ..bench.cases import Case
from ..bench.drawer import Draw, MiniDrawer
from ..bench.measures import mini_measures
from ..bench.protocol import MiniBench
from ..bench.rows import MODES
from ..judges.protocol import Judges
from ..judges.vectors import as_judges
from ..world import LAYOUTS

__all__ = ["measure"]

CONTENT = ("subject", "joint")
"""Modes with a content reference."""


def measure(
    draw: Draw, judges: Judges, of: Sequence[Case], modes: Sequence[str] = MODES
) -> dict[str, dict[str, float]]:
    """Draw every case in every mode and return the judges' numbers.

    Returns:
        Mode to its numbers:

        - `style`: accuracy (top 1) of the style judge, among all styles of the world
        - `likeness`: mean cosine of the reward's descriptor to the style reference
        - `identity`: area under the ROC curve of identity verification: the probability that a picture scores higher
          with its content photo than another picture does with a stranger of its class
        - `resemblance`: mean cosine of the identity judge to the content photo
        - `text`: share of the target's class, colours and marking that the identity judge names
        - `leak`: share of pictures in which the judge sees the class of the style reference
        - `copied`: mean correlation of layout with the style reference

        Mode `true` has the same numbers of the renders themselves, which are an upper bound. Modes with a content
        reference, and `true`, also have numbers for each layout, such as `joint/preserved`: restyling a photo and
        showing its subject elsewhere are two tasks, and one number for both can hide a failure of one.
    """
    with TemporaryDirectory() as place:
        bench_folder, run = Path(place, "bench"), Path(place, "run")
        build_bench(MiniBench("measured", lambda count: of[:count], len(of), modes), None, bench_folder)
        bench, rows, _ = read_bench(bench_folder)
        draw_bench(bench_folder, run, MiniDrawer(draw, partial(open_reference, bench_folder, bench), {}))
        scored = score_run(bench_folder, run, mini_measures(as_judges(judges)))
    facts = {row.id: row.facts for row in rows}

    def numbers(mode: str, whose: Whose, layouts: Sequence[str]) -> dict[str, float]:
        chosen = [
            score
            for score in scored.scores
            if score.whose == whose and facts[score.row]["mode"] == mode and facts[score.row]["layout"] in layouts
        ]
        return {card.name: float(np.mean(numbers_of(chosen, card)[1])) for card in scored.header.measures}

    found: dict[str, dict[str, float]] = {}
    kinds: list[tuple[str, str, Whose]] = [("true", modes[0], "oracle"), *((mode, mode, "model") for mode in modes)]
    for name, mode, whose in kinds:
        found[name] = numbers(mode, whose, LAYOUTS)
        for layout in LAYOUTS if name in ("true", *CONTENT) else ():
            if any(fact["layout"] == layout for fact in facts.values()):
                found[f"{name}/{layout}"] = numbers(mode, whose, [layout])
    return found
