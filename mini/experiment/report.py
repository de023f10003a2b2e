"""Measured rows to tables: two short ones for the page that people read, all others and a plot for the archive."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...uso_model.errors import UserError
from .claims import Records, judged, load_claims
from .curves import plot_curves
from .plan import load_rows
from .results import CURVES, RESULTS, of_plan, read_lines
from .statistics import interval

__all__ = ["COLUMNS", "write_report"]

JOINT = ("style", "likeness", "identity", "resemblance", "leak", "copied")
COLUMNS = {
    "joint": JOINT,
    "joint/preserved": JOINT,
    "joint/shifted": JOINT,
    "style": ("style", "likeness", "text", "leak", "copied"),
    "subject": ("identity", "resemblance", "text"),
    "none": ("style", "identity"),
}
TITLES = {
    "joint": "Both references",
    "joint/preserved": "Both references, layout kept",
    "joint/shifted": "Both references, layout new",
    "style": "Style reference and prompt",
    "subject": "Subject reference",
    "none": "No reference: what chance looks like",
}
REFERENCES = {
    "none": "none",
    "style": "style",
    "subject": "subject",
    "joint": "both",
    "joint/preserved": "both, layout kept",
    "joint/shifted": "both, layout new",
    "true": "the true pictures",
}
"""Modes in the order of the short table, and what they are called there."""
SHORT = ("style", "likeness", "identity")
"""Numbers of the short table."""
SHIPPED = "shipped"
"""Row that the short table is about where it has been measured."""


def write_report(results: Path, page: Path, tables: Path, plan: str | None = None) -> None:
    """Write what was measured into the marked parts of two pages; what is around the marks is left alone.

    Rows of different plans cannot be compared, so those of one plan are shown.

    Args:
        results: folder of the measured rows and curves.
        page: gets a short table between the marks `results`, and the claims between the marks `claims`.
        tables: gets every table between the marks `tables`, and a plot of the curves beside it.
        plan: hash of the plan; None: the one that has measured last.

    Raises:
        UserError: no row of the plan has been measured, or a page lacks its marks.
    """
    lines = read_lines(results / RESULTS)
    if plan is None and lines:
        plan = lines[-1].get("plan")
    records: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for line in of_plan(plan, lines):
        records[line["row"]][line["seed"]] = line
    if not records:
        row = "measured row of that plan" if lines else "measured row"
        raise UserError(
            f"{results / RESULTS} holds no {row}; run `uso mini reproduce`, or name its folder as --results"
        )
    parts = [*filter(None, (_rows_table(records, mode) for mode in COLUMNS)), _runs_table(records)]
    if curves := of_plan(plan, read_lines(results / CURVES)):
        plot = tables.with_name("reward.png")
        tables.parent.mkdir(parents=True, exist_ok=True)
        plot_curves(curves, plot)
        parts.append(
            f"### The judge's curve beside the reward's\n\n![Judge and reward over the steps]({plot.name})\n\n"
            "Joint pictures of other held-out cases than those of the tables. "
            "Lines are means of the seeds, shades their range.\n"
        )
    _fill(page, {"results": _short_table(records), "claims": _claims_table(records)})
    _fill(tables, {"tables": "\n".join(parts)})


def _fill(page: Path, parts: dict[str, str]) -> None:
    """Write each part between its marks; a page that does not exist gets nothing but them."""
    marks = {name: (f"<!-- {name} begin -->", f"<!-- {name} end -->") for name in parts}
    empty = "\n".join(f"{begin}\n{end}\n" for begin, end in marks.values())
    text = page.read_text(encoding="utf-8") if page.is_file() else empty
    for name, part in parts.items():
        begin, end = marks[name]
        before, opened, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (opened and closed):
            raise UserError(f"{page} has no lines {begin} and {end}; add them where the tables should stand")
        text = f"{before}{begin}\n\n{part}\n{end}{after}"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(text, encoding="utf-8")


def _short_table(records: Records) -> str:
    """Return what the judges see of one row, for every choice of references."""
    name = SHIPPED if SHIPPED in records else next(iter(records))
    runs = [run["numbers"] for run in records[name].values()]
    table = [("references", "style named", "likeness", "identity")]
    for mode, called in REFERENCES.items():
        measured = [[numbers[mode][number] for number in SHORT] for numbers in runs if mode in numbers]
        if measured:
            style, likeness, identity = (sum(values) / len(values) for values in zip(*measured, strict=True))
            table.append((called, f"{style * 100:.0f} %", _short(likeness), _short(identity)))
    return _markdown(table)


def _short(number: float) -> str:
    """Return two digits without the zero before the point, as the papers print them."""
    return f"{number:.2f}".replace("0.", ".")


def _rows_table(records: Records, mode: str) -> str:
    """Return the table of a mode, empty where no row has been measured in it, as before layouts were told apart."""
    measured = {
        name: [run["numbers"] for run in runs.values() if mode in run["numbers"]] for name, runs in records.items()
    }
    measured = {name: runs for name, runs in measured.items() if runs}
    if not measured:
        return ""
    rows = load_rows(list(measured))
    table = [("row", *COLUMNS[mode], "seeds")]
    for name, runs in measured.items():
        cells = [interval([numbers[mode][number] for numbers in runs]).text for number in COLUMNS[mode]]
        table.append((f"`{name}`: {rows[name].says}", *cells, str(len(runs))))
    true = next(iter(measured.values()))[0]["/".join(("true", *mode.split("/")[1:]))]
    table.append(("the true pictures", *(f"{true[number]:.3f}" for number in COLUMNS[mode]), ""))
    return f"### {TITLES[mode]}\n\n{_markdown(table)}"


def _claims_table(records: Records) -> str:
    table: list[Sequence[str]] = [("claim", "in the paper", "here: difference", "seeds", "verdict")]
    for claim in load_claims():
        verdict = judged(claim, records)
        gap = "" if verdict.gap is None else f"{claim.mode} {claim.number} {verdict.gap.text}"
        table.append((claim.says, claim.paper, gap, str(verdict.seeds), verdict.word))
    return _markdown(table)


def _runs_table(records: Records) -> str:
    table: list[Sequence[str]] = [("row", "seed", "steps", "training, s", "pictures a mode", "hardware")]
    for name, runs in records.items():
        for seed, run in sorted(runs.items()):
            steps = ", ".join(f"{stage} {count}" for stage, count in run["steps"].items())
            seconds = str(run["seconds"]["training"])
            table.append((f"`{name}`", str(seed), steps, seconds, str(run["cases"]), run["hardware"]))
    note = "Seconds are those of all stages of a row after the base, also of those that it shares with other rows.\n"
    return f"### Runs\n\n{_markdown(table)}\n{note}"


def _markdown(table: Sequence[Sequence[str]]) -> str:
    head, *body = table
    lines = [head, ["---"] * len(head), *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
