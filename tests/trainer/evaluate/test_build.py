"""Benches are made of sources of strangers, and everything that is wrong is named with its place and its cure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from comfyui_uso.cli import main
from comfyui_uso.trainer.evaluate.bench import read_bench, require_pictures
from comfyui_uso.trainer.evaluate.build import build_bench
from comfyui_uso.trainer.evaluate.protocols.find import find_protocol, protocol_names
from comfyui_uso.trainer.evaluate.protocols.protocol import Asked
from comfyui_uso.trainer.problems import Problems
from comfyui_uso.uso_model.errors import UserError
from PIL import Image

from .sources import claimed, entries, json_list, photo, yaml_list

Entries = list[dict[str, Any]]


def dreambooth(folder: Path, subjects: tuple[str, ...], photos: int = 2) -> Path:
    for n, name in enumerate(subjects):
        for k in range(photos):
            photo(folder, f"dataset/{name}/{k:02d}.jpg", 100 * n + k)
    return folder


def test_dreambench_has_the_numbers_of_its_papers(tmp_path: Path) -> None:
    protocol = find_protocol("dreambench")
    source = dreambooth(tmp_path / "source", tuple(protocol.subjects))
    bench, problems = build_bench(protocol, source, tmp_path / "bench")
    assert not problems and bench.counts["subject"].model_dump() == {"rows": 750, "pictures": 3000, "published": 3000}
    bench, rows, _ = read_bench(tmp_path / "bench")
    require_pictures(tmp_path / "bench", bench)
    by_id = {row.id: row for row in rows}
    assert by_id["bear-plushie-01"].prompt == "a stuffed animal in the jungle"
    assert by_id["cat2-11"].prompt == "a cat wearing a red hat" and by_id["vase-25"].prompt == "a cube shaped vase"
    row = by_id["dog-01"]
    assert row.content in row.against_subject and len(row.against_subject) == 2 and row.style is None
    fed = {row.subject: row.against_subject.index(row.content) for row in rows}
    assert set(fed.values()) == {0, 1}, "the reference is drawn"
    assert (bench.width, bench.steps, bench.guidance) == (1024, 25, 4.0)
    more, _ = build_bench(protocol, source, tmp_path / "six", Asked(samples=6, size=(512, 768)))
    assert more.counts["subject"].published == more.counts["subject"].pictures == 4500 and more.height == 768


def test_what_the_folder_of_dreambooth_lacks_is_named(tmp_path: Path) -> None:
    source = dreambooth(tmp_path / "source", ("cat", "dog"))
    (source / "dataset/cat/02.png").write_text("text")
    with pytest.raises(Problems) as caught:
        build_bench(find_protocol("dreambench"), source, tmp_path / "bench")
    problems = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 29 and "cat/02.png cannot be read as a picture" in problems
    assert "vase is not there or empty; get the whole of github.com/google/dreambooth" in problems
    assert not (tmp_path / "bench").exists()
    bench, problems = build_bench(find_protocol("dreambench"), source, tmp_path / "bench", leave_out=True)
    assert bench.counts["subject"].rows == 50 and "29 problems of the source were left out" in bench.notes
    for wrong in (tmp_path / "absent", tmp_path):
        with pytest.raises(UserError, match=r"contents of github\.com/google/dreambooth"):
            build_bench(find_protocol("dreambench"), wrong, tmp_path / "other")


@pytest.mark.parametrize("write", [json_list, yaml_list])
def test_openstyle_has_four_tasks(write: Callable[[Path, Entries], Path], tmp_path: Path) -> None:
    source = write(tmp_path, entries(tmp_path))
    bench, problems = build_bench(find_protocol("openstyle"), source, tmp_path / "bench")
    assert not problems
    counts = {task: (count.rows, count.pictures, count.published) for task, count in bench.counts.items()}
    assert counts == {
        "subject": (10, 40, 6000),  # two objects have a prompt less
        "style": (4, 16, 7040),
        "joint_kept": (6, 6, None),
        "joint_shifted": (8, 8, None),
    }
    assert any("1 of 20 persons, 2 of 30 objects, 2 of 50 styles" in note for note in bench.notes)
    _, rows, _ = read_bench(tmp_path / "bench")
    subject = {row.prompt for row in rows if row.task == "subject" and row.subject == "c0"}
    assert subject == {
        "The woman on a beach",
        "The woman reads a book",
        "Transform the style of image into Ghibli style",
        "Ghibli style, the woman is in the snow",
    }
    for row in rows:
        assert (row.content is None) == (row.task == "style") and (row.style is None) == (row.task == "subject")
        assert (row.prompt == "") == (row.task == "joint_kept")
        assert len(row.against_subject) == (0 if row.task == "style" else 2)
    kept = next(iter(bench.pictures.values()))
    assert (kept.licence, kept.source) == ("CC0", "made here") and kept.path.stem == kept.sha256


def test_order_and_names_of_a_list_change_no_seed(tmp_path: Path) -> None:
    of = entries(tmp_path)
    build_bench(find_protocol("openstyle"), json_list(tmp_path, of), tmp_path / "a")
    build_bench(find_protocol("openstyle"), json_list(tmp_path, of[::-1]), tmp_path / "b")
    a, b = (sorted(row.model_dump_json() for row in read_bench(tmp_path / name)[1]) for name in "ab")
    assert a == b


def spoilt(of: Entries, folder: Path, how: str) -> None:
    """Spoil a list; line 4 is the first style, line 2 the second content."""
    style, content = of[3], of[1]
    if how == "twice":
        content["id"] = "c0"
    elif how == "shared":
        style["pictures"][0] = dict(of[0]["pictures"][1])
    elif how == "shared in another format":
        Image.open(folder / of[0]["pictures"][1]["path"]).save(folder / "same.bmp")
        style["pictures"][0] = {"path": "same.bmp", "licence": "CC0"}
    elif how == "absent":
        style["pictures"][0]["path"] = "absent.png"
    elif how == "hash":
        style["pictures"][0]["sha256"] = "0" * 64
    elif how == "licence":
        style["pictures"][0]["licence"] = "  "
    elif how == "text":
        (folder / style["pictures"][0]["path"]).write_text("text named .png")
    elif how == "huge":
        claimed(folder / style["pictures"][0]["path"], 30_000, 30_000)
    elif how == "bomb":
        claimed(folder / style["pictures"][0]["path"], 2**31 - 1, 2**31 - 1)
    elif how == "damaged":
        claimed(folder / style["pictures"][0]["path"], 200, 200)
    elif how == "black":
        Image.new("RGB", (30, 30)).save(folder / style["pictures"][0]["path"])
    elif how == "folder":
        style["pictures"][0]["path"] = "."
    elif how == "one photo":
        del content["pictures"][1]
    elif how == "field":
        content["sort"] = "cat"
    elif how == "type":
        content["type"] = "cat"
    elif how == "kind":
        style["kind"] = "else"
    elif how == "prompt":
        of[5]["text"] = "The subject on a beach"
    if how in ("text", "huge", "bomb", "damaged", "black"):
        del style["pictures"][0]["sha256"]


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("twice", "line 2: the content c0 stands there already, at list.jsonl line 1; give one another id"),
        (
            "shared",
            "line 4: content0-1.png of style s0 is a picture of content c0, too (list.jsonl line 1); use another",
        ),
        ("shared in another format", "line 4: same.bmp of style s0 is a picture of content c0, too"),
        ("absent", "absent.png is not there; put the picture back or leave it out"),
        ("hash", "line 4: "),
        ("licence", "line 4: style0.png has no licence; state it"),
        ("text", "style0.png cannot be read as a picture (it is none of"),
        ("huge", "more than 100 megapixels); make it smaller"),
        ("bomb", "style0.png cannot be read as a picture"),
        ("damaged", "style0.png cannot be read as a picture"),
        ("black", "style0.png has one colour and shows nothing"),
        ("folder", "is a folder and not a file"),
        ("one photo", "line 2: c1 has 1 pictures that can be used, expected 2 or more; add others"),
        ("field", "line 2: sort: "),
        ("type", "line 2: type: "),
        ("kind", "line 4: got the kind else, expected one of content, style, subject_prompt, style_prompt"),
        ("prompt", "line 6: the prompt has no {subject}"),
    ],
)
def test_what_is_wrong_with_a_list_is_named_with_its_line(how: str, told: str, tmp_path: Path) -> None:
    of = entries(tmp_path)
    spoilt(of, tmp_path, how)
    source = json_list(tmp_path, of)
    with pytest.raises(Problems) as caught:
        build_bench(find_protocol("openstyle"), source, tmp_path / "bench")
    first = caught.value.problems[0]
    assert told in first and first.startswith("list.jsonl line"), first
    assert ";" in first, "the cure"
    assert not (tmp_path / "bench").exists()
    bench, problems = build_bench(find_protocol("openstyle"), source, tmp_path / "bench", leave_out=True)
    assert problems == caught.value.problems and bench.counts["joint_kept"].rows >= 2


def test_lists_that_are_none(tmp_path: Path) -> None:
    for name, text in (
        ("a.jsonl", "{"),
        ("b.yaml", "- a"),
        ("c.yaml", "a: [b"),
        ("d.yaml", "styles: {a: b}"),
        ("e.yaml", "styles: [a]"),
        ("f.jsonl", "[]\n3\n"),
        ("g.yaml", "[" * 5000),
        ("h.jsonl", ""),
        ("i.yaml", "a: &a [b]\na: *a"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(UserError):
            build_bench(find_protocol("openstyle"), tmp_path / name, tmp_path / "bench")
    for source in (None, tmp_path, tmp_path / "absent.yaml"):
        with pytest.raises(UserError, match=r"list"):
            build_bench(find_protocol("openstyle"), source, tmp_path / "bench")
    with pytest.raises(UserError, match=r"1 of 20 persons.*build it as openstyle"):
        build_bench(find_protocol("uso_bench"), json_list(tmp_path, entries(tmp_path)), tmp_path / "bench")


def test_a_bench_is_written_over_when_asked_and_never_else(tmp_path: Path) -> None:
    of, out = entries(tmp_path), tmp_path / "bench"
    build_bench(find_protocol("openstyle"), json_list(tmp_path, of), out)
    with pytest.raises(UserError, match="holds a bench already; choose another folder, or write over it with --force"):
        build_bench(find_protocol("openstyle"), json_list(tmp_path, of), out)
    (out / "pictures/mine.txt").write_text("kept")
    bench, _ = build_bench(find_protocol("openstyle"), json_list(tmp_path, of), out, Asked(limit=1), force=True)
    names = {picture.path.name for picture in bench.pictures.values()}
    assert {path.name for path in (out / "pictures").iterdir()} == {*names, "mine.txt"} and len(names) == 3
    assert {task: count.rows for task, count in bench.counts.items()}["joint_shifted"] == 1
    require_pictures(out, read_bench(out)[0])


@pytest.mark.parametrize("force", [False, True])
def test_a_build_beside_its_source_removes_nothing_of_it(force: bool, tmp_path: Path) -> None:
    of = entries(tmp_path)
    (tmp_path / "pictures").mkdir()
    for photo_ in (photo_ for entry in of for photo_ in entry.get("pictures", [])):
        path = f"pictures/{photo_['sha256']}.png"
        (tmp_path / photo_["path"]).rename(tmp_path / path)
        photo_["path"] = path
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    protocol, source = find_protocol("openstyle"), json_list(tmp_path, of)
    if force:
        build_bench(protocol, source, tmp_path, Asked(limit=1), force=True)
    else:
        with pytest.raises(UserError, match=r"pictures and no bench\.json.*--force, which keeps the pictures"):
            build_bench(protocol, source, tmp_path, Asked(limit=1))
    assert all(path.read_bytes() == data for path, data in before.items())
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "rows.jsonl").write_text("mine")
    with pytest.raises(UserError, match=r"rows\.jsonl and no bench\.json"):
        build_bench(protocol, source, tmp_path / "only")


def test_the_command_names_problems_counts_and_notes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of = entries(tmp_path)
    build = ["eval", "build", "openstyle", str(json_list(tmp_path, of)), "--out", str(tmp_path / "bench")]
    assert main(build) == 0
    out = capsys.readouterr().out
    assert "style: 4 rows, 16 pictures; in the paper 7040" in out and "29500" in out and "not comparable" in out
    assert main(build) == 2 and "--force" in capsys.readouterr().err
    spoilt(of, tmp_path, "licence")
    json_list(tmp_path, of)
    assert main([*build, "--force"]) == 2
    told = capsys.readouterr().err
    assert "line 4: style0.png has no licence" in told and "2 problems, so no bench was made" in told
    assert main([*build, "--force", "--leave-out", "--size", "512x256"]) == 0
    for wrong in (["--size", "512"], ["--size", "17x32"], ["--samples", "0"], ["--limit", "-1"]):
        assert main([*build, "--force", *wrong]) == 2
        assert "expected" in capsys.readouterr().err
    assert main(["eval", "build", "else", "--out", str(tmp_path / "b")]) == 2
    assert "expected one of dreambench, openstyle, uso_bench" in capsys.readouterr().err
    assert protocol_names() == ["dreambench", "openstyle", "uso_bench"]
