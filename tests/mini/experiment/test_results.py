"""Records of several plans in one file."""

from __future__ import annotations

from pathlib import Path

from comfyui_uso.mini.experiment.measure import MODES
from comfyui_uso.mini.experiment.report import write_report
from comfyui_uso.mini.experiment.results import RESULTS, append_line, of_plan, read_lines

NUMBERS = ("style", "likeness", "identity", "resemblance", "text", "leak", "copied")


def record(row: str, value: float, **plan: str) -> dict:
    numbers = {mode: dict.fromkeys(NUMBERS, value) for mode in ("true", *MODES)}
    rest = {"steps": {"triplet": 1}, "cases": 4, "seconds": {"training": 1, "measuring": 1}, "hardware": "an abacus"}
    return {"row": row, "seed": 1, **plan, **rest, "numbers": numbers}


def test_rows_of_other_plans_are_not_compared(tmp_path: Path) -> None:
    """A quick plan's rows beside a longer one's would pass for its rows, and decide claims."""
    old, quick, other = record("full", 0.111), record("full", 0.222, plan="a"), record("without_asr", 0.333, plan="a")
    for line in (old, quick, other, record("full", 0.444, plan="b")):
        append_line(tmp_path / RESULTS, line)
    write_report(tmp_path, tmp_path / "page.md", tmp_path / "tables.md")
    tables = (tmp_path / "tables.md").read_text(encoding="utf-8")
    assert "0.444" in tables and not any(text in tables for text in ("0.111", "0.222", "0.333", "without_asr"))


def test_the_first_versions_told_no_plan(tmp_path: Path) -> None:
    lines = [record("full", 0.1), record("full", 0.2, plan="a")]
    for line in lines:
        append_line(tmp_path / RESULTS, line)
    found = read_lines(tmp_path / RESULTS)
    assert of_plan(None, found) == lines[:1] and of_plan("a", found) == lines[1:] and of_plan("b", found) == []
