"""Comparing runs of one bench: the same numbers as by hand, and who is better."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from comfyui_uso.cli import main
from comfyui_uso.trainer.evaluate.comparison import compared, told
from comfyui_uso.trainer.evaluate.scores import Header, MeasureCard, Score, write_scores
from comfyui_uso.trainer.evaluate.together import read_together

CARDS = [
    MeasureCard(name="csd", sees="style", columns=["csd"]),
    MeasureCard(name="leak", sees="leak", better="lower", columns=["leak"]),
    MeasureCard(name="identity", sees="style", aggregate="area", columns=["right", "wrong"]),
]


def made(folder: Path, better: float, keep: Callable[[int, int], bool] = lambda style, prompt: True, **model) -> Path:
    """Write the scores of a run that is better than another by so much, with noise that all share."""
    scores = []
    for style in range(8):
        for prompt in range(6):
            rng = np.random.default_rng([style, prompt])
            shared, own = rng.normal(0, 0.1), np.random.default_rng([style, prompt, folder.name == "a"]).normal(0, 0.01)
            value = 0.5 + shared + own + better
            values = {"csd": value, "leak": -value, "right": value, "wrong": 0.5 + rng.normal(0, 0.1)}
            if keep(style, prompt):
                found = {"row": f"r{style}{prompt}", "sample": 0, "task": "style", "prompt_id": str(prompt)}
                scores.append(Score(**found, style_name=str(style), values=values))
    folder.mkdir()
    header = Header(protocol="p", bench="b", measures=CARDS, model={"name": folder.name, **model})
    write_scores(folder / "scores.jsonl", header, scores)
    return folder


def test_pairs_take_away_what_both_share(tmp_path: Path):
    a, b = read_together([made(tmp_path / "a", 0.02), made(tmp_path / "b", 0)])
    csd, leak, identity = (next(x for x in compared(a, b) if x.measure.name == c.name) for c in CARDS)
    by_hand = [x.values["csd"] - y.values["csd"] for x, y in zip(a.scores, b.scores, strict=True)]
    assert csd.difference.mean == pytest.approx(np.mean(by_hand)) and csd.difference.count == 48
    assert csd.difference.low > 0, "far smaller than what pictures differ by"
    assert csd.wins.mean == pytest.approx(np.mean(np.array(by_hand) > 0)) and 0.5 < csd.wins.low <= csd.wins.high <= 1
    assert leak.difference.high < 0 and leak.wins == csd.wins, "less is better here"
    assert identity.difference.mean > 0
    back = compared(b, a)[0]
    assert back.difference.mean == pytest.approx(-csd.difference.mean)
    assert back.wins.mean == pytest.approx(1 - csd.wins.mean)
    same = compared(a, a)[0]
    assert (same.difference.mean, same.difference.low, same.wins.mean, same.wins.high) == (0, None, 0.5, None)
    assert "+0.0000 (bounds unknown), wins 0.50 (bounds unknown)" in told(same)


def test_pictures_that_one_lacks_are_left_out_and_counted(tmp_path: Path, capsys):
    a = made(tmp_path / "a", 0.02, lambda style, prompt: style != 3)
    b = made(tmp_path / "b", 0, lambda style, prompt: prompt != 2)
    found = compared(*read_together([a, b]))[0]
    assert found.difference.count == 7 * 5 and found.alone == 7 + 5
    file = b / "scores.jsonl"
    head, _, lines = file.read_text().partition("\n")
    file.write_text(json.dumps({**json.loads(head), "expected": 48, "problems": {"missing": 8}}) + "\n" + lines)
    assert main(["eval", "compare", str(a), str(b)]) == 0
    told = capsys.readouterr().out
    assert "b: 48 pictures, 8 with something wrong: 8 missing" in told
    assert "35 pairs, 12 of one run alone left out" in told


def test_the_command_says_who_is_better(tmp_path: Path, capsys):
    runs = [str(made(tmp_path / name, better)) for name, better in (("a", 0.02), ("b", 0), ("c", 0.1))]
    assert main(["eval", "compare", *runs]) == 0
    told = capsys.readouterr().out
    assert "a less b" in told and "a is better" in told and "c is better" in told and "48 pairs" in told
    assert main(["eval", "compare", "--json", *runs]) == 0
    assert [row["measure"] for row in json.loads(capsys.readouterr().out)] == ["csd", "identity", "leak"] * 2


def test_what_cannot_be_compared_is_refused_in_one_line(tmp_path: Path, capsys):
    a = str(made(tmp_path / "a", 0))
    assert main(["eval", "compare", a]) == 2
    assert "expected two or more" in capsys.readouterr().err
    other = str(made(tmp_path / "b", 0, settings={"seed": 7}))
    assert main(["eval", "compare", a, other]) == 2
    assert "has other seeds than" in capsys.readouterr().err
    empty = str(made(tmp_path / "c", 0, lambda style, prompt: False))
    assert main(["eval", "compare", a, empty]) == 2
    assert "no picture in common" in capsys.readouterr().err


def test_names_command_no_terminal(tmp_path: Path, capsys):
    runs = [made(tmp_path / "a", 0.02), made(tmp_path / "b", 0)]
    file = runs[0] / "scores.jsonl"
    head, _, lines = file.read_text().partition("\n")
    told = json.loads(head)
    told["model"]["name"] = "\x1b[31mEVIL\x1b]0;title\x07\nline"
    told["problems"] = {"\x1b[2J": 1}
    file.write_text(json.dumps(told) + "\n" + lines)
    assert main(["eval", "compare", *map(str, runs)]) == 0
    out = capsys.readouterr().out
    assert "EVIL" in out and "\x1b" not in out and "\x07" not in out and "\nline" not in out
