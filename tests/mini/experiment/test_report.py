"""Statistics, claims and the pages they are written to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from comfyui_uso.mini.experiment.claims import judged, load_claims
from comfyui_uso.mini.experiment.measure import MODES
from comfyui_uso.mini.experiment.plan import load_rows
from comfyui_uso.mini.experiment.report import COLUMNS, write_report
from comfyui_uso.mini.experiment.results import CURVES, RESULTS, append_line
from comfyui_uso.mini.experiment.statistics import difference, interval
from comfyui_uso.uso_model.errors import UserError

ROOT = Path(__file__).resolve().parents[3]
NUMBERS = ("style", "likeness", "identity", "resemblance", "text", "leak", "copied")


def record(row: str, seed: int, value: float) -> dict:
    numbers = {mode: dict.fromkeys(NUMBERS, value) for mode in ("true", *MODES)}
    return {
        "row": row,
        "seed": seed,
        "steps": {"triplet": 3},
        "cases": 4,
        "seconds": {"training": 1, "measuring": 1},
        "hardware": "an abacus",
        "numbers": numbers,
    }


def test_interval_is_students() -> None:
    # Three values with deviation 1: t(0.975, 2) = 4.303, over the root of 3.
    mean, half = interval([1.0, 2.0, 3.0])
    assert mean == 2.0 and half == pytest.approx(4.303 / 3**0.5, abs=1e-3)
    assert interval([5.0]) == (5.0, None)
    assert difference([2.0, 3.0, 4.0], [1.0, 2.0, 3.0]) == (1.0, 0.0)


def test_a_claim_is_decided_by_the_whole_interval() -> None:
    claim = load_claims()[0]

    def verdict(better: list[float], worse: list[float]) -> str:
        rows = {
            name: {seed: record(name, seed, value) for seed, value in enumerate(values)}
            for name, values in ((claim.more, better), (claim.less, worse))
        }
        return judged(claim, rows).word

    assert verdict([0.50, 0.51, 0.52], [0.40, 0.41, 0.42]) == "confirmed"
    assert verdict([0.40, 0.41, 0.42], [0.50, 0.51, 0.52]) == "contradicted"
    assert verdict([0.50, 0.40, 0.60], [0.45, 0.55, 0.45]) == "undecided"
    assert verdict([0.9], [0.1]) == "undecided"  # one seed decides nothing
    assert verdict([], [0.1]) == "not run"


def test_claims_name_rows_and_numbers_that_exist() -> None:
    claims = load_claims()
    assert len(claims) >= 15
    load_rows([name for claim in claims for name in (claim.more, claim.less)])
    assert all(claim.mode in MODES and claim.number in NUMBERS for claim in claims)
    assert all(number in NUMBERS for columns in COLUMNS.values() for number in columns)


def test_pages_keep_what_is_around_their_tables(tmp_path: Path) -> None:
    page, tables = tmp_path / "page.md", tmp_path / "tables.md"
    with pytest.raises(UserError, match="no measured row"):
        write_report(tmp_path, page, tables)
    for seed in (1, 2, 3):
        append_line(tmp_path / RESULTS, record("full", seed, 0.5 + seed / 100))
        append_line(tmp_path / RESULTS, record("without_asr", seed, 0.4 + seed / 100))
        for step in (10, 20):
            append_line(tmp_path / CURVES, {"row": "full", "seed": seed, "step": step, **dict.fromkeys(NUMBERS, 0.5)})
    marked = {"results": "OLD TABLE", "claims": "OLD CLAIMS"}
    text = "between\n".join(f"<!-- {name} begin -->\n{old}\n<!-- {name} end -->\n" for name, old in marked.items())
    page.write_text(f"before\n{text}after\n", encoding="utf-8")
    write_report(tmp_path, page, tables)
    text, long = page.read_text(encoding="utf-8"), tables.read_text(encoding="utf-8")
    assert text.startswith("before\n") and text.endswith("after\n") and "between" in text and "OLD" not in text
    assert "| both | 52 % | .52 | .52 |" in text and "confirmed" in text and "not run" in text
    assert "0.520 \u00b1 0.025" in long and "an abacus" in long
    assert (tmp_path / "reward.png").stat().st_size > 5000
    write_report(tmp_path, page, tables)
    assert page.read_text(encoding="utf-8") == text and tables.read_text(encoding="utf-8") == long


def test_a_plan_can_be_named(tmp_path: Path) -> None:
    page, tables = tmp_path / "page.md", tmp_path / "tables.md"
    append_line(tmp_path / RESULTS, {**record("full", 1, 0.5), "plan": "aaaa"})
    append_line(tmp_path / RESULTS, {**record("without_asr", 1, 0.25), "plan": "bbbb"})
    write_report(tmp_path, page, tables, "aaaa")
    assert "`full`" in tables.read_text(encoding="utf-8") and "0.250" not in tables.read_text(encoding="utf-8")
    with pytest.raises(UserError, match="no measured row of that plan"):
        write_report(tmp_path, page, tables, "cccc")


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    append_line(tmp_path / RESULTS, record("full", 1, 0.5))
    page = tmp_path / "page.md"
    page.write_text("my notes\n", encoding="utf-8")
    with pytest.raises(UserError, match="no lines <!-- results begin -->"):
        write_report(tmp_path, page, tmp_path / "tables.md")
    assert page.read_text(encoding="utf-8") == "my notes\n"


def test_layouts_have_tables_of_the_rows_that_tell_them_apart(tmp_path: Path) -> None:
    page, tables = tmp_path / "page.md", tmp_path / "tables.md"
    append_line(tmp_path / RESULTS, record("full", 1, 0.5))
    write_report(tmp_path, page, tables)
    assert "layout kept" not in tables.read_text(encoding="utf-8")
    later = record("without_asr", 1, 0.4)
    later["numbers"] |= {"true/preserved": dict.fromkeys(NUMBERS, 0.9), "joint/preserved": dict.fromkeys(NUMBERS, 0.3)}
    append_line(tmp_path / RESULTS, later)
    write_report(tmp_path, page, tables)
    text = tables.read_text(encoding="utf-8")
    _, _, table = text.partition("### Both references, layout kept")
    table = table.partition("###")[0]
    assert "`without_asr`" in table and "0.300" in table and "0.900" in table and "`full`" not in table
    assert "layout new" not in text


def test_records_are_lines_of_json(tmp_path: Path) -> None:
    append_line(tmp_path / "a.jsonl", {"a": 1})
    append_line(tmp_path / "a.jsonl", {"b": 2})
    assert [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()] == [{"a": 1}, {"b": 2}]


def test_the_pages_in_the_repository_are_what_the_report_writes(tmp_path: Path) -> None:
    pages = {ROOT / "mini/README.md": tmp_path / "page.md", ROOT / "dev/tables.md": tmp_path / "tables.md"}
    for committed, copy in pages.items():
        copy.write_bytes(committed.read_bytes())
    write_report(ROOT / "dev/results", *pages.values())
    for committed, copy in pages.items():
        assert copy.read_bytes() == committed.read_bytes(), f"run `uso mini report` and commit {committed.name}"
