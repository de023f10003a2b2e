"""What `uso import` says: what was skipped, what is not there, what could be meant; and its options."""

from __future__ import annotations

import json
import os

import pytest
from comfyui_uso.cli import main
from comfyui_uso.trainer.data.importers.found import Options
from comfyui_uso.trainer.data.importers.kinds import import_rows
from comfyui_uso.trainer.data.manifest import read_manifest
from PIL import Image

STYLE = Options(reference="style")


def refused(kind, source, error, **options):
    with pytest.raises(ValueError, match=error) as raised:
        import_rows(kind, source, Options(**options))
    assert "\n" not in str(raised.value)


def test_everything_that_is_left_out_is_counted(files):
    root = files(
        "p/a.png", "p/B.PNG", "p/c.jpeg", "p/d.mp4", "p/._a.png", "p/.DS_Store", "p/e.png.txt", "p/a.TXT", "p/sub/g.png"
    )
    for name in ("c.jpeg", "B.PNG", "folder.png/x"):
        (root / "p" / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (16, 16)).save(root / "p" / name, "PNG")
    (root / "p/gone.png").symlink_to(root / "nowhere.png")
    found = import_rows("pictures", root / "p", STYLE)
    assert [row.id for row in found.rows] == ["p/B", "p/a", "p/c"]
    assert found.lines[0].startswith("7 skipped: 2 hidden, 2 sub-folders, 1 ")
    assert "1 .txt without a picture of their name" in found.lines[0]
    assert "1 .mp4" in found.lines[0] and "1 broken links" in found.lines[0]
    assert found.lines[1].startswith("1 of 3 pictures have a caption; for the others use --caption TEXT")
    rows = import_rows("pictures", root / "p", Options(reference="style", recursive=True)).rows
    assert {"p/sub/g"} < {row.id for row in rows} and len(rows) == 4


@pytest.mark.parametrize("other", ["1.jpg", "1.webp"])
def test_targets_of_one_stem_that_share_a_caption_or_a_reference_are_said(files, other):
    root = files("p/1.png", f"p/{other}", "p/1.txt", "p/2.png", "p/2.txt")
    (line,) = (line for line in import_rows("pictures", root / "p", STYLE).lines if "share" in line)
    assert "1.png" in line and other in line and "share the caption 1.txt: rename the pictures" in line
    root = files("f/target/1.png", f"f/target/{other}", "f/target/a.png", "f/style/a.png")
    for name in ("1.gif", "1_0.gif"):
        Image.new("RGB", (16, 16)).save(root / "f/style" / name)
    lines = import_rows("folders", root / "f").lines
    (line,) = (line for line in lines if "share" in line)
    assert "share the reference 1.gif (2 references are shared so)" in line and other in line
    files("g/target/1.png", f"g/target/{other}", "g/style/1.png", f"g/style/{other}")
    assert not any("share" in line for line in import_rows("folders", root / "g").lines), "each has its own"


def test_captions_in_capitals_are_shared_too(files):
    root = files("p/A.png", "p/a.jpg", "p/a.txt", "p/b.png")
    assert any("share the caption a.txt" in line for line in import_rows("pictures", root / "p", STYLE).lines)
    files("p/A.txt")
    assert not any("share" in line for line in import_rows("pictures", root / "p", STYLE).lines)


def test_pictures_that_get_the_caption_of_the_command_line_are_said(files):
    root = files("p/1.png", "p/2.png")
    for options, words in (
        ({"caption": "a drawing"}, "0 of 2 pictures have a caption; the others get that of --caption: 'a drawing'"),
        ({"caption": "x", "trigger": "w"}, "the others get that of --caption and the trigger w: 'x'"),
        ({"trigger": "w"}, "the others get the trigger w alone; for more use --caption TEXT"),
        ({}, "for the others use --caption TEXT"),
    ):
        lines = import_rows("pictures", root / "p", Options(reference="style", **options)).lines
        assert any(words in line for line in lines), lines


def test_every_promised_format_is_imported(tmp_path):
    for number, (kind, ending) in enumerate({"GIF": ".gif", "AVIF": ".avif", "JPEG": ".jfif", "MPO": ".mpo"}.items()):
        Image.new("RGB", (16, 16)).save(tmp_path / f"{number}{ending}", kind)
    assert len(import_rows("pictures", tmp_path, STYLE).rows) == 4


