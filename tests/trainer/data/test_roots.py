"""Manifests whose pictures lie outside their folder: the roots that they state."""

from __future__ import annotations

import json
import shutil

import pytest
from comfyui_uso.trainer.data.manifest import Row, read_manifest, scan_manifest, write_manifest
from comfyui_uso.trainer.data.roots import roots_for


@pytest.fixture
def folders(tmp_path):
    for name in ("set/targets/0.png", "set/references/0.png", "other/deep/0.png", "blobs/abc"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_siblings_become_roots_and_the_set_may_move(folders):
    here = folders / "set/targets/manifest.jsonl"
    row = Row(id="a", target=here.parent / "0.png", content=folders / "set/references/0.png")
    assert write_manifest([row], here) == {"references": "../references"}
    assert lines(here)[0] == {"roots": {"references": "../references"}}
    assert (lines(here)[1]["target"], lines(here)[1]["content"]) == ("0.png", "references:0.png")
    assert read_manifest(here) == [row]
    shutil.move(folders / "set", folders / "moved")
    (again,) = read_manifest(folders / "moved/targets/manifest.jsonl")
    assert again.content.resolve() == folders / "moved/references/0.png"


def test_a_manifest_may_lie_in_a_folder_of_its_own(folders):
    here = folders / "lists/m.jsonl"
    rows = [
        Row(id="a", target=folders / "set/targets/0.png", style=[folders / "other/deep/0.png"]),
        Row(id="b", target=folders / "set/references/0.png"),
    ]
    assert set(write_manifest(rows, here)) == {"deep", "references", "targets"}
    assert [path.resolve() for row in read_manifest(here) for path in row.pictures] == [
        path for row in rows for path in row.pictures
    ]


def test_two_folders_of_one_name_and_very_many_folders(tmp_path):
    roots = roots_for(tmp_path / "m", [tmp_path / "x/a/img/0.png", tmp_path / "x/b/img/0.png"])
    assert roots == {"img": "../x/a/img", "img-2": "../x/b/img"}
    assert roots_for(tmp_path / "m", [tmp_path / f"x/{n}/0.png" for n in range(40)]) == {"root-x": "../x"}


def test_links_as_hugging_face_makes_them(folders):
    snapshot = folders / "snapshot"
    snapshot.mkdir()
    (snapshot / "0.png").symlink_to("../blobs/abc")
    row = Row(id="a", target=snapshot / "0.png")
    assert write_manifest([row], snapshot / "manifest.jsonl") == {"blobs": "../blobs"}
    assert lines(snapshot / "manifest.jsonl")[1]["target"] == "0.png"
    assert read_manifest(snapshot / "manifest.jsonl") == [row]


@pytest.mark.parametrize(
    ("first", "row", "error"),
    [
        ({"roots": {"refs": "../references"}}, {"target": "refs:../../other/deep/0.png"}, "line 2 .*lies outside"),
        ({"roots": {"refs": "../references"}}, {"target": "/etc/passwd"}, "line 2 .*lies outside"),
        ({"roots": {"refs": "../references"}}, {"target": "reffs:0.png"}, "line 2 .*does not state"),
        ({"roots": {"d": "../references"}}, {"target": "0.png"}, "line 1 has the root 'd'; .*two or more letters"),
        ({"roots": {"refs": "D:/pictures"}}, {"target": "0.png"}, "line 1 .*path of Windows; write where it is"),
        ({"roots": ["../references"]}, {"target": "0.png"}, "line 1 has roots that are no object"),
        ({"roots": {"refs": 3}}, {"target": "0.png"}, "line 1 has roots that are no object"),
        (None, {"target": "t\\0.png"}, "line 1 .*path of Windows"),
        (None, {"target": "D:\\data\\0.png"}, "line 1 .*path of Windows"),
        (None, {"target": "D:/data/0.png"}, "line 1 .*path of Windows"),
    ],
)
def test_wrong_roots_and_foreign_paths_are_said_with_their_line(first, row, error, folders):
    path = folders / "set/targets/m.jsonl"
    path.write_text("\n".join(json.dumps(one) for one in (first, {"id": "a", **row}) if one), encoding="utf-8")
    with pytest.raises(ValueError, match=error):
        read_manifest(path)
    assert any(isinstance(found, str) for found in scan_manifest(path))


def test_a_name_with_a_colon_or_a_backslash_is_a_name_where_a_file_has_it(folders):
    for name in ("a:b.png", "a\\b.png", "aa:b.png"):
        (folders / "set" / name).touch()
        path = folders / "set/m.jsonl"
        path.write_text(json.dumps({"id": "a", "target": name}), encoding="utf-8")
        assert read_manifest(path)[0].target == folders / "set" / name
