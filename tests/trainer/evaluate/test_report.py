"""Reports: the numbers, their marks, and that nothing of a stranger's text is run or breaks a table."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from comfyui_uso.cli import main
from comfyui_uso.trainer.evaluate.drawers.drawer import NOISE
from comfyui_uso.trainer.evaluate.report import write_report
from comfyui_uso.trainer.evaluate.scores import Header, MeasureCard, Score, read_scores, write_scores
from comfyui_uso.trainer.evaluate.summary import tables, units_of
from comfyui_uso.trainer.evaluate.together import read_together
from comfyui_uso.uso_model.errors import UserError
from PIL import Image

from .judged import draw, write_judged_bench

EVIL = "<script>alert(1)</script>|`=x`</td>{{ 7*191 }}"
FAKES = ("--judge", f"{__package__}.judged:clip_judge", "--judge", f"{__package__}.judged:csd_judge")


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Return two scored runs, the second one worse, of a bench with a hostile prompt."""
    bench = write_judged_bench(tmp_path / "bench", (f"a {{}} {EVIL.replace('{', '{{').replace('}', '}}')}", "a {}"))
    found = [draw(bench, tmp_path / name, noise) for name, noise in (("fine", 20), ("noisy", 90))]
    for run in found:
        assert main(["eval", "score", str(bench), str(run), *FAKES]) == 0
    return found


def test_a_report_has_every_row_and_every_file(runs: list[Path], capsys):
    assert main(["eval", "report", *map(str, runs)]) == 0
    folder = runs[0] / "report"
    assert sorted(path.name for path in folder.iterdir()) == [f"report.{end}" for end in ("csv", "html", "json", "md")]
    told = json.loads((folder / "report.json").read_text())
    assert [part["task"] for part in told["tasks"]] == ["subject", "style", "joint_kept"]
    names = [row["name"] for row in told["tasks"][0]["rows"]]
    assert names == ["real pictures", "shuffled references", "fine", "noisy"]
    _, scores = read_scores(runs[0])
    drawn = [s.values["csd"] for s in scores if s.whose == "model" and s.task == "style"]
    number = told["tasks"][1]["rows"][2]["numbers"]["csd"]
    assert number["mean"] == pytest.approx(sum(drawn) / len(drawn)) and number["low"] < number["mean"] < number["high"]
    assert told["pins"]["judges"][0]["name"] == "clip" and "torch" in told["pins"]["versions"]
    assert told["pins"]["settings"]["width"] == 32
    rows = list(csv.DictReader((folder / "report.csv").open(newline="")))
    assert float(next(r for r in rows if (r["task"], r["name"], r["measure"]) == ("style", "fine", "csd"))["mean"])
    page = (folder / "report.html").read_text()
    assert page.count("data:image/jpeg") > 20 and "CVPR version" in page and "not comparable" in page
    assert "published by others" in (folder / "report.md").read_text()