@pytest.mark.skipif(os.name == "nt", reason="names there are Unicode")
def test_a_name_that_is_no_unicode_is_counted(files):
    root = files("a.png", "b.png")
    os.rename(root / "b.png", os.fsencode(root) + b"/caf\xe9.png")
    files("c.png")
    found = import_rows("pictures", root, STYLE)
    assert len(found.rows) == 2 and "1 names that are no Unicode" in found.lines[0]


def test_captions_triggers_and_splits(files):
    root = files(*(f"p/{n}.png" for n in range(40)), "p/1.caption", "p/2.caption")
    (root / "p/2.caption").write_text("ghibli house by [trigger]", encoding="utf-8")
    options = {"reference": "style", "caption_extension": ".caption", "caption": "a drawing", "trigger": "ghibli"}
    found = import_rows("pictures", root / "p", Options(**options, split=0.25))
    prompts = {row.id: row.prompt for row in found.rows}
    assert [prompts[f"p/{n}"] for n in (0, 1, 2)] == [
        "ghibli, a drawing",
        "ghibli, caption of 1",
        "ghibli house by ghibli",
    ]
    held = {row.id for row in found.rows if row.split == "validation"}
    assert 3 <= len(held) <= 18 and f"{len(held)} rows are held out" in found.lines
    (root / "p/39.png").unlink()
    fewer = import_rows("pictures", root / "p", Options(**options, split=0.25)).rows
    assert {row.id for row in fewer if row.split == "validation"} == held - {"p/39"}
    pairs = import_rows("pictures", root / "p", Options(reference="content", split=0.25)).rows
    split = {row.target: row.split for row in pairs}
    assert all(split[row.target] == row.split for row in pairs), "a target is in one split only"


def test_what_pictures_share_must_be_said(files, found):
    root = files("p/0.png", "p/1.png", "p/2.png")
    refused("pictures", root / "p", "say what they share with --reference style, or --reference content for one")
    assert [(row[0][2:], row[1], row[2]) for row in found("pictures", "p", reference="content")][:2] == [
        ("0.png", [], ["p/1.png"]),
        ("0.png", [], ["p/2.png"]),
    ]
    files(*(f"p/{n}.png" for n in range(3, 40)))
    assert {len(row[1]) for row in found("pictures", "p", reference="style")} == {16}
    assert len(found("pictures", "p", reference="content")) == 40 * 16


def test_one_picture_has_nothing_to_refer_to(files):
    root = files("p/x.txt")
    refused("pictures", root / "p", r"holds no picture .*; skipped|holds no picture", reference="style")
    files("p/0.png")
    refused("pictures", root / "p", "holds one picture", reference="style")
    refused("pictures", root / "gone", "gone is not there")


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("t\\0.png", r"line 1 names t\\0.png, a path of Windows; write paths as they are on this machine"),
        ("D:\\data\\t\\0.png", "line 1 names D:.*a path of Windows"),
        ("/path/to/image1.jpg", "line 1 names /path/to/image1.jpg, which is not there"),
        ("t/1.png", "line 1 names t/1.png, which is not in"),
        ("", "line 1 names '', expected the path"),
        ("t", "line 1 names t, which is not in"),
        ("\0", "line 1 names"),
    ],
)
def test_what_is_named_must_be_there(name, error, files):
    root = files("t/0.png", **{"rows.jsonl": {"image_path": name, "caption": "a"}})
    refused("musubi", root / "rows.jsonl", error)


def test_rows_with_missing_pictures_can_be_left_out(files):
    lines = [{"image_path": f"{n}.png", "caption": "", "control_path": f"{n}.png"} for n in range(9)]
    root = files("3.png", "4.png", **{"rows.jsonl": "\n".join(map(json.dumps, lines))})
    refused("musubi", root / "rows.jsonl", r"line 1 .*; and 9 more. Put the files there, or .*--skip-missing")
    found = import_rows("musubi", root / "rows.jsonl", Options(skip_missing=True))
    assert len(found.rows) == 2 and "rows whose pictures are not all there" in found.lines[0]


def test_keys_that_mean_nothing_are_named(files):
    root = files("0.png", "1.png")
    files(**{"rows.jsonl": '{"image_path": "0.png", "control_image_path": "1.png"}\n{"image_path": "1.png"}'})
    found = import_rows("musubi", root / "rows.jsonl", STYLE)
    assert "rows.jsonl: not used are control_image_path" in found.lines


