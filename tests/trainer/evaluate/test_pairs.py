"""Blind pairs: the page tells nobody whose drawings they are, and votes come back into the comparison."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from comfyui_uso.cli import main
from comfyui_uso.trainer.evaluate.measures import standard_measures
from comfyui_uso.trainer.evaluate.score import score_run
from comfyui_uso.trainer.evaluate.strengths import strengths

from .judged import draw, judges, write_judged_bench

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """Return the folder of a page about three runs, `alpha`, `beta` and `gamma`."""
    bench = write_judged_bench(tmp_path / "bench", ("a {} </p><script>window.hit = 1</script>", "a {}"))
    runs = [draw(bench, tmp_path / name, noise) for name, noise in (("alpha", 10), ("beta", 40), ("gamma", 80))]
    for run in runs:
        score_run(bench, run, standard_measures(judges()))
    assert main(["eval", "pairs", *map(str, runs), "--out", str(tmp_path / "page"), "--count", "30"]) == 0
    return tmp_path / "page"


def vote(folder: Path, choose) -> Path:
    """Write what the page saves."""
    text = (folder / "pairs.html").read_text()
    digest = text.partition('data-key="')[2].partition('"')[0]
    pairs = json.loads((folder / "key.json").read_text())["pairs"]
    votes = {name: choose(pair["left"], pair["right"]) for name, pair in pairs.items()}
    path = folder / "votes.json"
    path.write_text(json.dumps({"format": "uso-votes-1", "key": digest, "votes": votes}))
    return path


def test_votes_come_back(page: Path, tmp_path: Path, capsys):
    text = (page / "pairs.html").read_text()
    assert not any(name in text for name in ("alpha", "beta", "gamma")) and "window.hit = 1</script>" not in text
    pairs = json.loads((page / "key.json").read_text())["pairs"].values()
    assert len(pairs) == 30 and len({pair["left"] for pair in pairs}) == 3
    runs = [str(tmp_path / name) for name in ("alpha", "beta", "gamma")]
    votes = vote(page, lambda left, right: "left" if left < right else "right")
    compare = ["eval", "compare", *runs, "--key", str(page / "key.json"), "--votes"]
    assert main([*compare, str(votes)]) == 0
    told = capsys.readouterr().out
    assert "alpha wins over beta: 1.00" in told and "10 votes" in told
    assert told.index("strengths") < told.rindex("alpha") < told.rindex("beta") < told.rindex("gamma")
    assert main([*compare, str(vote(page, lambda left, right: "equal"))]) == 0
    assert "alpha wins over beta: 0.50" in capsys.readouterr().out
    assert main([*compare, str(votes), "--json"]) == 0
    wins = json.loads(capsys.readouterr().out)[0]["wins"]
    assert wins["mean"] == 0.5 and wins["count"] == 10
    assert main(["eval", "compare", *runs]) == 0
    assert "style csd: alpha +" in capsys.readouterr().out.partition("strengths")[2]


def test_votes_that_do_not_belong_are_refused(page: Path, tmp_path: Path, capsys):
    runs = [str(tmp_path / name) for name in ("alpha", "beta", "gamma")]
    votes, key = vote(page, lambda left, right: "left"), page / "key.json"
    told = json.loads(votes.read_text())
    for change, words in (
        ({"key": "0"}, "votes of another page"),
        ({"format": "x"}, "is no file of uso-votes-1"),
        ({"votes": {"strange": "left"}}, "has a vote strange"),
        ({"votes": {next(iter(told["votes"])): "both"}}, "save the votes again"),
        ({"votes": {next(iter(told["votes"])): []}}, "save the votes again"),
        ({"votes": {}}, "has no votes of these runs"),
    ):
        votes.write_text(json.dumps({**told, **change}))
        assert main(["eval", "compare", *runs, "--votes", str(votes), "--key", str(key)]) == 2
        assert words in capsys.readouterr().err
    votes.write_text(json.dumps(told))
    assert main(["eval", "compare", *runs[:2], "--votes", str(votes), "--key", str(key)]) == 2
    assert "name the runs of the page" in capsys.readouterr().err
    assert main(["eval", "compare", *runs, "--votes", str(votes)]) == 2
    assert main(["eval", "pairs", runs[0], "--out", str(page)]) == 2


def test_votes_go_to_the_pictures_that_were_shown(page: Path, tmp_path: Path, capsys):
    for name in ("alpha", "beta", "gamma"):
        file = tmp_path / name / "scores.jsonl"
        head, _, lines = file.read_text().partition("\n")
        header = json.loads(head)
        header["model"]["name"] = "flux"
        file.write_text(json.dumps(header) + "\n" + lines)
    alpha, beta, gamma = (str(tmp_path / name) for name in ("alpha", "beta", "gamma"))
    assert main(["eval", "pairs", alpha, gamma, "--out", str(page), "--count", "9"]) == 0
    votes = vote(page, lambda left, right: "left" if "alpha" in left else "right")
    given = ["--votes", str(votes), "--key", str(page / "key.json")]
    assert main(["eval", "compare", gamma, alpha, *given]) == 0
    assert "flux (alpha) wins over flux (gamma): 1.00" in capsys.readouterr().out
    assert main(["eval", "compare", beta, gamma, *given]) == 2
    assert "got other pictures" in capsys.readouterr().err
    assert main(["eval", "pairs", alpha, alpha, "--out", str(page)]) == 2
    assert "the same pictures" in capsys.readouterr().err
    key = json.loads((page / "key.json").read_text())
    (page / "key.json").write_text(json.dumps({**key, "bench": "0"}))
    told = json.loads(votes.read_text())
    digest = hashlib.sha256((page / "key.json").read_bytes()).hexdigest()
    votes.write_text(json.dumps({**told, "key": digest}))
    assert main(["eval", "compare", alpha, gamma, *given]) == 2
    assert "is of another bench" in capsys.readouterr().err


def test_strengths_are_log_odds():
    found = strengths(["a", "b"], [("a", "b", 75), ("b", "a", 25)])
    assert found["a"] - found["b"] == pytest.approx(1.0986, abs=0.01) and sum(found.values()) == pytest.approx(0)


@pytest.mark.long
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome is on the PATH")
def test_the_page_saves_votes(page: Path, tmp_path: Path, capsys):
    from playwright import sync_api

    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        shown = browser.new_page()
        said: list[str] = []
        shown.on("console", lambda message: said.append(message.text))
        shown.goto((page / "pairs.html").as_uri())
        shown.click("button:has-text('Left')")
        shown.keyboard.press("ArrowRight")
        shown.keyboard.press("ArrowDown")
        shown.click("#back")
        shown.click("button:has-text('Right')")
        assert "3 votes" in shown.inner_text("#count") and shown.evaluate("window.hit") is None and said == []
        with shown.expect_download() as download:
            shown.click("#save")
        download.value.save_as(tmp_path / "votes.json")
        browser.close()
    votes = json.loads((tmp_path / "votes.json").read_text())
    assert sorted(votes["votes"].values()) == ["left", "right", "right"]
    runs = [str(tmp_path / name) for name in ("alpha", "beta", "gamma")]
    given = ["--votes", str(tmp_path / "votes.json"), "--key", str(page / "key.json")]
    assert main(["eval", "compare", *runs, *given]) == 0
    assert "votes" in capsys.readouterr().out
