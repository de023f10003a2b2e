"""A set that grows one by one: nothing twice, nothing lost, and a manifest that training reads as it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from comfyui_uso.trainer.curate import triplet_set
from comfyui_uso.trainer.curate.triplet_set import Triplet, TripletSet, rows_where
from comfyui_uso.trainer.data.manifest import Row, read_manifest
from comfyui_uso.uso_model.errors import UserError
from PIL import Image


def colour(number: int, size: int = 16) -> Image.Image:
    return Image.new("RGB", (size, size), (number % 256, number // 256, 7))


def made(number: int, prompt: str = "a cat", styles: int = 1, contents: int = 1) -> Triplet:
    return Triplet(
        colour(number),
        [colour(number + 1000 * n) for n in range(1, styles + 1)],
        [colour(number + 9000 * n, 24) for n in range(1, contents + 1)],
        prompt,
        "shifted",
    )


def ids(folder: Path) -> list[str]:
    return [row.id for row in read_manifest(folder / "manifest.jsonl", split=None)]


def test_a_set_grows_and_takes_nothing_twice(tmp_path: Path) -> None:
    first = TripletSet(tmp_path / "set")
    added = first.add([made(1), made(2, styles=3, contents=2), made(1)])
    assert (added.new, added.total) == (2, 2) and added.rows[0] == added.rows[2]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "set").rglob("*") if path.is_file()}
    for again in (first, TripletSet(tmp_path / "set")):  # the same process, and one that was started later
        assert again.add([made(2, styles=3, contents=2), made(1)]).new == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "set").rglob("*") if path.is_file()} == before
    rows = read_manifest(tmp_path / "set/manifest.jsonl")
    assert [(len(row.style), len(row.contents), row.prompt, row.layout) for row in rows] == [
        (1, 1, "a cat", "shifted"),
        (3, 2, "a cat", "shifted"),
    ]
    assert Image.open(rows[1].style[2]).getpixel((0, 0)) == colour(2 + 3000).getpixel((0, 0))
    assert Image.open(rows[1].contents[1]).size == (24, 24)
    assert first.add([made(1, "another caption")]).total == 3
    assert len(list((tmp_path / "set/journal").iterdir())) == 1


def test_the_id_tells_all_pictures_texts_and_places_apart() -> None:
    one = made(1)
    others = [
        made(2),
        made(1, "a dog"),
        Triplet(one.target, one.contents, one.styles, one.prompt, one.layout),
        Triplet(one.target, one.styles, (), one.prompt, one.layout),
        Triplet(one.target, one.styles, one.contents, one.prompt, "preserved"),
        Triplet(colour(1, 17), one.styles, one.contents, one.prompt, one.layout),
    ]
    assert len({triplet.row().id for triplet in [one, *others]}) == len(others) + 1
    assert made(1).row().id == one.row().id


def test_what_a_kill_left_out_of_the_manifest_comes_with_the_next_triplet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(triplet_set, "write_manifest", killed)
        with pytest.raises(Killed):
            TripletSet(tmp_path).add([made(1)])
    assert not (tmp_path / "manifest.jsonl").exists()
    again = TripletSet(tmp_path).add([made(1)])  # the same graph, after the restart
    assert (again.new, again.total) == (0, 1) and ids(tmp_path) == [made(1).row().id]


def test_a_full_disk_leaves_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "set"
    TripletSet(folder).add([made(1)])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match="make room on the disk: 1 triplets need up to 1 MB"):
            TripletSet(folder).add([made(2)])
    assert len(ids(folder)) == 1 and not list(folder.rglob("*.part"))
    assert TripletSet(folder).add([made(2)]).total == 2


PROCESS = """
import sys
from pathlib import Path
from PIL import Image
from comfyui_uso.trainer.curate.triplet_set import Triplet, TripletSet
found = TripletSet(Path(sys.argv[1]))
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    picture = Image.new("RGB", (8, 8), (number, 0, 0))
    found.add([Triplet(picture, [picture], [], "", "shifted")])