def test_of_two_references_of_one_stem_the_whole_name_decides(files, found):
    root = files("t/0.png", "t/1.png", "c/0.jpg", "c/0.png", "c/0.webp", "c/1.jpg")
    assert [row[2] for row in found("ai-toolkit", "t", control=(root / "c",))] == [["c/0.png"], ["c/1.jpg"]]
    files("c/1.webp")
    refused(
        "ai-toolkit",
        root / "t",
        r"more than one picture could be meant: 1.jpg and 1.webp for 1.png",
        control=(root / "c",),
    )
    refused("musubi", root / "t", r"1.jpg and 1.webp for 1.png", control=(root / "c",))


def test_every_target_needs_its_references(files):
    root = files("t/0.png", "t/1.png", "c/0.png")
    refused("ai-toolkit", root / "t", r"1.png has no picture of the same name in .*c", control=(root / "c",))
    refused("ai-toolkit", root / "t", "needs the folder of its references")
    refused("ai-toolkit", root / "t", "gone is no folder", control=(root / "gone",))
    refused("uno", root / "t", "--control is for folders of ai-toolkit and musubi", control=(root / "c",))
    refused("diffusion-pipe", root / "t", "got the kind 'diffusion-pipe', expected auto or one of ai-toolkit")
    refused("folders", root, "lacks the folders target/")
    refused("kohya", root, "holds no folder named like 10_name")
    refused("imagefolder", root, "holds neither metadata.jsonl nor metadata.csv")


@pytest.mark.parametrize(
    ("kind", "name", "text", "error"),
    [
        ("uno", "a.json", "{}", "a.json holds an object, expected a JSON list"),
        ("uno", "a.json", "[", "a.json is not JSON"),
        ("uno", "a.json", "[]", "a.json holds no row"),
        ("uno", "a.json", '[{"prompt": "a", "image_path": "a.png"}]', "item 1 has no text 'image_tgt_path'"),
        ("uno", "a.json", '[{"prompt": "a", "image_tgt_path": "a.png"}]', "item 1 has neither image_path nor"),
        ("uno", "a.json", '[{"image_path": "b.png", "image_tgt_path": "a.png"}]', "item 1 has no text 'prompt'"),
        ("uno", "a.json", '[{"img_path1": "a", "img_path2": "b"}]', "item 1 has no caption of img_path2"),
        ("uno", "a.json", "[3]", "item 1 holds a number and has no text"),
        ("musubi", "a.jsonl", "[", "a.jsonl line 1 is not JSON"),
        ("musubi", "a.jsonl", "[]", "line 1 holds a list, expected an object"),
        ("musubi", "a.jsonl", '{"caption": "a"}', "line 1 has no text 'image_path'"),
        ("musubi", "a.jsonl", '{"image_path": "a.png", "caption": 3}', "line 1 has caption = 3, expected a text"),
        ("musubi", "a.jsonl", '{"image_path": "a.png", "control_path": []}', "has no text 'control_path'; several"),
        ("musubi", "a.jsonl", '{"image_path_0": "a.png", "image_path_1": "b.png"}', "has several image_path"),
        ("musubi", "a.toml", "x = ", "a.toml is not TOML"),
        ("musubi", "a.toml", "x = 1", r"a.toml has no \[\[datasets\]\] tables"),
        ("musubi", "a.toml", "[[datasets]]\nimage_directory = 'gone'", "image_directory is gone, no folder on this"),
        ("musubi", "a.toml", "[[datasets]]\nimage_directory = 'C:\\a'", r"is C:\\a, a path of Windows"),
        ("musubi", "a.toml", "[[datasets]]\nimage_directory = \"C:\\pictures\"", "Windows paths in single quotes"),
        ("kohya", "a.toml", "[[datasets]]\nresolution = 512", r"datasets 1 has no \[\[subsets\]\] tables"),
        ("kohya", "a.toml", "[[datasets]]\n[[datasets.subsets]]\nnum_repeats = 'x'", "has 'num_repeats' = x, expected"),
        ("kohya", "a.toml", "[[datasets]]\n[[datasets.subsets]]\nimage_dir = 3", "image_dir is '3', expected the path"),
        ("ai-toolkit", "a.yaml", "config: 3", "has no config with a list `process`"),
        ("ai-toolkit", "a.yaml", "config: {process: [{}]}", "has no datasets in its process"),
        ("ai-toolkit", "a.yaml", "config: {process: [{datasets: [3]}]}", "dataset 1 is 3, expected settings"),
        ("ai-toolkit", "a.yaml", "config: {process: [{datasets: [{}]}]}", "folder_path is 'None', expected the path"),
        ("simpletuner", "a.json", '{"id": "a"}', "is no JSON list of data sets"),
        ("simpletuner", "a.json", '[{"id": "a", "type": "aws"}]', "is of type aws; only sets of type local"),
        ("simpletuner", "a.json", '[{"id": "a", "conditioning_data": 3}]', "has conditioning_data = 3, expected ids"),
        ("imagefolder", "a.csv", "a,b\n1,2\n", "has the columns a, b and no file_name"),
        ("imagefolder", "a.csv", "file_name,text\na.png,b,c\n", "more fields than its first"),
        ("imagefolder", "a.csv", 'file_name,text\na.png,"b', "is no table of comma-separated values"),
        ("imagefolder", "a.jsonl", '{"file_name": 3}', "row 1 names '3', expected the path of a picture"),
        ("auto", "a.xyz", "[]", "is of no known kind; name the kind"),
    ],
)  # fmt: skip
def test_a_file_of_another_format_is_refused(kind, name, text, error, tmp_path):
    (tmp_path / name).write_text(text, encoding="utf-8")
    refused(kind, tmp_path / name, error)


