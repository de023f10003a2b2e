"""Data sets of other trainers, through a manifest and back."""

from __future__ import annotations

import json

import pytest
from comfyui_uso.cli import main
from comfyui_uso.trainer.data.importers import (
    import_ai_toolkit,
    import_musubi,
    import_pictures,
    import_rows,
    import_uno,
)
from comfyui_uso.trainer.data.manifest import read_manifest, write_manifest
from PIL import Image


@pytest.fixture
def folder(tmp_path):
    """Make folders of targets and references: `t/0.png` and `c/0.jpg` belong together."""
    for number in range(3):
        for name in (f"t/{number}.png", f"c/{number}.jpg", f"d/{number}.webp"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            Image.new("RGB", (32, 32), (number * 50, len(name), 0)).save(tmp_path / name)
        (tmp_path / f"t/{number}.txt").write_text(f" picture {number}\n", encoding="utf-8")
    return tmp_path


def back(rows, folder):
    """Write rows, read them and return them with paths relative to the folder."""
    write_manifest(rows, folder / "manifest.jsonl")
    read = read_manifest(folder / "manifest.jsonl")
    assert read == rows and all(path.is_file() for row in read for path in row.pictures)
    return [
        (
            row.id,
            str(row.target.relative_to(folder)),
            [str(path.relative_to(folder)) for path in row.style],
            None if row.content is None else str(row.content.relative_to(folder)),
            row.prompt,
        )
        for row in read
    ]


@pytest.fixture
def uno(folder):
    items = [
        {"prompt": "one", "image_paths": ["c/0.jpg", "d/0.webp"], "image_tgt_path": "t/0.png"},
        {"prompt": "two", "image_path": "c/1.jpg", "image_tgt_path": "t/1.png"},
        {"prompt": "three", "image_paths": [], "image_tgt_path": "t/1.png", "score": 4.0},
    ]
    path = folder / "uno.json"
    path.write_text(json.dumps(items), encoding="utf-8")
    return path


def test_uno(uno, folder, caplog):
    assert back(import_uno(uno), folder) == [
        ("t/0", "t/0.png", [], "c/0.jpg", "one"),
        ("t/1", "t/1.png", [], "c/1.jpg", "two"),
        ("t/1#2", "t/1.png", [], None, "three"),
    ]
    assert "1 of 3 rows of uno.json have several references" in caplog.text


def test_references_can_be_styles(uno, folder, caplog):
    assert [row[2] for row in back(import_uno(uno, "style"), folder)] == [["c/0.jpg", "d/0.webp"], ["c/1.jpg"], []]
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("{}", "uno.json holds dict, expected a JSON list"),
        ("[", "uno.json is not JSON"),
        ("[]", "uno.json holds no row"),
        ('[{"prompt": "a", "image_path": "a.png"}]', "item 1 has no text 'image_tgt_path'"),
        ('[{"prompt": "a", "image_tgt_path": "a.png"}]', "item 1 has neither image_path nor"),
        ('[{"prompt": "a", "image_paths": "b.png", "image_tgt_path": "a.png"}]', "item 1 has neither image_path nor"),
        ('[{"image_path": "b.png", "image_tgt_path": "a.png"}]', "item 1 has no text 'prompt'"),
        ("[3]", "item 1 has no text"),
    ],
)
def test_a_file_that_is_not_unos_is_refused(text, error, tmp_path):
    (tmp_path / "uno.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=error):
        import_uno(tmp_path / "uno.json")


def test_ai_toolkit(folder):
    assert back(import_ai_toolkit(folder / "t", folder / "c"), folder) == [
        (str(n), f"t/{n}.png", [], f"c/{n}.jpg", f"picture {n}") for n in range(3)
    ]
    assert back(import_ai_toolkit(folder / "t", folder / "d", "style"), folder)[0][2:4] == (["d/0.webp"], None)


def test_ai_toolkit_needs_a_reference_for_every_target(folder):
    (folder / "c/1.jpg").unlink()
    with pytest.raises(ValueError, match=r"1.png has no picture of the same name in .*c;"):
        import_ai_toolkit(folder / "t", folder / "c")
    with pytest.raises(ValueError, match="is no folder"):
        import_ai_toolkit(folder / "t", folder / "gone")
    with pytest.raises(ValueError, match="needs the folder of its references"):
        import_rows("ai-toolkit", folder / "t")


def test_musubi(folder, monkeypatch):
    path = folder / "rows.jsonl"
    lines = [
        {"image_path": "t/0.png", "caption": "one", "control_path": "c/0.jpg"},
        {
            "image_path": str(folder / "t/1.png"),
            "caption": "two",
            "control_path_10": "d/1.webp",
            "control_path_2": "c/1.jpg",
        },
        {"image_path": "t/2.png", "caption": "three"},
    ]
    path.write_text("\n\n".join(map(json.dumps, lines)), encoding="utf-8")
    wanted = [
        ("t/0", "t/0.png", [], "c/0.jpg", "one"),
        ("t/1", "t/1.png", [], "c/1.jpg", "two"),
        ("t/2", "t/2.png", [], None, "three"),
    ]
    assert back(import_musubi(path), folder) == wanted
    assert [row[2] for row in back(import_musubi(path, "style"), folder)] == [["c/0.jpg"], ["c/1.jpg", "d/1.webp"], []]
    # musubi itself reads relative paths from the working folder
    (folder / "lists").mkdir()
    monkeypatch.chdir(folder)
    path.rename(folder / "lists/rows.jsonl")
    assert [row[1:] for row in back(import_musubi(folder / "lists/rows.jsonl"), folder)] == [row[1:] for row in wanted]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("[", "line 2 is not JSON"),
        ('{"caption": "a"}', "line 2 has no text 'image_path'"),
        ('{"image_path": "a.png"}', "line 2 has no text 'caption'"),
        ('{"image_path": "a.png", "caption": "a", "control_path": 3}', "line 2 has no text 'control_path'"),
    ],
)
def test_a_line_that_is_not_musubis_is_refused(line, error, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"image_path": "a.png", "caption": "a"}\n' + line, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"rows.jsonl {error}"):
        import_musubi(path)


