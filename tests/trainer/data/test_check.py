"""What `uso check` finds."""

from __future__ import annotations

import json

import pytest
from comfyui_uso.cli import main
from comfyui_uso.trainer.data.check import check
from comfyui_uso.trainer.data.check_settings import reading
from comfyui_uso.trainer.data.manifest import read_manifest, write_manifest
from PIL import Image


@pytest.fixture
def changed(manifest):
    """Return a function that changes rows of the manifest, given by number, and returns its path."""

    def change(**rows):
        lines = [json.loads(line) for line in manifest.read_text().splitlines()]
        for number, values in rows.items():
            lines[int(number[1:])].update(values)
        manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return manifest

    return change


@pytest.fixture(autouse=True)
def distinct(manifest):
    """Give every picture a colour of its own."""
    for number in range(8):
        for part, shade in (("t", 0), ("s", 80), ("c", 160)):
            Image.new("RGB", (32, 32), (number * 20, shade, 5)).save(manifest.parent / f"{number}{part}.png")


def test_a_sound_manifest_has_no_problem_and_a_table(changed):
    path = changed(r0={"scores": {"csd": 0.5}}, r1={"scores": {"csd": 0.7}}, r7={"split": "validation"})
    report = check([path], size=32, content_size=32)
    assert report.problems == [] and len(report.notes) == 1
    assert "4 of 8 rows have no caption (1); what they teach is tied to the empty prompt" in report.notes[0]
    text = [line.split() for line in report.text().splitlines()]
    assert ["train", "7", "3", "4", "7", "7", "4"] in text  # rows, preserved, shifted, style, content, prompt
    assert ["validation", "1", "1", "0", "1", "1", "0"] in text
    assert ["32x32", "8"] in text
    assert ["csd", "2", "0.5", "0.6", "0.7"] in text
    assert "24 pictures, 0 problems, 1 notes" in report.text()


def cut(path):
    path.write_bytes(path.read_bytes()[:50])


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (lambda f: (f / "3s.png").unlink(), "3s.png is not there"),
        (lambda f: cut(f / "3c.png"), "3c.png cannot be read as a picture"),
        (lambda f: (f / "3t.png").write_text("no"), "3t.png cannot be read as a picture"),
        (lambda f: Image.new("RGB", (400, 3)).save(f / "3c.png"), "3c.png: Got a content image of 400x3"),
        (lambda f: Image.new("RGB", (15, 40)).save(f / "3t.png"), "3t.png has 15x40 pixels, less than one token"),
    ],
)
def test_every_broken_picture_is_one_problem(spoil, problem, changed):
    path = changed()
    spoil(path.parent)
    (found,) = check([path], size=32, content_size=32).problems
    assert problem in found


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"scores": {"csd": float("nan")}}, "row 3 has the score csd = nan"),
        (
            {"target": "2t.png", "split": "validation"},
            "row 3 of split validation has the same target as row 2 of split",
        ),
        ({"target": "1t.png", "style": ["1s.png"], "content": "1c.png"}, "row 3 repeats row 1"),
        ({"id": "2"}, "line 4 repeats the id '2'"),
        ({"target": "../3t.png"}, "line 4 (row 3) names ../3t.png, which lies outside"),
        ({"layout": "odd"}, "line 4 is no triplet"),
    ],
)
def test_every_wrong_row_is_one_problem(values, problem, changed):
    report = check([changed(r3=values)], size=32, content_size=32)
    (found,) = report.problems
    assert problem in found
    assert f"problem: {found}" in report.text()


def test_equal_bytes_under_two_names_are_the_same_target(changed):
    path = changed(r3={"split": "validation"})
    (path.parent / "3t.png").write_bytes((path.parent / "2t.png").read_bytes())
    (found,) = check([path], size=32, content_size=32).problems
    assert "row 3 of split validation has the same target as row 2 of split train" in found


def test_what_fits_badly_is_noted_and_no_problem(changed):
    path = changed(r5={"style": ["5t.png"]})
    Image.new("RGB", (128, 32), (7, 7, 7)).save(path.parent / "4t.png")
    report = check([path], size=32, content_size=32)
    assert report.problems == []
    assert "4t.png has 128x32 pixels, beyond 3:1; 75% of it is cropped away" in report.notes[1]
    assert "row 5 has its target as style reference" in report.notes[2]
    enlarged = check([path], size=128, content_size=32)
    assert sum("enlarged 4.0 times" in note for note in enlarged.notes) == 7


