"""Measured rows to a page of tables and plots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...uso_model.errors import UserError
from .claims import CLAIMS, Records, judged
from .plan import load_rows
from .results import CURVES, RESULTS, read_lines
from .statistics import interval

__all__ = ["write_report"]

BEGIN, END = "<!-- tables begin -->", "<!-- tables end -->"
"""Between these two lines of the page everything is written anew; what is around them is left alone."""

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


def write_report(results: Path, page: Path) -> None:
    """Write the tables between the marks of a page, and its plots beside it.

    Raises:
        UserError: no row has been measured yet.
    """
    lines = read_lines(results / RESULTS)
    if not lines:
        raise UserError(f"{results / RESULTS} holds no measured row; run `uso mini reproduce` first")
    records: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for line in lines:
        records[line["row"]][line["seed"]] = line
    tables = [_rows_table(records, mode) for mode in COLUMNS]
    parts = [*filter(None, tables), _claims_table(records), _runs_table(records)]
    curves = read_lines(results / CURVES)
    page.parent.mkdir(parents=True, exist_ok=True)
    if curves:
        name = f"{page.stem}_reward.png"
        _plot_curves(curves, page.with_name(name))
        parts.append(
            f"### The judge's curve beside the reward's\n\n![Judge and reward over the steps]({name})\n\n"
            "Joint pictures of other held-out cases than those of the tables. "
            "Lines are means of the seeds, shades their range.\n"
        )
    text = page.read_text(encoding="utf-8") if page.is_file() else f"{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n" + "\n".join(parts) + f"\n{END}{after}", encoding="utf-8")


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
    for claim in CLAIMS:
        verdict = judged(claim, records)
        gap = "" if verdict.gap is None else f"{claim.mode} {claim.number} {verdict.gap.text}"
        table.append((claim.says, claim.paper, gap, str(verdict.seeds), verdict.word))
    return f"### Claim by claim\n\n{_markdown(table)}"


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


def _plot_curves(curves: Sequence[dict[str, Any]], out: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows: dict[str, dict[int, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for point in curves:
        rows[point["row"]][point["step"]].append(point)
    shown = {"likeness": "the reward's descriptor", "style": "style judge, top 1", "resemblance": "identity judge"}
    figure, axes = pyplot.subplots(1, len(shown), figsize=(4 * len(shown) + 2, 3.2), layout="constrained")
    colours = matplotlib.color_sequences["tab20"]  # there are more rows than the ten that matplotlib turns through
    for axis, (number, title) in zip(axes, shown.items(), strict=True):
        axis.set_prop_cycle(color=colours)
        for row, points in rows.items():
            steps = sorted(points)
            seeds = [[point[number] for point in points[step]] for step in steps]
            (line,) = axis.plot(steps, [interval(values).mean for values in seeds], marker=".", label=row)
            lowest, highest = [min(values) for values in seeds], [max(values) for values in seeds]
            axis.fill_between(steps, lowest, highest, color=line.get_color(), alpha=0.08, linewidth=0)
        axis.set(title=title, xlabel="steps of the last stage")
    figure.legend(*axes[-1].get_legend_handles_labels(), loc="outside right center", fontsize=7)
    figure.savefig(out, dpi=110)
    pyplot.close(figure)
