"""A page on which people choose between drawings of two models without knowing whose they are, and their votes."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import jinja2

from ...uso_model.errors import UserError
from ...uso_model.untrusted import field, named, parse_json, quoted, read_text
from ...uso_model.writing import atomic_write
from .gallery import BenchFiles, bench_of, changed, thumbnail
from .run_pictures import picture_path
from .scores import Score
from .together import ScoredRun

__all__ = ["KEY", "Vote", "read_votes", "write_pairs"]

KEY, PAGE = "key.json", "pairs.html"
_TEMPLATE = Path(__file__).parent / PAGE
_KEY_FORMAT, _VOTES_FORMAT = "uso-pairs-2", "uso-votes-1"
_SIDE = 448
_ANSWERS = {"left": 1.0, "right": 0.0, "equal": 0.5}


@dataclass(frozen=True)
class Vote:
    """What one person has said of one pair."""

    first: str
    """Name of a run."""
    second: str
    score: Score
    """Of the first's drawing: row and sample, subject and style."""
    wins: float
    """1 where the first was chosen, 0 where the second was, .5 for neither."""


def write_pairs(
    runs: Sequence[ScoredRun], out: Path, count: int = 60, seed: int = 0, bench: Path | None = None
) -> tuple[Path, int]:
    """Write the page and, beside it, the key that says whose drawings they are; return the page and its pairs.

    Pairs of models come alike often; which stands on the left is drawn by lot.

    Raises:
        UserError: there is no picture that two runs both have, two runs have the same pictures, one was changed since
            it was scored, or the bench is not where it was moved to.
        OSError: a file cannot be written.
    """
    rng = random.Random(seed)
    header = runs[0].header
    files = bench_of(header, bench)
    chosen = _chosen(runs, count, rng)
    if not chosen:
        raise UserError("the runs have no picture in common; draw the same bench with each")
    drawn = {run.name: _drawn(run) for run in runs}
    if len(set(drawn.values())) < len(runs):
        raise UserError("got two runs with the same pictures, expected runs that differ; name each run once")
    key: dict[str, Any] = {"format": _KEY_FORMAT, "bench": header.bench, "runs": drawn, "pairs": {}}
    shown = []
    for left, right, score in chosen:
        name = hashlib.sha256(f"{seed}/{left.name}/{right.name}/{score.row}/{score.sample}".encode()).hexdigest()[:16]
        key["pairs"][name] = {"left": left.name, "right": right.name, "row": score.row, "sample": score.sample}
        shown.append({"name": name, **_pictures(left, right, score, files)})
    text = json.dumps(key, indent=1)
    digest = hashlib.sha256(text.encode()).hexdigest()
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    page = environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(pairs=shown, key=digest)
    for name, content in ((KEY, text), (PAGE, page)):
        atomic_write(out / name, partial(_put, content))
    return out / PAGE, len(shown)


def read_votes(path: Path, key: Path, runs: Sequence[ScoredRun]) -> list[Vote]:
    """Return the votes of a file that the page has saved.

    Args:
        path: of the votes.
        key: file that was written with the page.
        runs: that the votes are about.

    Raises:
        UserError: a file is damaged or none of these, or belongs to another page or other runs.
    """
    text = read_text(key, "name the key that lies beside the page")
    told, votes = parse_json(text, named(key)), parse_json(read_text(path, "correct the path"), named(path))
    for values, source, form in ((told, key, _KEY_FORMAT), (votes, path, _VOTES_FORMAT)):
        if field(values, "format", str, named(source)) != form:
            raise UserError(f"{named(source)} is no file of {form}; name the files of `uso eval pairs` and its page")
    if field(votes, "key", str, named(path)) != hashlib.sha256(text.encode()).hexdigest():
        raise UserError(f"{named(path)} has votes of another page than that of {named(key)}; name its own key")
    if field(told, "bench", str, named(key)) != runs[0].header.bench:
        raise UserError(f"{named(key)} is of another bench than {named(runs[0].folder)}; name the runs of the page")
    # Names tell little: all that one drawer has drawn may be called alike.
    by_drawn = {_drawn(run): run for run in runs}
    drawn = field(told, "runs", dict, named(key))
    pairs = field(told, "pairs", dict, named(key))
    found = []
    for name, answer in field(votes, "votes", dict, named(path)).items():
        if name not in pairs or not isinstance(answer, str) or answer not in _ANSWERS:
            raise UserError(f"{named(path)} has a vote {quoted(name)} = {quoted(answer)}; save the votes again")
        left, right, row = (field(pairs[name], part, str, named(key)) for part in ("left", "right", "row"))
        sides = [by_drawn.get(str(drawn.get(side))) for side in (left, right)]
        if sides[0] is None or sides[1] is None:
            raise UserError(
                f"{named(key)} is of the pictures of {quoted(left)} and {quoted(right)}, and got other pictures; name "
                "the runs of the page"
            )
        sample = field(pairs[name], "sample", int, named(key))
        scores = [s for s in sides[0].scores if (s.row, s.sample, s.whose) == (row, sample, "model")]
        if scores:
            found.append(Vote(sides[0].name, sides[1].name, scores[0], _ANSWERS[answer]))
    if not found:
        raise UserError(f"{named(path)} has no votes of these runs; vote on the page and save again")
    return found


def _drawn(run: ScoredRun) -> str:
    """Return the hash of all pictures of a run; scoring them with other judges does not change it."""
    found = sorted((s.row, s.sample, s.sha256 or "") for s in run.scores if s.whose == "model")
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def _chosen(runs: Sequence[ScoredRun], count: int, rng: random.Random) -> list[tuple[ScoredRun, ScoredRun, Score]]:
    drawn = {
        run.name: {(s.row, s.sample): s for s in run.scores if s.whose == "model" and s.sha256 is not None}
        for run in runs
    }
    every = list(combinations(runs, 2))
    found = []
    for place, (a, b) in enumerate(every):
        both = [score for at, score in drawn[a.name].items() if at in drawn[b.name]]
        share = count // len(every) + (place < count % len(every))
        for score in rng.sample(both, min(share, len(both))):
            left, right = (a, b) if rng.random() < 0.5 else (b, a)
            found.append((left, right, score))
    rng.shuffle(found)
    return found


def _pictures(left: ScoredRun, right: ScoredRun, score: Score, files: BenchFiles | None) -> dict[str, Any]:
    row = files.rows.get(score.row) if files else None
    keys = [key for key in (row.content, row.style) if key is not None] if row else []
    return {
        "left": _shown(left, score),
        "right": _shown(right, score),
        "prompt": row.prompt if row else "",
        "references": [thumbnail(files.folder / files.bench.pictures[key].path) for key in keys] if files else [],
    }


def _shown(run: ScoredRun, score: Score) -> str | None:
    at = (score.row, score.sample, "model")
    path, own = picture_path(run.folder, score), next(s for s in run.scores if (s.row, s.sample, s.whose) == at)
    if changed(path, own):
        raise UserError(f"{named(path)} has changed since it was scored; score {named(run.folder)} again")
    return thumbnail(path, _SIDE)


def _put(text: str, path: str) -> None:
    Path(path).write_bytes(text.encode("utf-8", "backslashreplace"))