def test_several_manifests_are_compared(changed):
    path = changed()
    rows = read_manifest(path)
    again = path.parent / "again.jsonl"
    write_manifest([rows[0], rows[1].model_copy(update={"id": "new"})], again)
    report = check([path, again, path], size=32, content_size=32)
    assert [problem.split(":")[0] for problem in report.problems] == ["row 0 repeats row 0", "row new repeats row 1"]
    assert "repeats the id '0' of" in report.notes[0] and "the log cannot tell the two apart" in report.notes[0]


def test_splits_that_nobody_uses_and_styles_that_are_hardly_any_are_noted(changed):
    path = changed(r1={"split": "val"}, r2={"split": "val"}, r3={"style": ["thin.png"]})
    Image.new("RGB", (300, 40), (1, 2, 3)).save(path.parent / "thin.png")
    notes = check([path], size=32, content_size=32).notes
    assert any("2 rows have the split 'val' and are not used" in note for note in notes)
    assert any("thin.png has 300x40 pixels, hardly a style" in note for note in notes)


def test_several_sizes_and_contents_are_checked(changed):
    path = changed(r3={"content": ["3c.png", "thin.png"]})
    Image.new("RGB", (300, 20), (1, 2, 3)).save(path.parent / "thin.png")
    report = check([path], size=[32, 64], content_size=128)
    assert report.buckets == {(32, 32): 8, (64, 64): 8}
    assert "thin.png: Got a content image of 300x20 that becomes 128x8" in report.problems[0]
    assert not check([path], size=32, content_size=512).problems


def test_long_captions_are_counted_by_words_or_by_the_recipes_tokenizers(changed, tmp_path, monkeypatch):
    path = changed(r3={"prompt": "word " * 900}, r4={"prompt": "an ordinary caption of some eighteen words " * 3})
    (note,) = (note for note in check([path], 32, 32).notes if "tokens" in note)
    assert "1 captions have more than the 512 tokens that T5 reads; of row 3 748 are cut (counted by words" in note
    given = reading(["toy", f"data.manifests={path}", f"data.cache={tmp_path}", "data.size=32"])
    assert (given.manifests, given.sizes, given.content_size) == ([path], [32], 128)
    (note,) = (note for note in check(*given).notes if "tokens" in note)
    assert "2 captions have more than the 16 tokens that USO-mini reads; of row 3 885 are cut" in note
    assert reading([str(path), str(path)], 64) == ([path, path], [64], 512, None, None)
    assert reading([str(path)], content_size=256).content_size == 256
    with pytest.raises(ValueError, match="got the recipe 'my_stile'"):
        reading(["my_stile"])


def test_the_masks_of_a_recipe_are_opened(changed, tmp_path):
    path, folder = changed(), tmp_path / "masks"
    folder.mkdir()
    for number in range(4):
        Image.new("L", (32, 32), 255 * bool(number)).save(folder / f"{number}t.png")
    (folder / "1t.png").write_bytes((folder / "1t.png").read_bytes()[:60])
    Image.new("L", (64, 32)).save(tmp_path / "other.png")
    given = ["toy", f"data.manifests={path}", f"data.cache={tmp_path}", "data.size=32"]
    report = check(*reading([*given, f"data.masks={folder}"]))
    (problem,) = report.problems
    assert problem.startswith(f"data.masks: {folder / '1t.png'} cannot be read as a picture")
    assert any("0t.png is black all over" in note for note in report.notes)
    assert any("4 of 8 targets have no mask" in note for note in report.notes)
    (tmp_path / "other.png").replace(folder / "2t.png")
    (problem,) = check(*reading([*given, f"data.masks={folder}"])).problems
    assert "2t.png has 64x32 pixels, but 2t.png has 32x32" in problem
    assert "8 of 8 targets are opaque" in " ".join(check(*reading([*given, "data.masks=alpha"])).notes)
    assert not check(*reading(given)).problems


def test_a_long_list_is_shortened(changed):
    path = changed()
    path.write_text("\n".join("no" for _ in range(60)))
    text = check([path]).text()
    assert text.count("problem: ") == 50 and "... and 10 more of this kind" in text


def test_the_command_ends_with_the_right_code(changed, capsys):
    path = changed()
    assert main(["check", str(path), "--size", "32"]) == 0
    assert "8" in capsys.readouterr().out
    (path.parent / "0t.png").unlink()
    assert main(["check", str(path), "--size", "32"]) == 1
    assert "0t.png is not there" in capsys.readouterr().out
    path.write_text("")
    assert main(["check", str(path)]) == 1
    assert "manifest.jsonl is empty" in capsys.readouterr().out
    assert main(["check", str(path.parent / "none.jsonl")]) == 2
    assert "none.jsonl is not there" in capsys.readouterr().err
