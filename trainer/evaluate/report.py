"""The report of scored runs: JSON, CSV, Markdown, and a page that opens from disk."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
import yaml

from ...uso_model.writing import atomic_write
from .gallery import BenchFiles, bench_of, galleries
from .statistics import DRAWS, SEED
from .summary import Cell, Table, tables
from .together import ScoredRun, problems_told

__all__ = ["write_report"]

_HERE = Path(__file__).parent
_PUBLISHED, _PAGE = _HERE / "published.yaml", "report.html"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


def write_report(runs: Sequence[ScoredRun], out: Path, bench: Path | None = None) -> list[Path]:
    """Write the report of runs that belong together into a folder.

    Args:
        runs: see `read_together`.
        out: the folder.
        bench: where the bench is now; None: where it was when the first run was scored.

    Raises:
        UserError: the bench is not where it was moved to.
        OSError: a file cannot be written.
    """
    files = bench_of(runs[0].header, bench)
    found = tables(runs)
    parts = {
        "report.json": json.dumps(_as_json(runs, found, files), indent=1, ensure_ascii=False),
        "report.csv": _as_csv(found),
        "report.md": _as_markdown(runs, found, files),
        "report.html": _as_page(runs, found, files),
    }
    for name, text in parts.items():
        atomic_write(out / name, partial(_put, text))
    return [out / name for name in parts]


def _put(text: str, path: str) -> None:
    Path(path).write_bytes(text.encode("utf-8", "backslashreplace"))


def _pins(runs: Sequence[ScoredRun], files: BenchFiles | None) -> dict[str, Any]:
    """Return all that must be equal for the numbers to be equal."""
    header = runs[0].header
    return {
        "protocol": header.protocol,
        "bench": header.bench,
        "seeds": {run.name: run.header.model.get("noise") or "unknown" for run in runs},
        "settings": files.bench.model_dump(include={"width", "height", "steps", "guidance"}) if files else {},
        "counts": files.bench.model_dump(mode="json", include={"counts"})["counts"] if files else {},
        "notes": files.bench.notes if files else [],
        "judges": header.judges,
        "versions": header.versions,
        "intervals": f"95 %, {DRAWS} draws over subjects, styles and prompts, exact for shares, seed {SEED}",
        "models": {run.name: run.header.model for run in runs},
    }


def _published(found: Sequence[Table]) -> list[dict[str, Any]]:
    every = yaml.safe_load(_PUBLISHED.read_text(encoding="utf-8"))
    drawn = {table.task for table in found}
    return [part for part in every if drawn & set(part["tasks"])]


def _as_json(runs: Sequence[ScoredRun], found: Sequence[Table], files: BenchFiles | None) -> dict[str, Any]:
    return {
        "format": "uso-report-1",
        "pins": _pins(runs, files),
        "runs": [
            {"name": r.name, "expected": r.header.expected, "problems": r.header.problems, "folder": str(r.folder)}
            for r in runs
        ],
        "measures": [card.model_dump(mode="json") for card in runs[0].header.measures],
        "tasks": [
            {
                "task": table.task,
                "rows": [
                    {
                        "name": line.name,
                        "whose": line.whose,
                        "numbers": {
                            name: {**asdict(cell.interval), "above_oracle": cell.above_oracle}
                            for name, cell in line.cells.items()
                        },
                    }
                    for line in table.lines
                ],
            }
            for table in found
        ],
        "published_by_others": _published(found),
    }


def _as_csv(found: Sequence[Table]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["task", "name", "whose", "measure", "mean", "low", "high", "pictures", "above_oracle", "cannot"])
    for table in found:
        for line in table.lines:
            for card in table.measures:
                cell = line.cells.get(card.name)
                if cell is not None:
                    taken = cell.interval
                    name = f"'{line.name}" if line.name.startswith(_FORMULA) else line.name
                    numbers = ["" if x is None else f"{x:.6f}" for x in (taken.mean, taken.low, taken.high)]
                    first = [table.task, name, line.whose, card.name]
                    writer.writerow([*first, *numbers, taken.count, int(cell.above_oracle), card.cannot or ""])
    return text.getvalue()


def _as_markdown(runs: Sequence[ScoredRun], found: Sequence[Table], files: BenchFiles | None) -> str:
    return "\n".join(_markdown_lines(runs, found, files)) + "\n"


def _markdown_lines(runs: Sequence[ScoredRun], found: Sequence[Table], files: BenchFiles | None) -> Iterator[str]:
    pins = _pins(runs, files)
    yield f"# {_plain(pins['protocol'])}"
    yield ""
    yield from (f"- {_plain(run.name)}: {_plain(problems_told(run))}" for run in runs)
    yield from (f"- {_plain(note)}" for note in pins["notes"])
    yield from (f"- {_plain(card.name)}: {_plain(card.says)}" for card in runs[0].header.measures if card.says)
    for table in found:
        yield from ("", f"## {table.task}", "")
        yield _row(["", *(f"{card.name} ({card.better} is better)" for card in table.measures)])
        yield _row(["---"] * (len(table.measures) + 1))
        for line in table.lines:
            yield _row([line.name, *(told(line.cells.get(card.name)) for card in table.measures)])
        yield from (f"\n{card.name} {_plain(card.cannot)}" for card in table.measures if card.cannot)
    yield from ("", "## Numbers published by others", "", "Measured on other pictures and not comparable with these.")
    for part in _published(found):
        yield from ("", _plain(part["source"]), "", _row(["", *part["columns"]]))
        yield _row(["---"] * (len(part["columns"]) + 1))
        yield from (_row([name, *map(_number, numbers)]) for name, numbers in part["rows"].items())
    yield from ("", "## What these numbers hang on", "", "```json")
    yield json.dumps(pins, indent=1, ensure_ascii=True).replace("```", "'''")
    yield "```"


def told(cell: Cell | None) -> str:
    """Return a number as a table shows it."""
    if cell is None:
        return ""
    taken = cell.interval
    bounds = "bounds unknown" if taken.low is None else f"{_number(taken.low)} to {_number(taken.high)}"
    return f"{_number(taken.mean)} ({bounds}){' above real pictures' if cell.above_oracle else ''}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_plain(cell) for cell in cells)} |"


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is, on one line."""
    shown = " ".join(text.split())
    for letter in "\\`*_[]|#<>&":
        shown = shown.replace(letter, f"&#{ord(letter)};" if letter in "<>&|`" else f"\\{letter}")
    return shown


def _as_page(runs: Sequence[ScoredRun], found: Sequence[Table], files: BenchFiles | None) -> str:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"told": told, "number": _number}
    template = environment.from_string((_HERE / _PAGE).read_text(encoding="utf-8"))
    wrong = [
        (run.name, f"{score.row}_{score.sample}.png", score.problem)
        for run in runs
        for score in run.scores
        if score.problem and score.whose == "model"
    ]
    return template.render(
        pins=_pins(runs, files),
        runs=[(run.name, problems_told(run)) for run in runs],
        wrong=wrong[:100],
        more_wrong=max(0, len(wrong) - 100),
        measures=[card for card in runs[0].header.measures if card.says],
        tables=found,
        galleries=galleries(runs, files),
        published=_published(found),
    )
