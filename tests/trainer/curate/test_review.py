"""The review page's folder: what is written, what is left alone, and that no text of a stranger is more than text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from comfyui_uso.cli import main
from comfyui_uso.trainer.curate.decisions import Decision, append_decisions
from comfyui_uso.trainer.curate.ledger import FOLDER, Ledger
from comfyui_uso.trainer.curate.review.texts import as_script, shown
from comfyui_uso.trainer.curate.run_folder import candidates, read_run
from comfyui_uso.trainer.curate.where import parse_where
from PIL import Image

from .reviewed import made_run, row_ids

EVIL = "</script><script>window.hit = 1</script>"


def data_of(page: Path) -> Path:
    """Return the folder that a page reads."""
    found = re.search(r'href="(data/[0-9a-f]{16})/', page.read_text())
    assert found
    return page.parent / found[1]


def told(page: Path, name: str = "rows.js") -> Any:
    """Return what a script gives to the page."""
    return json.loads((data_of(page) / name).read_text().partition(" = ")[2].rstrip(";\n"))


def test_the_page_has_every_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "a run"
    made_run(run, 7, lambda number: {"reason": "black"} if number == 3 else {})
    ids = row_ids(run)
    append_decisions(run, [Decision(ids[0], False, 5.0), Decision(ids[1], True, 6.0, "drawn before")])
    assert main(["curate", "review", str(run)]) == 0
    assert f'uso curate accept "{run}" --decisions decisions.jsonl' in capsys.readouterr().out
    page = told(run / "review" / "index.html")
    assert page["ids"] == ids and page["count"] == 7 and page["run"] == "a run"
    assert page["decisions"] == [[0, False, 5.0]], "one of other pictures does not count"
    assert [page["standings"][0][code] for code in page["standings"][1]].count("rejected") == 1
    assert page["reasons"][0] == ["", "black"] and page["pictures"][3][1:] == ["", ""]
    assert [name for name, _ in page["scores"]][:3] == ["vlm_style", "vlm_subject", "csd"]
    for row in page["pictures"]:
        assert all((run / "review" / page["folder"] / one[:2] / (one + page["ending"])).is_file() for one in row if one)
    parts = dict(told(run / "review" / "index.html", "details-0.js")[0])
    step = next(one for one in candidates(read_run(run)[1], Ledger(run))).entries["style"]
    assert ["seed", str(int(step.id[:12], 16))] in parts["Step style"]
    assert ["instruction", "Draw {subject} in this style."] in parts["Step style"]
    assert ["subject of the style reference", "a tin boat"] in parts["Row"]


def test_texts_of_strangers_are_texts(tmp_path: Path) -> None:
    run = tmp_path / "run"
    special = {"key": f"\u202egnp.exe {EVIL}", "answer": EVIL * 30_000, "about": {"style": EVIL, "prompt": "\ud800"}}
    made_run(run, 3, lambda number: special if number == 0 else {})
    with (run / FOLDER / "stranger.jsonl").open("wb") as file:
        line = (run / FOLDER / f"{'0' * 32}.jsonl").read_bytes().split(b"\n")[5]
        file.write(line.replace(b'"state": "done"', b'"state": "great"') + b"\n{}\n[1]\nnothing\n")
    assert main(["curate", "review", str(run)]) == 0
    page = run / "review" / "index.html"
    for path in (page, *data_of(page).glob("*.js")):
        text = path.read_text("utf-8")
        assert "window.hit" not in text or "<" not in text, path.name
        assert "\u202e" not in text and path.stat().st_size < 60_000, path.name
    keys = told(page)["keys"]
    assert any(key.startswith(r"\u202egnp.exe </script>") for key in keys)
    assert shown("a\u202eb\0\ud800\n", 10) == "a\\u202eb\\u0000\\ud800\n"
    assert shown("x" * 9, 5) == "xxxxx ... (9 letters)"
    assert as_script("a", "</script>\u2028") == 'a = "\\u003c/script>\\u2028";\n'


def test_it_is_made_anew_beside_an_open_one(tmp_path: Path) -> None:
    run = tmp_path / "run"
    made_run(run, 3)
    page, mine = run / "review" / "index.html", run / "review" / "data" / "mine"
    mine.mkdir(parents=True)
    seen = []
    for _ in range(3):
        assert main(["curate", "review", str(run)]) == 0
        seen.append(data_of(page).name)
    assert {one.name for one in mine.parent.iterdir()} == {"mine", *seen[1:]} and len(set(seen)) == 3


def test_a_folder_elsewhere_has_its_own_pictures(tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "for others"
    made_run(run, 5, size=800)
    one = next((run / "pictures").rglob("*.png"))
    one.write_bytes(one.read_bytes()[:-1] + b"x")
    assert main(["curate", "review", str(run), "--out", str(out)]) == 0
    page = told(out / "index.html")
    assert page["folder"] == "pictures" and page["ending"] == ".jpg"
    paths = {out / "pictures" / name[:2] / f"{name}.jpg" for row in page["pictures"] for name in row}
    assert max(Image.open(path).size for path in paths if path.exists()) == (384, 384)
    assert {path.stem for path in paths if not path.exists()} <= {one.stem}
    assert not list((out / "pictures").rglob("*.png"))


def test_a_fair_sample_and_expressions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    made_run(run, 40)
    page = run / "review" / "index.html"
    assert main(["curate", "review", str(run), "--most", "9"]) == 0
    assert "9 of 40 rows" in capsys.readouterr().out
    chosen = told(page)["ids"]
    assert set(chosen) == set(sorted(row_ids(run))[:9]) and chosen == [one for one in row_ids(run) if one in chosen]
    assert main(["curate", "review", str(run), "--where", "csd>=.5 and layout='shifted'"]) == 0
    few = told(page)
    assert few["layouts"][0] == ["shifted"] and all(value >= 0.5 for value in dict(few["scores"])["csd"])
    assert main(["curate", "review", str(run), "--where", "beauty>1"]) == 2
    assert "the scores are csd, dino" in capsys.readouterr().err
    assert main(["curate", "review", str(run), "--where", "csd>7"]) == 0
    assert told(page)["ids"] == []


GROUPS = {
    "ink": True,
    "\u00d6l, 2.": True,
    "\u58a8": True,
    "x" * 310: True,
    "x" * 310 + "y": True,
    "a b": True,
    "": True,
    "it's": False,
    'a "b"': False,
    "x\u202ey": False,
    "a\nb": False,
    "$(ls)": False,
    "`ls`": False,
    "100%": False,
    "wow!": False,
    "a\\b": False,
    "\u201cx\u201d": False,
    "z" * 2000: False,
}


def test_a_group_is_an_expression_or_none(tmp_path: Path) -> None:
    names = list(GROUPS)
    made_run(tmp_path, 2 * len(names), lambda number: {"about": {"style": names[number // 2]}})
    assert main(["curate", "review", str(tmp_path), "--where", "csd!=2"]) == 0
    page = told(tmp_path / "review" / "index.html")
    assert page["where"] == "csd!=2" and page["pasteable"] is True
    assert page["wheres"]["layout"] == [f"layout='{name}'" for name in page["layouts"][0]]
    wheres = page["wheres"]["group"]
    assert len(wheres) == len(GROUPS) and [bool(one) for one in wheres] == list(GROUPS.values())
    for name, where in zip(names, wheres, strict=True):
        holds = [other for other in names if where and parse_where(where).holds({"group": other})]
        assert holds == ([name] if GROUPS[name] else [])
    assert main(["curate", "review", str(tmp_path), "--where", "group='$HOME' or csd>=0"]) == 0
    assert told(tmp_path / "review" / "index.html")["pasteable"] is False


def test_what_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, other = tmp_path / "run", tmp_path / "site"
    made_run(run, 0)
    assert main(["curate", "review", str(run), "--where", "csd>1"]) == 0
    assert told(run / "review" / "index.html")["ids"] == []
    other.mkdir()
    (other / "index.html").write_text("<h1>my own</h1>")
    for given, words in (
        ([str(other)], "holds no run.yaml"),
        ([str(run), "--out", str(other)], "is the page of something else"),
        ([str(run), "--out", str(other / "index.html")], "is a file"),
        ([str(run), "--most", "0"], "got --most 0"),
        ([str(run), "--where", "__import__('os')"], "expected"),
    ):
        assert main(["curate", "review", *given]) == 2, given
        assert words in capsys.readouterr().err
    assert (other / "index.html").read_text() == "<h1>my own</h1>"


def test_what_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "folder.yaml").mkdir()
    for words, said in (
        (["run", "r", str(tmp_path / "none.yaml")], "none.yaml is not there; correct the path"),
        (["run", "r", str(tmp_path / "folder.yaml")], "folder.yaml is a folder and not a file; correct the path"),
        (["export", str(tmp_path / "none"), str(tmp_path / "out")], "none is not there; name the folder of a run"),
    ):
        assert main(["curate", *words]) == 2
        assert said in capsys.readouterr().err
