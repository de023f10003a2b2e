"""Scoring a folder of drawings: every picture of the bench gets its line, whatever is wrong with it."""

from __future__ import annotations

import importlib.metadata
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...uso_model.errors import UserError
from ...uso_model.judging.judge import Card
from ...uso_model.untrusted import field, named, parse_json, read_text
from .baselines import real_pictures, shuffled_references
from .bench import Bench, Row, picture_name, read_bench, require_pictures
from .features import Features
from .looks import Look, Problem
from .measures import Measure, Values
from .run import RUN
from .run_pictures import pictures_folder
from .scores import Header, Score, Whose, scores_name, write_scores
from .shards import WHOLE, Shard
from .verdicts import with_verdicts
from .view import References, View

__all__ = ["Scored", "score_run"]

_PACKAGES = ("torch", "transformers", "open_clip_torch", "numpy", "pillow")


@dataclass
class Scored:
    """What a run of `uso eval score` has made."""

    path: Path
    header: Header
    scores: list[Score]


@dataclass(frozen=True)
class _Drawing:
    row: Row
    sample: int
    path: Path


def score_run(
    bench_folder: Path,
    run: Path,
    measures: Sequence[Measure],
    judges: Sequence[Card] = (),
    cache: Path | None = None,
    shard: Shard = WHOLE,
) -> Scored:
    """Score a run, or any folder of `<row>_<sample>.png`, and write its scores.

    Args:
        bench_folder: of the bench.
        run: folder of the run or of the pictures themselves.
        measures: what to take.
        judges: cards for the header.
        cache: folder of the features; None: `features` beside the run.
        shard: which share of the rows to score. The first has the real pictures' scores, too.

    Raises:
        UserError: the bench is damaged, one of its pictures was changed, or the run is of another bench.
        OSError: scores or features cannot be written.
    """
    bench, rows, digest = read_bench(bench_folder)
    if not run.is_dir():
        raise UserError(f"{named(run)} is no folder; draw the bench with `uso eval run`, or correct the path")
    _require_columns(measures)
    require_pictures(bench_folder, bench)
    model = _drawn_by(run, digest)
    features = Features(cache or run.absolute().parent / "features")
    folder = pictures_folder(run)
    drawings = [
        _Drawing(row, sample, folder / picture_name(row, sample))
        for row in rows[shard[0] - 1 :: shard[1]]
        for sample in range(row.samples)
    ]
    references = _references(bench_folder, bench, rows, measures, features)
    describers = list({describer.name: describer for measure in measures for describer in measure.needs}.values())
    looks = features.add_pictures([drawing.path for drawing in drawings], describers)
    for reader in {measure.texts.name: measure.texts for measure in measures if measure.texts}.values():
        features.add_texts((row.prompt for row in rows if row.prompt.strip()), reader)

    chance = shuffled_references(rows)
    scores = []
    problems: Counter[str] = Counter()
    for drawing, look in zip(drawings, looks, strict=True):
        score = _scored(drawing, look, bench, measures, references)
        if score.problem:
            problems[score.problem] += 1
        scores.append(score)
        if score.sha256 and drawing.row.id in chance:
            scores.append(_chance(score, chance[drawing.row.id], measures, references))
    if shard[0] == 1:
        scores += _oracle(rows, measures, references)
    header = Header(
        protocol=bench.protocol,
        bench=digest,
        model=model,
        judges=[json.loads(json.dumps(asdict(card))) for card in judges],
        measures=with_verdicts(measures, references),
        versions=_versions(),
        bench_folder=str(bench_folder.absolute()),
        shard=shard,
        expected=len(drawings),
        problems=dict(problems),
    )
    path = run / scores_name(shard)
    write_scores(path, header, scores)
    _remove_others(run, shard)
    return Scored(path, header, scores)


def _remove_others(run: Path, shard: Shard) -> None:
    """Remove the scores of another division into shards, which no longer belong to these."""
    ours = {scores_name((number + 1, shard[1])) for number in range(shard[1])}
    for path in run.glob("scores*.jsonl"):
        if path.name not in ours and re.fullmatch(r"scores(-[0-9]+-of-[0-9]+)?\.jsonl", path.name):
            path.unlink(missing_ok=True)


def _require_columns(measures: Sequence[Measure]) -> None:
    if not measures:
        raise UserError("no measure follows from what was given; name a judge with --judge, such as --judge clip=FILE")
    counts = Counter(column for measure in measures for column in measure.card.columns)
    twice = [column for column, count in counts.items() if count > 1]
    if twice:
        raise UserError(f"two judges give a column {twice[0]}; name each judge once")


