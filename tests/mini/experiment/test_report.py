"""Statistics, claims and the page they are written to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from comfyui_uso.mini.experiment.claims import CLAIMS, judged
from comfyui_uso.mini.experiment.measure import MODES
from comfyui_uso.mini.experiment.plan import load_rows
from comfyui_uso.mini.experiment.report import BEGIN, COLUMNS, END, write_report
from comfyui_uso.mini.experiment.results import CURVES, RESULTS, append_line
from comfyui_uso.mini.experiment.statistics import difference, interval

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
    claim = CLAIMS[0]

    def verdict(better: list[float], worse: list[float]) -> str:
        rows = {
            name: {seed: record(name, seed, value) for seed, value in enumerate(values)}
            for name, values in ((claim.better, better), (claim.worse, worse))
        }
        return judged(claim, rows).word

    assert verdict([0.50, 0.51, 0.52], [0.40, 0.41, 0.42]) == "confirmed"
    assert verdict([0.40, 0.41, 0.42], [0.50, 0.51, 0.52]) == "contradicted"
    assert verdict([0.50, 0.40, 0.60], [0.45, 0.55, 0.45]) == "undecided"
    assert verdict([0.9], [0.1]) == "undecided"  # one seed decides nothing
    assert verdict([], [0.1]) == "not run"


def test_claims_name_rows_and_numbers_that_exist() -> None:
    load_rows([name for claim in CLAIMS for name in (claim.better, claim.worse)])
    assert all(claim.mode in MODES and claim.number in NUMBERS for claim in CLAIMS)
    assert all(number in NUMBERS for columns in COLUMNS.values() for number in columns)


def test_the_page_keeps_what_is_around_its_tables(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no measured row"):
        write_report(tmp_path, tmp_path / "page.md")
    for seed in (1, 2, 3):
        append_line(tmp_path / RESULTS, record("full", seed, 0.5 + seed / 100))
        append_line(tmp_path / RESULTS, record("without_asr", seed, 0.4 + seed / 100))
        for step in (10, 20):
            append_line(tmp_path / CURVES, {"row": "full", "seed": seed, "step": step, **dict.fromkeys(NUMBERS, 0.5)})
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold numbers\n{END}\nafter\n", encoding="utf-8")
    write_report(tmp_path, page)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n") and text.endswith("after\n") and "old numbers" not in text
    assert "0.520 \u00b1 0.025" in text and "confirmed" in text and "not run" in text and "an abacus" in text
    assert (tmp_path / "page_reward.png").stat().st_size > 5000
    write_report(tmp_path, page)
    assert page.read_text(encoding="utf-8") == text


def test_layouts_have_tables_of_the_rows_that_tell_them_apart(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    append_line(tmp_path / RESULTS, record("full", 1, 0.5))
    write_report(tmp_path, page)
    assert "layout kept" not in page.read_text(encoding="utf-8")
    later = record("without_asr", 1, 0.4)
    later["numbers"] |= {"true/preserved": dict.fromkeys(NUMBERS, 0.9), "joint/preserved": dict.fromkeys(NUMBERS, 0.3)}
    append_line(tmp_path / RESULTS, later)
    write_report(tmp_path, page)
    text = page.read_text(encoding="utf-8")
    _, _, table = text.partition("### Both references, layout kept")
    table = table.partition("###")[0]
    assert "`without_asr`" in table and "0.300" in table and "0.900" in table and "`full`" not in table
    assert "layout new" not in text


def test_records_are_lines_of_json(tmp_path: Path) -> None:
    append_line(tmp_path / "a.jsonl", {"a": 1})
    append_line(tmp_path / "a.jsonl", {"b": 2})
    assert [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()] == [{"a": 1}, {"b": 2}]


def test_the_readme_repeats_what_was_measured() -> None:
    root = Path(__file__).resolve().parents[4]
    rows = map(json.loads, (root / "docs" / "mini" / RESULTS).read_text(encoding="utf-8").splitlines())
    numbers = next(row for row in rows if row["row"] == "shipped")["numbers"]
    readme = (root / "README.md").read_text(encoding="utf-8")
    names = {"none": "none", "style": "style", "content": "subject", "both": "joint", "the true pictures": "true"}
    for name, mode in names.items():
        likeness, identity = (f"{numbers[mode][number]:.2f}".replace("0.", ".") for number in ("likeness", "identity"))
        assert f"| {name} | {numbers[mode]['style']:.0%} | {likeness} | {identity} |".replace("%", " %") in readme
