"""`uso curate status`, `plan` and `verify` on a run."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from comfyui_uso.cli import main
from comfyui_uso.trainer.curate.ledger import Journal, Ledger
from comfyui_uso.trainer.curate.pipeline import Pipeline
from comfyui_uso.trainer.curate.plan import forecast
from comfyui_uso.trainer.curate.run.driver import Counts
from comfyui_uso.trainer.curate.run.lease import Lease
from comfyui_uso.trainer.curate.run_folder import candidates, pipeline_of, read_run, write_run
from comfyui_uso.trainer.curate.status import redone
from comfyui_uso.trainer.curate.steps import StepPlan
from comfyui_uso.trainer.curate.where import parse_where

from .. import cheap


@pytest.fixture
def done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a run of 20 rows, some of whose steps failed."""
    monkeypatch.syspath_prepend(cheap.HERE)
    monkeypatch.setattr("comfyui_uso.trainer.cli.log_to_terminal", lambda: None)
    path = cheap.recipe(tmp_path, 20, fails=True)
    told = yaml.safe_load(path.read_text(encoding="utf-8"))
    told["experts"]["cheap"]["cost_per_hour"] = 3600
    told["attempts"] = 2
    path.write_text(yaml.safe_dump(told), encoding="utf-8")
    assert main(["curate", "run", str(tmp_path / "run"), str(path)]) == 0
    return tmp_path


