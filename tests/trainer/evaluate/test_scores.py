"""Scores on disk: what belongs together, and what is refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from comfyui_uso.cli import main
from comfyui_uso.trainer.evaluate.scores import Header, MeasureCard, Score, read_scores, scores_name, write_scores

CARD = MeasureCard(name="csd", sees="style", columns=["csd"])


def written(folder: Path, shards: int = 1, **headers: dict[str, Any]) -> Path:
    """Write the scores of 20 rows; `headers` is by number of the shard, as `of2`."""
    rows = [Score(row=f"r{n:02d}", sample=0, task="style", values={"csd": n / 20}) for n in range(20)]
    for number in range(1, shards + 1):
        given = {"protocol": "p", "bench": "b", "measures": [CARD], "model": {"name": "a"}, "versions": {"torch": "1"}}
        header = Header(**{**given, "shard": (number, shards), **headers.get(f"of{number}", {})})
        folder.mkdir(exist_ok=True)
        write_scores(folder / scores_name((number, shards)), header, rows[number - 1 :: shards])
    return folder


def test_shards_are_read_in_the_order_of_the_whole(tmp_path: Path):
    assert read_scores(written(tmp_path / "a"))[1] == read_scores(written(tmp_path / "b", 3))[1]


@pytest.mark.parametrize(
    ("what", "changed"), [("model", {"model": {"name": "b"}}), ("versions", {"versions": {"torch": "2"}})]
)
def test_shards_of_unlike_runs_are_refused(tmp_path: Path, capsys, what: str, changed: dict[str, Any]):
    assert main(["eval", "report", str(written(tmp_path / "run", 2, of2=changed))]) == 2
    assert f"differ in {what}," in capsys.readouterr().err


def shard(header: dict, lines: list) -> None:
    header["shard"] = [1, 10**12]


def nothing_of(header: dict, lines: list) -> None:
    header["shard"] = [0, 0]


def area(header: dict, lines: list) -> None:
    header["measures"][0]["aggregate"] = "area"


def twice(header: dict, lines: list) -> None:
    lines += lines


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (shard, "holds the shards [1] of 1000000000000"),
        (nothing_of, "greater than or equal to 1"),
        (area, "the area csd has one column, expected two"),
        (twice, "line 22: the picture stands twice"),
    ],
)
def test_strange_scores_are_one_line(tmp_path: Path, capsys, change: Callable[[dict, list], None], words: str):
    file = written(tmp_path / "run") / "scores.jsonl"
    header, *lines = [json.loads(line) for line in file.read_text().splitlines()]
    change(header, lines)
    file.write_text("".join(json.dumps(line) + "\n" for line in (header, *lines)))
    assert main(["eval", "report", str(file.parent)]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1 and words in told[0]


def test_an_empty_file_is_one_line(tmp_path: Path, capsys):
    (tmp_path / "scores.jsonl").write_text("")
    assert main(["eval", "report", str(tmp_path)]) == 2
    assert "is empty, expected scores" in capsys.readouterr().err
