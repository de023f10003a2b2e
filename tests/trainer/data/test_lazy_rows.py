"""Large manifests are indexed and read row by row, and give what a small one gives."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from comfyui_uso.trainer.data import manifest as manifest_module
from comfyui_uso.trainer.data.lazy_rows import chosen, joined
from comfyui_uso.trainer.data.manifest import read_manifest
from comfyui_uso.trainer.data.sources import training_rows
from comfyui_uso.trainer.settings.data import DataConfig
from comfyui_uso.uso_model.errors import UserError

from ...machine import at_most


def row(number: int, **other: Any) -> dict[str, Any]:
    return {"id": f"r{number}", "target": f"t/{number}.png", "split": "train" if number % 3 else "validation", **other}


def written(folder: Path, *lines: Any) -> Path:
    path = folder / "rows.jsonl"
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text("\ufeff" + text + "\n", encoding="utf-8")
    return path


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat every manifest as a large one."""
    monkeypatch.setattr(manifest_module, "_AT_ONCE", 0)


def both(path: Path, split: str | None, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    eager = read_manifest(path, split)
    monkeypatch.setattr(manifest_module, "_AT_ONCE", 0)
    return eager, read_manifest(path, split)


ONE, TWO = (json.dumps(row(number)).encode() for number in (1, 2))
BOM = b"\xef\xbb\xbf"


@pytest.mark.parametrize(
    "data",
    [
        ONE + b"\r" + TWO,
        ONE + b"\r\n\r\r" + TWO + b"\r",
        BOM + ONE + b"\n" + TWO,
        ONE + b"\n" + BOM + TWO,
        BOM + b"\n" + BOM + ONE,
        b"\xc2\xa0\n" + ONE + b"\n\xc2\xa0\n\x1c\n\xe2\x80\xa8\n" + TWO + b"\n\xc2\xa0",
        ONE + b"\n\xff\n" + TWO,
        ONE + b"\r" + ONE,
        ONE + b"\r{}",
    ],
)
def test_lines_are_those_of_a_small_one(data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(data)
    found: list[Any] = []
    for at_once in (1 << 20, 0):
        monkeypatch.setattr(manifest_module, "_AT_ONCE", at_once)
        try:
            found.append(list(read_manifest(path, None)))
        except UserError as error:
            found.append(str(error))
    assert found[0] == found[1] or (b"\xff" in data and all("is not UTF-8 text" in one for one in found))


@pytest.mark.parametrize("split", [None, "train", "validation"])
@pytest.mark.parametrize("roots", [True, False])
def test_equal_to_a_small_one(split: str | None, roots: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[Any] = [row(n, prompt="a\u2028b\u732b", style=["s.png"]) for n in range(20)]
    lines[5:5] = ["", "  "]
    if roots:
        lines = ["", {"roots": {"refs": "../refs"}}, *lines, row(50, content=["refs:a.png", "refs:b.png"])]
    eager, lazy = both(written(tmp_path, *lines), split, monkeypatch)
    assert isinstance(eager, list) and not isinstance(lazy, list)
    assert list(lazy) == eager and [lazy[place] for place in range(-len(eager), len(eager))] == [*eager, *eager]
    assert len(lazy) == len(eager) and list(lazy[2:7:2]) == eager[2:7:2] and list(reversed(lazy)) == eager[::-1]
    with pytest.raises(IndexError):
        lazy[len(eager)]


@pytest.mark.parametrize(
    ("line", "error", "at_once"),
    [
        ('{"id": "b", ', "rows.jsonl line 2 is not JSON", True),
        (["b"], "rows.jsonl line 2 is no triplet", True),
        ({"id": "", "target": 3}, "rows.jsonl line 2 is no triplet", False),
        ({"id": 4, "target": "b.png"}, "rows.jsonl line 2 is no triplet", True),
        ({"id": "r0", "target": "b.png"}, "rows.jsonl line 2 repeats the id 'r0'", True),
        ({"id": "b", "target": "../b.png"}, r"line 2 \(row b\) names .*outside", False),
        ({"id": "b", "target": "b.png", "split": 3}, "rows.jsonl line 2 is no triplet", True),
    ],
)
@pytest.mark.usefixtures("small")
def test_a_wrong_row_is_named(line: Any, error: str, at_once: bool, tmp_path: Path) -> None:
    path = written(tmp_path, row(0), line)
    if at_once:
        with pytest.raises(ValueError, match=error):
            read_manifest(path, None)
        return
    rows = read_manifest(path, None)
    assert rows[0].id == "r0"
    with pytest.raises(ValueError, match=error):
        rows[1]


@pytest.mark.usefixtures("small")
def test_text_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(json.dumps(row(0)).encode() + b'\n{"id": "b", "target": "\xff.png"}\n')
    with pytest.raises(ValueError, match=r"rows.jsonl line 2 is not UTF-8"):
        list(read_manifest(path, None))


def test_two_ids_of_one_hash_are_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index keeps hashes only; a hash that comes again is looked up."""
    path = written(tmp_path, *(row(n) for n in range(4)))
    monkeypatch.setattr(manifest_module, "_AT_ONCE", 0)
    monkeypatch.setattr("comfyui_uso.trainer.data.lazy_rows.hash", lambda _: 7, raising=False)
    assert len(read_manifest(path, None)) == 4
    with pytest.raises(ValueError, match="line 4 repeats the id 'r1'"):
        read_manifest(written(tmp_path, *(row(n) for n in (0, 1, 2, 1))), None)


@pytest.mark.usefixtures("small")
def test_a_changed_file_is_an_error_and_not_another_row(tmp_path: Path) -> None:
    path = written(tmp_path, *(row(n) for n in range(4)))
    rows = read_manifest(path, None)
    written(tmp_path, row(9), *(row(n) for n in range(4)))
    for read in (lambda: rows[0], lambda: list(rows)):
        with pytest.raises(ValueError, match="was changed while it was used"):
            read()


@pytest.mark.usefixtures("small")
def test_views_of_several(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        written(tmp_path / name, *(row(n, weight=2.0) for n in range(9)))
    data = DataConfig.model_validate(
        {
            "cache": tmp_path,
            "manifests": [tmp_path / "a" / "rows.jsonl", {"path": tmp_path / "b" / "rows.jsonl", "weight": 3}],
        }
    )
    rows = training_rows(data)
    assert [one.id for one in rows] == 2 * ["r1", "r2", "r4", "r5", "r7", "r8"]
    assert [one.weight for one in rows] == [2.0] * 6 + [6.0] * 6 == [rows[place].weight for place in range(12)]
    few = chosen(chosen(rows, lambda one: one.id != "r1", 2.0), lambda one: one.id > "r4")
    assert [one.id for one in few] == 2 * ["r5", "r7", "r8"] and [one.weight for one in few] == [4.0] * 3 + [12.0] * 3
    assert list(joined([rows[:2], rows[8:]])) == [*rows[:2], *rows[8:]]
    assert isinstance(joined([list(rows), list(rows)]), list)


@pytest.mark.long
def test_a_million_rows_open_in_five_seconds(tmp_path: Path) -> None:
    import resource

    path = tmp_path / "rows.jsonl"
    with path.open("w") as file:
        for number in range(1_000_000):
            key = f"{number:064x}"
            told = row(number, style=[f"p/{key}.png"], content=f"q/{key}.png", scores={"csd": 0.5}, prompt="a cat")
            file.write(json.dumps(told) + "\n")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with at_most(5, time.perf_counter):
        rows = read_manifest(path)
    assert isinstance(rows[-1].id, str) and len(rows) == 666_666
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before <= 1 << 20  # kilobytes