def status(folder: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict:
    capsys.readouterr()
    assert main(["curate", "status", str(folder / "run"), *more, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_status_tells_rows_steps_yield_and_cost(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = status(done, capsys)
    ledger = Ledger(done / "run")
    assert sum(told["rows"].values()) == told["total"] == 20
    assert told["kept"]["share"] == told["rows"]["complete"] / 20
    assert told["kept"]["low"] < told["kept"]["share"] < told["kept"]["high"]
    assert told["retries"] == sum(one.attempt > 0 for one in ledger.entries()) > 0
    assert told["cost"] == pytest.approx(
        sum(one.seconds for one in ledger.entries() if one.step in ("style", "content"))
    )
    assert told["steps"]["target"]["states"] == {"done": 20} and told["steps"]["target"]["per_minute"] > 0
    assert told["drivers"] == [] and told["seconds_left"] == 0.0 and told["redone"] is None
    assert main(["curate", "status", str(done / "run")]) == 0
    assert "none at work" in capsys.readouterr().out


def test_status_tells_of_drivers_and_their_queues(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts = Counts()
    counts.waiting["style"], counts.running["style"] = 5, 2
    with Lease(done / "run", (1, 2), counts.told):
        told = status(done, capsys)
    assert told["steps"]["style"]["waiting"] == 5 and told["steps"]["style"]["running"] == 2
    assert "--shard 1/2" in told["drivers"][0]


def test_status_tells_what_other_settings_would_make_again(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = str(done / "recipe.yaml")
    assert status(done, capsys, recipe)["redone"] == {}
    assert status(done, capsys, recipe, "reject={dull: contrast_style<90}", "attempts=5")["redone"] == {}, "thresholds"
    again = status(done, capsys, recipe, "width=32")["redone"]
    assert again["style"] == again["content"] == 20 and "target" not in again
    assert again["look"] > 0, "it sees other pictures then"


def test_all_judges_that_changed_are_told_though_one_waits_for_the_other(done: Path) -> None:
    _, old = read_run(done / "run")
    changed = {plan.name for plan in old.plans if plan.waits} | {"look"}
    assert {"look", "measures"} <= changed
    new = Pipeline([replace(plan, settings={"changed": 1}) if plan.name in changed else plan for plan in old.plans])
    ledger = Ledger(done / "run")
    rows = [one.row for one in candidates(old, ledger)]
    known = Counter(name for one in candidates(old, ledger) for name in set(one.entries) & changed)
    assert redone(old, new, ledger, rows) == known and min(known["look"], known["measures"]) > 0


def test_damaged_pictures_are_moved_away_and_made_again(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = done / "run"
    assert main(["curate", "verify", str(run)]) == 0
    before = {path.name: path.read_bytes() for path in run.glob("pictures/*/*.png")}
    first, second = sorted(before)[:2]
    for name in (first, second):
        path = run / "pictures" / name[:2] / name
        path.write_bytes(before[name][:-1] + b"x") if name == first else path.unlink()
    capsys.readouterr()
    assert main(["curate", "verify", str(run)]) == 1
    out = capsys.readouterr().out
    assert (
        f"1 are damaged and moved to RUN/damaged, such as {first}" in out and f"1 are absent, such as {second}" in out
    )
    assert (run / "damaged" / first).is_file()
    assert main(["curate", "run", str(run), str(done / "recipe.yaml")]) == 0
    assert {path.name: path.read_bytes() for path in run.glob("pictures/*/*.png")} == before
    assert main(["curate", "verify", str(run)]) == 0


def test_plan_tells_what_the_wanted_number_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(cheap.HERE)
    recipe = str(cheap.recipe(tmp_path, 8, seconds=0.1))
    assert main(["curate", "plan", str(tmp_path / "run"), recipe, "--wanted", "1000", "--first", "6"]) == 0
    out = capsys.readouterr().out
    assert "yield 100% (29% to 100%) of 6 rows that are through; experts.cheap takes longest" in out, out
    expected, most, least = (line.split() for line in out.splitlines()[-3:])
    assert expected[3] == least[2] == "1,000" and most[2] == "3,400"
    assert float(expected[4]) > 1000 * 2 * 0.1 / 3600 * 0.95, "two pictures a row, one worker"
    assert float(most[3]) == pytest.approx(3.4 * float(expected[4]), rel=0.1)
    assert cheap.calls(tmp_path) == 12
    assert main(["curate", "run", str(tmp_path / "run"), recipe]) == 0
    assert cheap.calls(tmp_path) == 16, "what was measured counts"
    cheap.whole(tmp_path, 8)


def test_a_list_that_is_absent_leaves_a_run_as_it_was(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (done / "run/run.yaml").read_bytes()
    for run in ("run", "other"):
        assert main(["curate", "run", str(done / run), str(done / "recipe.yaml"), "style.subjects=absent.txt"]) == 2
        assert "absent.txt" in capsys.readouterr().err
    assert (done / "run/run.yaml").read_bytes() == before and not (done / "other").exists()


def test_what_other_settings_made_is_no_part_of_the_forecast(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(cheap.HERE)
    recipe = cheap.recipe(tmp_path, 6, fails=True)
    run, costs = str(tmp_path / "run"), "experts.cheap.cost_per_hour=3600"

    def planned(*settings: str) -> None:
        assert main(["curate", "plan", run, str(recipe), "--first", "6", costs, *settings]) == 0

    planned("seed=1")
    of_first = sum(one.seconds for one in Ledger(tmp_path / "run").lines() if one.step in cheap.DRAWN)
    old = {one.id for one in Ledger(tmp_path / "run").lines()}
    planned()
    config, pipeline = read_run(tmp_path / "run")
    ledger = Ledger(tmp_path / "run")
    rows = list(candidates(pipeline, ledger))
    lines = [one for row in rows for one in pipeline.lines(row.row, ledger)]
    made = [one for one in ledger.lines() if one.id not in old]
    shared = [one for one in ledger.lines() if one.step == "target"]
    assert sorted(one.id for one in lines) == sorted(one.id for one in [*made, *shared]), "failed attempts count"
    assert any(one.state == "failed" for one in lines)
    found = forecast(rows, 1000, parse_where(""), config, pipeline, ledger, {})
    of_second = sum(one.seconds for one in made if one.step in cheap.DRAWN)
    assert found is not None and found.best is not None
    assert found.best.cost / found.best.candidates == pytest.approx(of_second / 6)
    told = status(tmp_path, capsys)
    assert sum(told["steps"]["style"]["states"].values()) == sum(one.step == "style" for one in made)
    assert told["cost"] == pytest.approx(of_first + of_second), "all was paid for"


def test_lines_that_are_none_are_counted_and_harm_nothing(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = status(done, capsys)
    foreign = Journal(done / "run").path
    line = next(Ledger(done / "run").entries()).line()
    lines = [
        b"\x00\xff\n",
        b"{}\n",
        b"[" * 9999 + b"\n",
        line.replace(b'"time": 1', b'"time": "1"'),
        line.replace(b'"state": "done"', b'"state": "fine"'),
        line.replace(b'"attempt": 0', b'"attempt": NaN'),
        line.replace(b'"sha256', b'"x').replace(b'"target": ["', b'"target": ["../'),
        line[: len(line) // 2],
    ]
    foreign.write_bytes(b"".join(lines))
    after = status(done, capsys)
    assert len(after["damaged_lines"]) == 7, after["damaged_lines"]
    assert after["rows"] == before["rows"]


DAMAGES = {
    "a score that is no float": ("look", "values", {"contrast_target": 10**400}),
    "an infinite cost": ("look", "notes", {"cost": math.inf}),
    "a cost that is no float": ("style", "notes", {"cost": 10**400}),
    "a style without a picture": ("style", "pictures", {}),
    "a picture of another name": ("style", "pictures", {"content": ["0" * 64, 1]}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_line_with_a_value_that_is_none_is_named_and_its_step_is_done_again(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(cheap.HERE)
    monkeypatch.setattr("comfyui_uso.trainer.cli.log_to_terminal", lambda: None)
    path, (step, field, value) = cheap.recipe(tmp_path, 2), DAMAGES[damage]
    assert main(["curate", "run", str(tmp_path / "run"), str(path)]) == 0
    (journal,) = (tmp_path / "run/journal").iterdir()
    lines = [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]
    next(line for line in lines if line["step"] == step)[field] = value
    text = "".join(json.dumps(line) + "\n" for line in lines)
    journal.write_text(text.replace("Infinity", "1e999"), encoding="utf-8")
    told = status(tmp_path, capsys)
    assert told["rows"] == {"complete": 1, "open": 1} and len(told["damaged_lines"]) == 1
    assert main(["curate", "accept", str(tmp_path / "run")]) == 0
    assert main(["curate", "run", str(tmp_path / "run"), str(path)]) == 0
    assert status(tmp_path, capsys)["rows"] == {"complete": 2}


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", []), ("steps", 3), ("by_layout", 3), ("settings", 3), ("needs", 3), ("workers", "x"), ("name", None)],
)
def test_a_damaged_run_yaml_is_said(
    name: str, value: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run/run.yaml"
    config = cheap.config(tmp_path, 2)
    write_run(path.parent, config, pipeline_of(config, [StepPlan("target")]), [])
    told = yaml.safe_load(path.read_text(encoding="utf-8"))
    (told if name == "steps" else told["steps"][0])[name] = value
    path.write_text(yaml.safe_dump(told), encoding="utf-8")
    for command in ("status", "accept"):
        assert main(["curate", command, str(path.parent)]) == 2
        assert "run.yaml is damaged" in capsys.readouterr().err
    told = {**told, "steps": [{"name": "target"}], "rows": -5}
    path.write_text(yaml.safe_dump(told), encoding="utf-8")
    assert status(tmp_path, capsys)["total"] is None
