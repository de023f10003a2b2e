"""Archives of strangers become rows: nothing is unpacked under its own name, and what is damaged is said."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from comfyui_uso.trainer.data.importers.found import Options
from comfyui_uso.trainer.data.importers.kinds import import_rows
from comfyui_uso.uso_model.errors import UserError
from PIL import Image


def png(number: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (16, 16), (number, 0, 0)).save(data, "PNG")
    return data.getvalue()


def tar(path: Path, **members: bytes) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def imported(source: Path, **options):
    folder = source.parent / "unpacked"
    found = import_rows("auto", source, Options(unpacked=folder, **options))
    rows = list(found.rows)
    assert all(path.is_relative_to(folder) and len(path.stem) == 64 for row in rows for path in row.pictures)
    assert {path.relative_to(source.parent).parts[0] for path in source.parent.rglob("*")} <= {source.name, "unpacked"}
    return rows, found.lines


def test_pictures_that_refer_to_each_other(tmp_path):
    source = tar(tmp_path / "a.tar", **{f"{n}.png": png(n) for n in range(3)}, **{"0.txt": b"a cat\n"})
    rows, _ = imported(source, reference="style")
    assert [(row.id, row.prompt, len(row.style), row.content) for row in rows] == [
        ("a/0", "a cat", 2, None), ("a/1", "", 2, None), ("a/2", "", 2, None)
    ]  # fmt: skip
    with pytest.raises(UserError, match="say what they share with --reference"):
        imported(source)


def test_references_by_their_names(tmp_path):
    said = {"caption": "a dog", "scores": "no number", "split": ["x"]}
    members = {"../../1.jpg": png(1), "../../1.style.jpg": png(2), "../../1.cond.jpg": png(3)}
    rows, _ = imported(tar(tmp_path / "a.tar", **members, **{"../../1.json": json.dumps(said).encode()}))
    (row,) = rows
    assert row.prompt == "a dog" and len(row.style) == 1 and len(row.contents) == 1 and row.scores == {}
    assert row.target.read_bytes() == png(1) and row.target.suffix == ".png", "by its bytes, not by its name"


def test_parquet_of_strangers(tmp_path):
    import pyarrow
    from pyarrow.parquet import write_table

    columns = {"image": [{"bytes": png(n), "path": "/x.jpg"} for n in range(2)], "text": ["a", None]}
    write_table(pyarrow.table({**columns, "style_image": [png(8), png(9)], "n": [1, 2]}), tmp_path / "a.parquet")
    rows, _ = imported(tmp_path / "a.parquet")
    assert [(row.id, row.prompt) for row in rows] == [("a/0", "a"), ("a/1", "")]
    assert [row.style[0].read_bytes() for row in rows] == [png(8), png(9)]


def test_what_is_damaged_is_said(tmp_path):
    source = tar(tmp_path / "a.tar", **{"0.png": png(0), "1.png": b"words", "2.txt": b"no picture", "3.png": png(3)})
    rows, lines = imported(source, reference="style")
    assert len(rows) == 2 and "1 samples with a picture that cannot be read" in lines[0]
    source.write_bytes(source.read_bytes()[:1540])  # a header and a block of 0.png, a header, four letters
    with pytest.raises(UserError, match=r"a\.tar member 1\.png is cut off;.*leave such rows out with --skip-missing"):
        imported(source, reference="style")


@pytest.mark.parametrize(
    ("said", "message"),
    [({"weight": -1}, "a/1 is no triplet .weight: "), ({"scores": [1]}, "scores: "), ({"layout": "x"}, "layout: ")],
)
def test_fields_of_an_export_that_are_wrong(said, message, tmp_path):
    source = tar(tmp_path / "a.tar", **{"1.target.png": png(0), "1.json": json.dumps(said).encode()})
    with pytest.raises(UserError, match=message):
        imported(source)
