"""`uso curate accept`: decisions before expressions, a reason for every row, a manifest that the trainer reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from comfyui_uso.cli import main
from comfyui_uso.trainer.curate.choosing.choose import Choice, Chosen, split
from comfyui_uso.trainer.curate.decisions import Decision, append_decisions
from comfyui_uso.trainer.curate.pipeline import Progress
from comfyui_uso.trainer.curate.steps import Request, Row
from comfyui_uso.trainer.data.manifest import read_manifest
from PIL import Image

from .judged import blobs, curated

TARGETS = {f"{style}/{number}.png": blobs(100 * ord(style) + number) for style in "abcdef" for number in range(3)}


def accept(run: Path, *words: str) -> None:
    """Run the command."""
    assert main(["curate", "accept", str(run), *words]) == 0


def manifest(run: Path, split: str | None = None) -> dict[str, Any]:
    return {row.id: row for row in read_manifest(run / "manifest.jsonl", split=split)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Progress]]:
    run = tmp_path_factory.mktemp("accept") / "run"
    return run, curated(run, TARGETS)


def test_writes_what_the_trainer_reads(made: tuple[Path, list[Progress]], capsys: pytest.CaptureFixture[str]) -> None:
    run, found = made
    accept(run)
    rows = manifest(run)
    assert (
        list(rows) == [row.row.id for row in found]
        and f"{len(found)}  of {len(found)} accepted" in capsys.readouterr().out
    )
    for row in found:
        kept = rows[row.row.id]
        assert kept.layout == row.row.layout and kept.scores["phash_style"] == row.scores["phash_style"]
        assert [path.stem for path in kept.pictures] == [
            row.pictures[name].sha256 for name in ("target", "style", "content")
        ]
        assert all(path.is_file() for path in kept.pictures)
    styles = {
        split: {row.row.about["style"] for row in found if rows[row.row.id].split == split}
        for split in ("train", "validation")
    }
    assert styles["train"] and styles["validation"] and not styles["train"] & styles["validation"]


def test_people_win_over_expressions_and_every_row_has_a_reason(
    made: tuple[Path, list[Progress]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, found = made
    by_hash = sorted(found, key=lambda row: row.scores["phash_style"])
    least = by_hash[len(by_hash) // 2].scores["phash_style"]
    low, high = by_hash[0].row.id, by_hash[-1].row.id
    saved = tmp_path / "saved.jsonl"
    saved.write_text("".join(Decision(row, row == low, 1.0).line() for row in (low, high)))
    accept(run, "--where", f"contrast_target>0 and phash_style>={least}", "--decisions", str(saved))
    expected = {row.row.id for row in found if row.scores["phash_style"] >= least} - {high} | {low}
    assert set(manifest(run)) == expected
    out = capsys.readouterr().out
    assert "2 decisions taken in" in out and "1  rejected by a person" in out and "1 of them by people" in out
    assert f"{len(found) - len(expected) - 1}  not phash_style>={least:g}" in out or "not phash_style" in out
    append_decisions(run, [Decision(row, None, 2.0) for row in (low, high)])
    accept(run, "--where", f"phash_style>={least}")
    assert low not in manifest(run) and high in manifest(run)


@pytest.mark.parametrize(
    "words, message",
    [
        (["--where", "csd>=.5"], "the scores are change_content"),
        (["--where", "csd>=" + "5" * 20_000], "expected at most 10000"),
        (["--where", "__import__('os').system('ls')"], "in the expression"),
        (["--where", "phash_style>64"], "no row is left of 36"),
        (["--split", "validation"], "got --split"),
        (["--split", "validation=nan"], "got --split"),
        (["--split", "=.5"], "got --split"),
        (["--near", "40"], "got --near 40"),
        (["--alike", "dinov2=.9"], "the judges of the run are none"),
        (["--alike", "dinov2"], "got --alike"),
        (["--suggest"], "got 0 accepted and 0 rejected rows, expected 10 or more"),
        (["--suggest", "--precision", "95"], "got --precision 95"),
        (["--suggest", "--keep", "nan"], "got --keep nan"),
        (["--decisions", "gone.jsonl"], "gone.jsonl is not there"),
    ],
)
def test_what_cannot_be_done_leaves_the_manifest(
    made: tuple[Path, list[Progress]], words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = made
    accept(run)
    before = (run / "manifest.jsonl").read_bytes()
    assert main(["curate", "accept", str(run), *words]) == 2
    assert message in capsys.readouterr().err and (run / "manifest.jsonl").read_bytes() == before


def test_text_of_an_expression_keeps_its_quotes(made: tuple[Path, list[Progress]]) -> None:
    run, found = made
    for words, wanted in (("layout='shifted'", {"shifted"}), ('layout="preserved"', {"preserved"})):
        accept(run, "--where", words)
        assert {row.layout for row in manifest(run).values()} == wanted
    accept(run, "--where=group='a'")
    assert set(manifest(run)) == {row.row.id for row in found if row.row.about["style"] == "a"}


def test_names_in_other_letters_are_one_group() -> None:
    abouts = [{"subject": "A  Cat"}, {"subject": "a cat", "style": "ink"}, {"style": "Ink "}, {"style": ""}, {}]
    rows = [
        Chosen(Row(str(at), str(at), "", "shifted", about=about), {}, "", {}, False, "")
        for at, about in enumerate(abouts)
    ]
    choice = Choice(rows)
    split(choice, ("style", "subject"), "validation", 0.5)
    assert len({choice.groups.of(("picture", row.row.key)) for row in rows}) == 3


def test_no_folder_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["curate", "accept", str(tmp_path)]) == 2 and "holds no run.yaml" in capsys.readouterr().err


def test_near_duplicates_of_other_pictures_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bright = TARGETS["a/0.png"].point(lambda value: min(255, value + 6))
    targets = {
        "b/0.png": TARGETS["b/0.png"],
        "a/0.png": TARGETS["a/0.png"],
        "c/bright.png": bright,
        "c/same.png": bright,
    }
    run = tmp_path / "run"
    keys = {row.row.id: row.row.key for row in curated(run, targets)}
    accept(run)
    assert "4  near duplicate: at most 4 bits of pHash differ" in capsys.readouterr().out
    assert {keys[row] for row in manifest(run)} == {"a/0.png", "b/0.png"}
    accept(run, "--near", "-1")
    assert len(manifest(run)) == 8
    liked = next(row for row, key in keys.items() if key == "c/same.png")
    append_decisions(run, [Decision(liked, True, 1.0)])
    accept(run, "--split", "validation=.5")
    rows = manifest(run)
    assert {keys[row] for row in rows} == {"b/0.png", "c/same.png"}


def test_judges_find_duplicates_that_hashes_do_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    upside_down = TARGETS["a/0.png"].transpose(Image.Transpose.ROTATE_180)
    run = tmp_path / "run"
    judge = f"{__name__.rpartition('.')[0]}.test_judging:mean_colour"
    curated(run, {"a.png": TARGETS["a/0.png"], "b.png": upside_down, "c.png": blobs(5)}, judges={judge: None})
    accept(run)
    assert len(manifest(run)) == 6
    for path in (run / "features").rglob("*.safetensors"):
        path.unlink()
    accept(run, "--alike", "mean_colour=.99999")
    assert len(manifest(run)) == 4 and "mean_colour of two targets is 0.99999 or more" in capsys.readouterr().out


def test_suggests_an_expression_that_fits_the_decisions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def draw(request: Request) -> Image.Image:
        picture = blobs(request.seed)
        if request.seed % 3 == 0:
            return Image.eval(picture, lambda value: value // 6)
        return picture

    run = tmp_path / "run"
    found = curated(run, TARGETS, draw)
    said = [Decision(row.row.id, row.scores["contrast_content"] > 25, 1.0) for row in found]
    append_decisions(run, said)
    accept(run, "--suggest", "--where", "contrast_content>=40")
    out = capsys.readouterr().out
    text = out.strip().splitlines()[-1].removeprefix('--where "').removesuffix('"')
    assert "your expression" in out and not (run / "manifest.jsonl").exists()
    append_decisions(run, [Decision(one.row, None, 2.0) for one in said])
    accept(run, "--where", text)
    assert set(manifest(run)) == {one.row for one in said if one.accept}
    accept(run, "--near", "-1")
