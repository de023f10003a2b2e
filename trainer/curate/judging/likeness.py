"""Likeness by embeddings: a step for each judge, so that one more judge has no other look again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ....uso_model.import_path import is_import_path
from ....uso_model.judging.judge import Card, Judge, described
from ....uso_model.judging.registry import JUDGES, find_judge, judge_file, load_judge
from ....uso_model.untrusted import quoted
from ....uso_model.writing import sha256_of
from ...encoders.judges import compares_with
from ...encoders.lazy import Lazy
from ...evaluate.features import digest_of
from ..pictures import Pictures
from ..steps import CONTENT, LIKENESS, STYLE, TARGET, Result, StepPlan, Task
from .vectors import Vectors

__all__ = ["Likeness", "score_name"]


def score_name(card: Card) -> str:
    """Return a judge's name as it stands in expressions: letters, digits, underscores and dots."""
    name = re.sub(r"[^A-Za-z0-9_.]", "_", card.name)
    return name if re.match(r"[A-Za-z_]", name) else f"_{name}"


class Likeness:
    """Embeds the pictures of a row by one judge, and compares the references with the target.

    A judge named J that sees style gives `J`, the cosine of target and style reference, and `J_content`, that of target
    and content reference; one that sees subjects gives `J` of the content reference, and `J_style`.
    """

    def __init__(
        self, judge: str, path: Path | None, references: Sequence[str], folders: Sequence[Path] = (), device: str = ""
    ):
        """Find a judge's file; its weights are read at the first call.

        Args:
            judge: name, or import path.
            path: its file; None: look in `folders`.
            references: names of those that a row has.
            folders: of weights.
            device: where it runs; empty: on the GPU, if there is one.

        Raises:
            UserError: no such judge, its file is missing or another model, or it sees neither style nor subjects.
        """
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        file = None if is_import_path(judge) and path is None else path
        if not is_import_path(judge):
            file = find_judge(judge, folders) if path is None else judge_file(judge, path)
            card = replace(JUDGES[judge].card, sha256=sha256_of(file))
        self._judge: Lazy[Judge] = Lazy(lambda: load_judge(judge, file, device=self._device), f"the judge {judge}")
        if is_import_path(judge):
            card = self._judge.get().card
        self.name = score_name(card)
        self.digest = digest_of(card, "whole")
        own = STYLE if compares_with(card) == "style" else CONTENT
        self._scores = {name: self.name if name == own else f"{self.name}_{name}" for name in references}
        self._vectors: Vectors | None = None
        self.plan = StepPlan(
            f"{LIKENESS}_{self.name}",
            (TARGET, *references),
            settings={"judge": self.digest, "own": own, "version": 1},
            scores=tuple(self._scores.values()),
            waits=True,
        )

    def __call__(self, task: Task, pictures: Pictures) -> Result:
        """Do it; see `Step`."""
        if self._vectors is None:
            self._vectors = Vectors(pictures.folder.parent, self.digest)
        found = self.embedded(task, pictures, self._vectors)
        if not all(np.isfinite(vector).all() for vector in found.values()):
            return Result(state="unjudged", reason=f"the judge {quoted(self.name)} gave numbers that are none")
        values = {
            score: round(float(found[TARGET].astype(np.float64) @ found[name]), 5)
            for name, score in self._scores.items()
        }
        return Result(values=values)

    def embedded(self, task: Task, pictures: Pictures, vectors: Vectors) -> dict[str, np.ndarray]:
        """Return the unit vector of each picture of a row; those that were not there are added to `vectors`."""
        keys = {name: task.inputs[name].pictures[name].sha256 for name in self.plan.needs}
        found = {key: vectors.get(key) for key in keys.values()}
        new = {key: name for name, key in keys.items() if found[key] is None}
        if new:
            described = self.described([task.open(pictures, name) for name in new.values()])
            for key, vector in zip(new, described, strict=True):
                found[key] = vector
                vectors.add(key, vector)
        return {name: vector for name, key in keys.items() if (vector := found[key]) is not None}

    def described(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """Return the unit vectors `n D` of pictures."""
        with torch.inference_mode():
            return described(self._judge.get(), pictures, self._device).numpy()
