"""Reading and writing manifests."""

from __future__ import annotations

import json

import pytest
from comfyui_uso.trainer.data.manifest import Row, read_manifest, scan_manifest, write_manifest, write_rows


def written(folder, *lines):
    path = folder / "rows.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return path


def test_paths_are_relative_to_the_manifest(manifest, monkeypatch):
    monkeypatch.chdir(manifest.parent)
    for path in (manifest, manifest.name):
        rows = read_manifest(path)
        assert len(rows) == 8
        assert all(picture.is_absolute() and picture.is_file() for row in rows for picture in row.pictures)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ({"id": "b", "targt": "b.png"}, r"rows.jsonl line 2 is no triplet .*targt"),
        ({"id": "b", "target": "b.png", "layout": "free"}, r"rows.jsonl line 2 is no triplet .*layout"),
        ({"id": "", "target": "b.png"}, r"rows.jsonl line 2 is no triplet .*id"),
        (["b", "b.png"], r"rows.jsonl line 2 is no triplet"),
        ('{"id": "b", ', r"rows.jsonl line 2 is not JSON"),
        ({"id": "a", "target": "b.png"}, r"rows.jsonl line 2 repeats the id 'a'"),
        ({"id": "b", "target": "../b.png"}, r"line 2 \(row b\) names .*outside"),
        ({"id": "b", "target": "b.png", "style": ["s/../../b.png"]}, r"line 2 \(row b\) names .*outside"),
        ({"id": "b", "target": "b.png", "content": "/etc/passwd"}, r"line 2 \(row b\) names /etc/passwd.*outside"),
        ({"id": "b", "target": ".."}, r"line 2 \(row b\) names .*outside"),
        ({"id": "b", "target": ""}, r"line 2 \(row b\) names .*outside"),
    ],
)
def test_a_wrong_row_is_named_with_its_line(line, error, tmp_path):
    path = written(tmp_path, {"id": "a", "target": "a.png"}, line)
    with pytest.raises(ValueError, match=error) as raised:
        read_manifest(path)
    assert "\n" not in str(raised.value)


def test_a_link_must_not_lead_out_of_the_folder(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "out"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "a.png").touch()
    (inside / "link.png").symlink_to(outside / "a.png")
    (inside / "linked").symlink_to(outside)
    (inside / "fine.png").symlink_to(inside / "a.png")
    for picture in ("link.png", "linked/a.png"):
        with pytest.raises(ValueError, match="outside"):
            read_manifest(written(inside, {"id": "a", "target": picture}))
    assert read_manifest(written(inside, {"id": "a", "target": "fine.png"}))


@pytest.mark.parametrize("text", ["", "\n  \n"])
def test_an_empty_manifest_is_an_error(text, tmp_path):
    with pytest.raises(ValueError, match=r"rows.jsonl holds no row"):
        read_manifest(written(tmp_path, text))


def test_an_absent_manifest_or_split_is_an_error(manifest):
    with pytest.raises(ValueError, match="no row of split 'test'"):
        read_manifest(manifest, "test")
    with pytest.raises(ValueError, match=r"none.jsonl is not there"):
        read_manifest(manifest.parent / "none.jsonl")


def test_only_utf_8_is_read_with_or_without_mark(tmp_path):
    path = tmp_path / "rows.jsonl"
    line = json.dumps({"id": "a", "target": "a.png", "prompt": "K\xe4se"}, ensure_ascii=False)
    path.write_text(line, encoding="utf-8-sig")
    assert read_manifest(path)[0].prompt == "K\xe4se"
    path.write_text(line, encoding="latin-1")
    with pytest.raises(ValueError, match=r"rows.jsonl is not UTF-8"):
        read_manifest(path)


def test_a_scan_goes_on_behind_a_wrong_row(tmp_path):
    found = list(scan_manifest(written(tmp_path, {"id": "a", "target": "a.png"}, "no", {"id": "b", "target": "b.png"})))
    assert [row.id if isinstance(row, Row) else "wrong" for row in found] == ["a", "wrong", "b"]


def test_what_is_written_is_read_back(manifest, tmp_path):
    rows = read_manifest(manifest)
    odd = {
        "prompt": 'new\nline, "quotes", \u2028, \u0085 and \u732b',
        "scores": {"csd": 0.25},
        "style": [rows[1].target] * 2,
    }
    rows[0] = rows[0].model_copy(update=odd)
    write_manifest(rows, tmp_path / "again.jsonl")
    assert read_manifest(tmp_path / "again.jsonl") == rows
    assert str(tmp_path) not in (tmp_path / "again.jsonl").read_text()


def test_no_rows_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="no rows"):
        write_manifest([], tmp_path / "rows.jsonl")
    assert not (tmp_path / "rows.jsonl").exists()


def test_rows_are_written_as_they_are_in_one_format(tmp_path):
    """What is written relative reads back absolute, and absolute rows are written to the same bytes."""
    rows = [
        Row(id="a", target="x/t.png", style=["s.png"], content="c.png", prompt="caf\xe9"),
        Row(id="b", target="t.png"),
    ]
    write_rows(rows, tmp_path / "m.jsonl")
    text = (tmp_path / "m.jsonl").read_text(encoding="utf-8")
    assert [*json.loads(text.split("\n")[0]), "weight"] == list(Row.model_fields) and "caf\xe9" in text
    read = read_manifest(tmp_path / "m.jsonl")
    assert read[0].target == tmp_path / "x/t.png" and read[1].content is None
    write_manifest(read, tmp_path / "n.jsonl")
    assert (tmp_path / "n.jsonl").read_bytes() == (tmp_path / "m.jsonl").read_bytes()


def test_what_is_no_unicode_is_not_written(tmp_path):
    """A folder named by another system, or a caption of a command line in another encoding."""
    for row in (
        Row(id="a", target="caf\udce9/a.png"),
        Row(id="a", target="a.png", prompt="x").model_copy(update={"prompt": "\udce9"}),
    ):
        with pytest.raises(ValueError, match="row a has a caption or a path that is no Unicode"):
            write_rows([row], tmp_path / "m.jsonl")
    assert list(tmp_path.iterdir()) == []