def test_the_documented_commands(files, capsys):
    root = files("targets/0.png", "targets/1.png", "references/0.png", "references/1.png")
    command = ["import", "ai-toolkit", str(root / "targets"), "--control", str(root / "references")]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "0 of 2 pictures have a caption" in out and "lie in references: ../references" in out and "2 rows" in out
    assert len(read_manifest(root / "targets/manifest.jsonl")) == 2
    assert main(command) == 2 and "is there already; give another name with --out" in capsys.readouterr().err
    assert main([*command, "--force"]) == 0
    assert main(["import", "auto", str(root / "targets"), "--reference", "style", "--out", str(root / "m.jsonl")]) == 0
    assert main(["import", "pictures", str(root / "targets"), "--reference", "style", "--out", str(root)]) == 2
    assert "is a folder; give the manifest a name in it" in capsys.readouterr().err
    source = files(**{"manifest.jsonl": {"image_path": "targets/0.png"}}) / "manifest.jsonl"
    assert main(["import", "musubi", str(source), "--force", "--reference", "style"]) == 2
    assert "is what is imported" in capsys.readouterr().err


def test_two_folders_have_ids_of_their_own(files, capsys):
    root = files("k1/0.png", "k1/1.png", "k2/0.png", "k2/1.png")
    for name in ("k1", "k2"):
        assert main(["import", "pictures", str(root / name), "--reference", "style", "--caption", "x"]) == 0
    assert [row.id for row in read_manifest(root / "k1/manifest.jsonl")] == ["k1/0", "k1/1"]
    capsys.readouterr()
    main(["check", str(root / "k1/manifest.jsonl"), str(root / "k2/manifest.jsonl"), "--size", "16"])
    assert "the log cannot tell" not in capsys.readouterr().out


def test_options_that_make_no_sense_are_refused(files, capsys):
    root = files("p/0.png", "p/1.png", "p/0.caption")
    refused("pictures", root / "p", "got --split 1.5, expected a share", reference="style", split=1.5)
    refused("pictures", root / "p", "got --split nan", reference="style", split=float("nan"))
    refused("pictures", root / "p", "--min-score is for data sets of kind uno, got pictures", min_score=3.5)
    refused("kohya", root / "p", "--caption-column is for data sets of kind imagefolder", caption_column="x")
    command = ["import", "pictures", str(root / "p"), "--reference", "style", "--caption-extension", "caption"]
    assert main(command) == 0 and "1 of 2 pictures have a caption" in capsys.readouterr().out


def test_folders_in_circles_are_gone_through_once(files):
    root = files("p/0.png", "p/sub/1.png")
    (root / "p/sub/again").symlink_to(root / "p/sub")
    (root / "p/sub/back").symlink_to(root / "p")
    (root / "p/sub/self.png").symlink_to("self.png")
    found = import_rows("pictures", root / "p", Options(reference="style", recursive=True))
    assert sorted(row.id for row in found.rows) == ["p/0", "p/sub/1"] and "1 broken links" in found.lines[0]


def test_a_share_that_holds_nothing_out_is_said(files):
    root = files("a.png", "b.png")
    assert (
        "no row is held out: 2 pictures are too few for --split 0.001"
        in import_rows("pictures", root, Options(reference="style", split=0.001)).lines
    )