def test_pictures_of_one_style_or_subject_refer_to_each_other(folder):
    found = back(import_pictures(folder / "t", "style"), folder)
    assert found[1] == ("1", "t/1.png", ["t/2.png", "t/0.png"], None, "picture 1")
    found = back(import_pictures(folder / "t", "content"), folder)
    assert [(row[1], row[3]) for row in found] == [
        (f"t/{a}.png", f"t/{b}.png") for a, b in ((0, 1), (0, 2), (1, 2), (1, 0), (2, 0), (2, 1))
    ]
    for number in range(3, 40):
        Image.new("RGB", (8, 8)).save(folder / f"t/{number}.png")
    assert {len(row[2]) for row in back(import_pictures(folder / "t", "style"), folder)} == {16}
    assert len(import_pictures(folder / "t", "content")) == 40 * 16


def test_one_picture_has_nothing_to_refer_to(tmp_path):
    with pytest.raises(ValueError, match="holds no picture"):
        import_pictures(tmp_path)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="holds one picture"):
        import_pictures(tmp_path)


def test_the_command_imports_and_checks(uno, folder, capsys):
    out = folder / "manifest.jsonl"
    assert main(["import", "uno", str(uno)]) == 0
    assert "3 rows" in capsys.readouterr().out and len(read_manifest(out)) == 3
    assert main(["import", "ai-toolkit", str(folder / "t"), "--control", str(folder / "c"), "--out", str(out)]) == 0
    assert len(read_manifest(out)) == 3
    assert main(["import", "ai-toolkit", str(folder / "t"), "--control", str(folder / "c")]) == 2
    assert "lies outside" in capsys.readouterr().err
    assert main(["import", "uno", str(uno), "--control", str(folder / "c")]) == 2
    assert "--control is for ai-toolkit" in capsys.readouterr().err