def _drawn_by(run: Path, digest: str) -> dict[str, Any]:
    """Return what drew the pictures.

    Raises:
        UserError: they were drawn of another bench.
    """
    path = run / RUN
    if not path.is_file():
        return {"name": run.absolute().name}
    told = parse_json(read_text(path, "correct the path"), named(path))
    drawer = field(told, "drawer", dict, named(path))
    if field(told, "bench", str, named(path)) != digest:
        raise UserError(f"{named(run)} was drawn of another bench; name the bench that it was drawn of")
    return {"name": run.absolute().name, **drawer}


def _references(
    folder: Path, bench: Bench, rows: Sequence[Row], measures: Sequence[Measure], features: Features
) -> References:
    """Describe the pictures of a bench.

    Raises:
        UserError: one is not there or cannot be read, or a judge gives no numbers of it.
    """
    styles: dict[str, list[str]] = {}
    subjects: dict[str, list[str]] = {}
    for row in rows:
        for groups, name, keys in (
            (styles, row.style_name, (row.style, *row.against_style)),
            (subjects, row.subject, (row.content, *row.against_subject)),
        ):
            if name is not None:
                known = groups.setdefault(name, [])
                known += [key for key in dict.fromkeys(keys) if key is not None and key not in known]
    every = list(dict.fromkeys(key for row in rows for key in row.references))
    paths = [folder / bench.pictures[key].path for key in every]
    describers = list({describer.name: describer for measure in measures for describer in measure.needs}.values())
    hashes = {}
    for key, path, look in zip(every, paths, features.add_pictures(paths, describers), strict=True):
        if isinstance(look, str):
            raise UserError(f"{named(path)} of the bench is {look}; build the bench again, or copy it whole")
        for describer in describers:
            if not features.has(describer.name, look.sha256):
                raise UserError(f"{describer.name} gives no finite numbers of {named(path)}; use another file of it")
        hashes[key] = look.sha256
    return References(features, hashes, styles, subjects)


def _scored(
    drawing: _Drawing, look: Look | Problem, bench: Bench, measures: Sequence[Measure], references: References
) -> Score:
    row = drawing.row
    if isinstance(look, str):
        values: dict[str, float | None] = {column: None for measure in measures for column in measure.card.columns}
        return _line(row, drawing.sample, "model", values, problem=look)
    problem: Problem | None = look.problem
    if (look.width, look.height) != (bench.width, bench.height):
        problem = problem or "wrong size"
    if look.sha256 in references.features.not_finite:
        problem = "not finite"
    values = _values(View(row, look.sha256, references), measures)
    return _line(row, drawing.sample, "model", values, look.sha256, problem)


def _values(view: View, measures: Sequence[Measure], sees: Sequence[str] | None = None) -> dict[str, float | None]:
    """Return the numbers of one picture; of measures that see something else, or whose judge gave none, nothing."""
    found: dict[str, float | None] = {}
    for measure in measures:
        there = all(view.references.features.has(describer.name, view.sha256) for describer in measure.needs)
        asked = sees is None or measure.card.sees in sees
        taken: Values = measure.of(view) if there and asked else {}
        found |= {column: taken.get(column) for column in measure.card.columns}
    return found


def _chance(score: Score, row: Row, measures: Sequence[Measure], references: References) -> Score:
    values = _values(View(row, score.sha256 or "", references), measures, ("style", "subject", "copying", "leak"))
    return score.model_copy(update={"whose": "chance", "values": values, "problem": None})


_OF = {"subject": ("subject",), "style": ("style", "leak")}
"""What a real picture of a subject, or of a style, has numbers of; one of both has all."""


def _oracle(rows: Sequence[Row], measures: Sequence[Measure], references: References) -> Iterator[Score]:
    for real in real_pictures(rows):
        view = View(real.row, references.hashes[real.key], references)
        values = _values(view, measures, _OF.get(real.what))
        if any(value is not None for value in values.values()):
            yield _line(real.row, real.number, "oracle", values, view.sha256)


def _line(
    row: Row,
    sample: int,
    whose: Whose,
    values: dict[str, float | None],
    sha256: str | None = None,
    problem: Problem | None = None,
) -> Score:
    return Score(
        row=row.id,
        sample=sample,
        task=row.task,
        whose=whose,
        subject=row.subject,
        style_name=row.style_name,
        prompt_id=row.prompt_id,
        sha256=sha256,
        values={name: None if value is None else round(value, 7) for name, value in values.items()},
        problem=problem,
    )


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # what is not there was not used
            continue
    return found