def test_hostile_text_stays_text(runs: list[Path], tmp_path: Path):
    header, scores = read_scores(runs[0])
    bad = f"=1+1 {EVIL}"
    cards = [card.model_copy(update={"cannot": EVIL}) for card in header.measures]
    update = {"model": {"name": bad, "files": [EVIL]}, "measures": cards, "problems": {"black": 1}}
    scores[0] = scores[0].model_copy(update={"problem": EVIL, "prompt_id": EVIL})
    write_scores(runs[0] / "scores.jsonl", header.model_copy(update=update), scores)
    write_report(read_together(runs[:1]), tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page, "the prompt and the names are shown"
    assert "<script" not in page and "{{ 7*191 }}" in page and "1337" not in re.sub(r"data:\S+|[0-9a-f]{20,}", "", page)
    assert not re.search(r"(src|href)=.(?!data:)", page) and "http://" not in re.sub(r"data:\S+", "", page).lower()
    table = (tmp_path / "out" / "report.md").read_text()
    assert "<script" not in table.partition("```json")[0]
    assert len({line.count(" | ") for line in table.split("## style")[0].splitlines() if line.startswith("| ")}) == 1
    assert (tmp_path / "out" / "report.csv").read_text().count("'=1+1") > 0


def test_pictures_that_changed_are_not_shown_beside_old_numbers(runs: list[Path], tmp_path: Path, capsys):
    out = tmp_path / "out"
    write_report(read_together(runs), out)
    shown = (out / "report.html").read_text().count("data:image/jpeg")
    for path in (runs[0] / "pictures").iterdir():
        Image.new("RGB", (32, 32), "red").save(path)
    write_report(read_together(runs), out)
    page = (out / "report.html").read_text()
    changed = page.count("changed since it was scored")
    assert 6 < changed == shown - page.count("data:image/jpeg") and "not there any more" not in page
    assert main(["eval", "pairs", *map(str, runs), "--out", str(tmp_path / "pairs")]) == 2
    assert "has changed since it was scored; score" in capsys.readouterr().err


def made(folder: Path, score: Callable[[int, int], Score], cards: list[MeasureCard], **settings) -> Path:
    """Write scores of six subjects and five prompts."""
    header = Header(protocol="p", bench="b", measures=cards, **settings)
    folder.mkdir()
    write_scores(folder / "scores.jsonl", header, [score(s, p) for s in range(6) for p in range(5)])
    return folder


def test_what_is_above_real_pictures_is_marked(tmp_path: Path):
    card = MeasureCard(name="dino", sees="subject", columns=["dino"], cannot="cannot tell subjects apart here (AUC .5)")

    def score(subject: int, prompt: int) -> Score:
        whose = "oracle" if prompt == 0 else "model"
        value = 0.7 if whose == "oracle" else 0.8
        found = {
            "row": f"r{subject}{prompt}",
            "sample": 0,
            "task": "subject",
            "whose": whose,
            "values": {"dino": value},
        }
        return Score(**found, subject=str(subject), prompt_id=str(prompt))

    run = made(tmp_path / "run", score, [card])
    table = tables(read_together([run]))[0]
    assert [line.cells["dino"].above_oracle for line in table.lines if line.cells] == [False, True]
    assert main(["eval", "report", str(run), "--out", str(tmp_path / "out")]) == 0
    for name in ("report.html", "report.md"):
        text = (tmp_path / "out" / name).read_text()
        assert "above real pictures" in text and "cannot tell subjects apart here" in text


def test_noise_is_said_and_unlike_noise_refused(tmp_path: Path):
    card = MeasureCard(name="dino", sees="subject", columns=["dino"])

    def score(subject: int, prompt: int) -> Score:
        found = {"row": f"r{subject}{prompt}", "sample": 0, "task": "subject", "values": {"dino": 0.5}}
        return Score(**found, subject=str(subject), prompt_id=str(prompt))

    noises = {"a": NOISE, "b": NOISE, "c": None, "d": "of the hour"}
    folders = {
        name: made(tmp_path / name, score, [card], model={"name": name, "noise": noise} if noise else {"name": name})
        for name, noise in noises.items()
    }
    paths = write_report(read_together([folders[name] for name in "abc"]), tmp_path / "out")
    told = json.loads(next(path for path in paths if path.suffix == ".json").read_text())["pins"]["seeds"]
    assert told == {"a": NOISE, "b": NOISE, "c": "unknown"}
    with pytest.raises(UserError, match=r"other noise than .*\(of the hour, not of each picture"):
        read_together([folders["a"], folders["d"]])


def test_areas_and_units(tmp_path: Path):
    card = MeasureCard(name="identity", sees="subject", aggregate="area", columns=["right", "wrong"])

    def score(subject: int, prompt: int) -> Score:
        values = {"right": 0.5 + 0.01 * subject, "wrong": 0.5 + 0.01 * prompt if prompt else None}
        found = {"row": f"r{subject}{prompt}", "sample": 0, "task": "joint_kept", "values": values}
        return Score(**found, subject=str(subject), style_name=str(prompt), prompt_id="")

    runs = read_together([made(tmp_path / "run", score, [card])])
    cell = tables(runs)[0].lines[-1].cells["identity"].interval
    assert cell.count == 24
    pairs = [(s, p) for s in range(6) for p in range(1, 5)]
    expected = sum((s > p) + 0.5 * (s == p) for s, _ in pairs for _, p in pairs) / len(pairs) ** 2
    assert cell.mean == pytest.approx(expected) and 0 <= cell.low < cell.mean < cell.high <= 1
    first, prompts, third = map(set, units_of(runs[0].scores, card))
    assert (first, prompts, third) == (set("012345"), {""}, set("01234")), (
        "all have one prompt: styles are the other unit"
    )


def test_numbers_without_spread_have_no_bounds_and_shares_exact_ones(tmp_path: Path):
    cards = [
        MeasureCard(name="flat", sees="text", columns=["flat"]),
        MeasureCard(name="right", sees="text", columns=["right"], bounds=(0, 1)),
    ]

    def score(subject: int, prompt: int) -> Score:
        found = {
            "row": f"r{subject}{prompt}",
            "sample": 0,
            "task": "joint_shifted",
            "values": {"flat": 0.3, "right": 1},
        }
        return Score(**found, subject=str(subject), style_name=str(subject % 3), prompt_id=str(prompt))

    runs = read_together([made(tmp_path / "run", score, cards)])
    write_report(runs, tmp_path)
    assert "| 0.300 (bounds unknown) | 1.000 (0.292 to 1.000) |" in (tmp_path / "report.md").read_text()
    page = (tmp_path / "report.html").read_text()
    assert "<small>bounds unknown</small>" in page and "<small>0.292 to 1.000</small>" in page
    assert ",flat,0.300000,,,30," in (tmp_path / "report.csv").read_text()


def test_what_cannot_be_reported_is_one_line(runs: list[Path], tmp_path: Path, capsys):
    assert main(["eval", "report", str(tmp_path)]) == 2
    assert "holds no scores" in capsys.readouterr().err
    for command in (["report", str(runs[0])], ["pairs", *map(str, runs), "--out", str(tmp_path / "out")]):
        assert main(["eval", *command, "--bench", str(tmp_path / "absent")]) == 2
        assert "absent, expected the bench that was scored" in capsys.readouterr().err
    header, scores = read_scores(runs[1])
    for update, words in (
        ({"protocol": "other"}, "other protocol than"),
        ({"bench": "0" * 64}, "other bench than"),
        ({"model": {"name": "a", "settings": {"seed": 3}}}, "other seeds than"),
        ({"judges": header.judges[:1]}, "other judges than"),
        ({"judges": [{**header.judges[0], "sha256": "1"}, header.judges[1]]}, "score both with the same files"),
        ({"measures": header.measures[:1]}, "other measures than"),
    ):
        write_scores(runs[1] / "scores.jsonl", header.model_copy(update=update), scores)
        assert main(["eval", "report", *map(str, runs)]) == 2
        told = capsys.readouterr().err.splitlines()
        assert len(told) == 1 and words in told[0] and "noisy" in told[0]


def test_pictures_that_are_wrong_end_the_scoring_with_1(runs: list[Path], capsys):
    bench = str(runs[0].parent / "bench")
    (runs[0] / "pictures" / "style-oil-1_0.png").unlink()
    assert main(["eval", "score", bench, str(runs[0]), *FAKES]) == 1
    assert "1 of 27 pictures have something wrong: 1 missing" in capsys.readouterr().err
    assert main(["eval", "score", bench, str(runs[0]), *FAKES, "--allow-missing"]) == 0
    assert main(["eval", "report", str(runs[0])]) == 0
    page = (runs[0] / "report" / "report.html").read_text()
    assert "27 pictures, 1 with something wrong: 1 missing" in page and "style-oil-1_0.png, missing" in page