"""


def test_two_processes_at_once_lose_nothing_and_save_nothing_twice(tmp_path: Path) -> None:
    ranges = [(0, 14), (6, 20)]
    running = [subprocess.Popen([sys.executable, "-c", PROCESS, str(tmp_path), *map(str, pair)]) for pair in ranges]
    assert [process.wait(120) for process in running] == [0, 0]
    found = ids(tmp_path)
    assert len(found) == len(set(found)) == 20
    assert not list(tmp_path.rglob("*.part"))


def test_a_row_that_a_person_has_changed_stays_and_one_without_its_picture_goes(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    TripletSet(tmp_path).add([made(1), made(2)])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    foreign = {"id": "mine", "target": lines[0]["target"], "style": [lines[0]["style"][0]]}
    edited = [{**lines[0], "prompt": "a red cat", "weight": 2.0}, lines[1], foreign]
    path.write_text("".join(json.dumps(line) + "\n" for line in edited))
    TripletSet(tmp_path).add([made(3)])
    rows = {row.id: row for row in read_manifest(path)}
    assert (rows[lines[0]["id"]].prompt, rows[lines[0]["id"]].weight) == ("a red cat", 2.0)
    assert len(rows) == 4 and "mine" in rows
    rows[lines[1]["id"]].target.unlink()
    assert TripletSet(tmp_path).add([made(3)]).total == 3 and lines[1]["id"] not in ids(tmp_path)
    assert TripletSet(tmp_path).add([made(2)]).total == 4 and lines[1]["id"] in ids(tmp_path)


def test_a_manifest_that_a_person_has_broken_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    TripletSet(tmp_path).add([made(1)])
    whole = path.read_text()
    path.write_text(whole + "{oops\n")
    with pytest.raises(UserError, match=r"manifest\.jsonl line 2 is not JSON .* or delete the file"):
        TripletSet(tmp_path).add([made(2)])
    path.write_text(whole)
    assert TripletSet(tmp_path).add([made(2)]).total == 2


def test_half_a_character_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected Unicode"):
        TripletSet(tmp_path / "set").add([made(1, "half \ud83d")])
    assert not (tmp_path / "set").exists()
    assert TripletSet(tmp_path / "set").add([made(1, "line one\nline two \u2028 \0 end")]).total == 1
    assert read_manifest(tmp_path / "set/manifest.jsonl")[0].prompt == "line one\nline two \u2028 \0 end"


def test_conditions_choose_rows() -> None:
    rows = [
        Row(id="a", target=Path("a"), style=[Path("s")], layout="preserved", scores={"csd": 0.7}),
        Row(id="b", target=Path("b"), content=Path("c"), prompt="a cat"),
    ]

    def found(where: str) -> list[str]:
        return [row.id for row in rows_where(rows, where)]

    assert found("") == ["a", "b"] and found("csd >= .5") == ["a"] and found("not csd >= .5") == []
    assert found("layout = 'shifted' and contents = 1") == ["b"] and found("prompt != ''") == ["b"]
    with pytest.raises(UserError, match="the scores are contents, csd, id"):
        found("nothing > 1")


def test_a_triplet_is_taken_out_by_its_split_and_a_deleted_line_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    TripletSet(tmp_path).add([made(1), made(2)])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text(json.dumps({**lines[0], "split": "out"}) + "\n")
    for number in (1, 2, 3):
        TripletSet(tmp_path).add([made(number)])
    assert {row.id for row in read_manifest(path)} == {lines[1]["id"], made(3).row().id}
    assert ids(tmp_path)[0] == lines[0]["id"]


def test_a_picture_that_is_deleted_takes_all_triplets_that_share_it(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    TripletSet(tmp_path).add([made(1), made(1, "a dog"), made(2)])
    read_manifest(path)[0].target.unlink()
    TripletSet(tmp_path).add([made(3)])
    assert ids(tmp_path) == [made(2).row().id, made(3).row().id]


def test_a_line_of_the_journal_without_a_target_counts_for_nothing(tmp_path: Path) -> None:
    TripletSet(tmp_path).add([made(1)])
    (journal,) = (tmp_path / "journal").iterdir()
    told = json.loads(journal.read_text())
    del told["pictures"]["target"]
    journal.write_text(json.dumps(told) + "\n")
    assert TripletSet(tmp_path).add([made(2)]).total == 2
    assert TripletSet(tmp_path).add([made(1)]).new == 1
