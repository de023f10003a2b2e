"""Folder, manifest, WebDataset and parquet give the same pictures, and what each says of them."""

from __future__ import annotations

import json
import logging
import os
import pickle
from pathlib import Path

import pytest
from comfyui_uso.trainer.curate.recipe import CurateConfig, SourceSettings
from comfyui_uso.trainer.curate.run.start import Prepared, started
from comfyui_uso.trainer.curate.run_folder import pipeline_of
from comfyui_uso.trainer.curate.sources.open import require_apart, source_pictures
from comfyui_uso.trainer.data.manifest import Row, write_manifest
from comfyui_uso.uso_model.errors import UserError

SAID = {"prompt": "a cat", "subject": "cat", "style": "ink", "license": "CC0", "split": "test"}
KNOWN = {"prompt": "a cat", "subject": "cat", "style": "ink", "licence": "CC0", "split": "test"}


def parquet(path: Path, columns: dict) -> Path:
    import pyarrow
    from pyarrow.parquet import write_table

    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(pyarrow.table(columns), path, row_group_size=2)
    return path


def test_folder(tmp_path, encoded, listed):
    (tmp_path / "ink/wash").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    for name in ("b.png", "ink/a.JPG", "ink/wash/c.webp", ".hidden/x.png", ".x.png", "ink/notes.md"):
        (tmp_path / name).write_bytes(encoded(1))
    (tmp_path / "ink/a.txt").write_text("\ufeffa cat\n", encoding="utf-8")
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe")
    (tmp_path / "my_run/pictures").mkdir(parents=True)
    (tmp_path / "my_run/run.yaml").touch()
    (tmp_path / "my_run/pictures/r.png").write_bytes(encoded(1))
    pictures, refused = listed(tmp_path)
    assert {key: dict(one.about) for key, one in pictures.items()} == {
        "b.png": {},
        "ink/a.JPG": {"prompt": "a cat", "style": "ink"},
        "ink/wash/c.webp": {"style": "ink/wash"},
    }
    assert all(pickle.loads(pickle.dumps(one)).read() == encoded(1) for one in pictures.values())
    assert len(refused) == 2 and "b.txt is not UTF-8" in refused[0] and "1 such as 'notes.md'" in refused[1]
    before = pictures["b.png"].fingerprint
    (tmp_path / "b.png").write_bytes(encoded(2, size=(48, 48)))
    (tmp_path / "ink/d.png").write_bytes(encoded(3))
    grown, _ = listed(tmp_path)
    assert set(grown) - set(pictures) == {"ink/d.png"} and grown["b.png"].fingerprint != before
    assert grown["ink/a.JPG"].fingerprint == pictures["ink/a.JPG"].fingerprint


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such names")
def test_names_that_are_left_out_are_told(tmp_path, encoded, listed):
    names = ["a.png", "a.txt", "x.PNG.", "trail.png ", "k.jpe", "l.JPE", "m", *(f"n.{n}" for n in range(9))]
    for name in names:
        (tmp_path / name).write_bytes(encoded(1))
    (tmp_path / "a.txt").write_text("a cat")
    pictures, refused = listed(tmp_path)
    assert list(pictures) == ["a.png"] and len(refused) == 1
    for part in ("2 such as 'k.jpe'", "1 such as 'm'", "others; rename those that are pictures"):
        assert part in refused[0]
    for number in range(9):
        (tmp_path / f"n.{number}").unlink()
    (told,) = listed(tmp_path)[1]
    assert "1 such as 'trail.png '" in told and "1 such as 'x.PNG.'" in told and "others" not in told


def test_what_was_made_here_is_no_source(tmp_path, encoded, listed):
    (tmp_path / "a.png").write_bytes(encoded(1))
    for name in ("in/set/pictures/ab/0.png", "run/pictures/ab/1.png", "my/pictures/2.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(encoded(2))
    (tmp_path / "in/set/manifest.jsonl").touch()
    (tmp_path / "run/run.yaml").touch()
    (tmp_path / "run/run.tar").touch()
    pictures, refused = listed(tmp_path)
    assert list(pictures) == ["a.png", "my/pictures/2.png"]
    assert len(refused) == 1 and refused[0].startswith("in/set/ is a set of triplets, which is passed over")


def test_a_run_is_not_its_own_source(tmp_path, encoded):
    for name in ("s/a.png", "run/pictures/ab/1.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(encoded(1))
    (tmp_path / "run/manifest.jsonl").touch()
    (tmp_path / "link").symlink_to(tmp_path / "run", target_is_directory=True)
    run = tmp_path / "run"
    for source in ("run", "run/manifest.jsonl", "run/pictures", "run/pictures/ab", "s/../run", "link"):
        with pytest.raises(UserError, match="whose pictures would become its source; name another folder for the run"):
            require_apart(run, tmp_path / source)
    for source in ("s", "gone", ".", "nul\0", "run/mine"):
        require_apart(run, tmp_path / source)
    require_apart(tmp_path / "new", tmp_path / "s")
    config = CurateConfig.model_validate({"source": {"path": run}, "experts": {}})
    with (
        pytest.raises(UserError, match="would become its source"),
        started(run, Prepared(config, {}, [], pipeline_of(config, []))),
    ):
        pass
    assert not (run / "drivers").exists() and not (run / "run.yaml").exists()


def test_list_of_lines(tmp_path, encoded, listed):
    (tmp_path / "set").mkdir()
    (tmp_path / "other").mkdir()
    for name in ("set/a.png", "other/b.png"):
        (tmp_path / name).write_bytes(encoded(1))
    lines = [
        {"roots": {"refs": "../other"}},
        {"path": "a.png", **SAID},
        {"image": "refs:b.png", "caption": "a dog", "artist": "me"},
        {"path": "a.png", "prompt": "once more"},
        {"path": "../secret.png"},
        {"path": "/etc/passwd"},
        {"path": "gone.png"},
        {"no": "path"},
        ["a.png"],
        {"path": "nul\0.png"},
        {"path": "x" * 300},
    ]
    path = tmp_path / "set/list.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + "\nbroken", encoding="utf-8")
    pictures, refused = listed(path, style="artist")
    assert {key: dict(one.about) for key, one in pictures.items()} == {
        "a.png": {name: text for name, text in KNOWN.items() if name != "style"},
        "refs:b.png": {"prompt": "a dog", "style": "me"},
        "gone.png": {},
    }
    assert pictures["refs:b.png"].read() == encoded(1)
    with pytest.raises(FileNotFoundError):
        pictures["gone.png"].read()
    assert pictures["gone.png"].fingerprint == "absent"
    places = [5, 6, 8, 9, 10, 11, 12]
    assert [place for place, text in zip(places, refused, strict=True) if f"list.jsonl line {place}" not in text] == []
    assert listed(path)[0]["a.png"].about["style"] == "ink"


def test_triplet_manifest(tmp_path, encoded, listed):
    (tmp_path / "t").mkdir()
    for name in ("t/a.png", "t/b.png"):
        (tmp_path / name).write_bytes(encoded(1))
    rows = [
        Row(id=str(n), target=tmp_path / name, style=[tmp_path / "t/a.png"], prompt="p", split="test")
        for n, name in enumerate(("t/a.png", "t/a.png", "t/b.png"))
    ]
    write_manifest(rows, tmp_path / "manifest.jsonl")
    (tmp_path / "m").mkdir()
    write_manifest(rows, tmp_path / "m/elsewhere.jsonl")
    assert list(listed(tmp_path / "m/elsewhere.jsonl")[0]) == ["../t/a.png", "../t/b.png"]
    for path in (tmp_path / "manifest.jsonl", tmp_path):
        pictures, refused = listed(path)
        assert list(pictures) == ["t/a.png", "t/b.png"] and not refused
        assert dict(pictures["t/a.png"].about) == {"prompt": "p", "split": "test", "style": "t"}


def test_webdataset(tmp_path, archive, encoded, listed):
    archive(("x/1.jpg", encoded(1)), ("x/1.json", json.dumps(SAID).encode()), ("x/2.JPG", encoded(2)), name="s/0.tar")
    archive(("1.target.png", encoded(3)), ("1.style0.png", encoded(4)), ("1.txt", b"hello"), name="s/1.tar")
    archive(("v.1.png", encoded(3)), ("v.2.png", encoded(4)), name="s/2.tar")
    pictures, refused = listed(tmp_path / "s")
    assert {key: dict(one.about) for key, one in pictures.items()} == {
        "0.tar/x/1.jpg": KNOWN,
        "0.tar/x/2.JPG": {"style": "x"},
        "1.tar/1.target.png": {"prompt": "hello"},
        "2.tar/v.1.png": {},
        "2.tar/v.2.png": {},
    }
    assert not refused and pickle.loads(pickle.dumps(pictures["1.tar/1.target.png"])).read() == encoded(3)
    archive(("3.png", encoded(5)), name="s/1.tar", mode="a")
    archive(("x/1.jpg", encoded(7)), ("x/2.JPG", encoded(2)), name="s/0.tar")
    grown, _ = listed(tmp_path / "s")
    changed = {key for key in grown if key not in pictures or grown[key].fingerprint != pictures[key].fingerprint}
    assert changed == {"1.tar/3.png", "0.tar/x/1.jpg"}, "same size, no time, other bytes"
    assert list(listed(tmp_path / "s/0.tar")[0]) == ["0.tar/x/1.jpg", "0.tar/x/2.JPG"]


def test_parquet(tmp_path, encoded, listed):
    pytest.importorskip("pyarrow")
    data = [encoded(n) for n in range(5)]
    images = [{"bytes": one, "path": "never/used.png"} for one in data]
    parquet(tmp_path / "a/0.parquet", {"text": list("abcde"), "image": images, "style": ["ink"] * 5})
    parquet(tmp_path / "a/1.parquet", {"jpg": data[:2], "caption": ["x", None]})
    (tmp_path / "a/2.parquet").write_bytes(b"PAR1 no")
    (tmp_path / "a/p.bin").write_bytes(data[4])
    parquet(tmp_path / "a/3.parquet", {"path": ["p.bin", "../../x.png", "/etc/passwd", None], "n": [1, 2, 3, 4]})
    pictures, refused = listed(tmp_path / "a")
    assert [pictures[f"0.parquet/{n}"].read() for n in (4, 0, 3, 2, 1)] == [data[n] for n in (4, 0, 3, 2, 1)]
    assert dict(pictures["0.parquet/1"].about) == {"prompt": "b", "style": "ink"}
    assert [pictures[f"1.parquet/{n}"].read() for n in range(2)] == data[:2]
    assert pickle.loads(pickle.dumps(pictures["3.parquet/0"])).read() == data[4]
    for number, said in ((1, "leads out"), (2, "leads out"), (3, "has no picture in row 1 of group 1")):
        with pytest.raises(UserError, match=said):
            pictures[f"3.parquet/{number}"].read()
    assert len(pictures) == 11 and len(refused) == 1 and "2.parquet cannot be read as parquet" in refused[0]
    parquet(tmp_path / "b.parquet", {"n": [1], "m": ["x"]})
    with pytest.raises(UserError, match="has the columns n, m and none of pictures"):
        listed(tmp_path / "b.parquet")


def test_what_is_refused_is_told_and_the_rest_goes_on(tmp_path, encoded, caplog):
    (tmp_path / "a.png").write_bytes(encoded())
    for number in range(25):
        (tmp_path / f"{number}.png").symlink_to("/etc/hostname")
    with caplog.at_level(logging.WARNING):
        found = source_pictures(SourceSettings(path=tmp_path, licence="CC-BY-4.0"))
    assert list(found) == ["a.png"] and found["a.png"].about == {"licence": "CC-BY-4.0"}
    assert len(caplog.messages) == 21 and caplog.messages[-1] == "source: and 5 more"
    source_pictures(SourceSettings(path=tmp_path, style="artist"))
    assert caplog.messages[-1] == "source: no picture has artist, so that none has a style group"


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((), "has no picture that can be used"),
        (("a.tar", "b.png"), "could be webdataset or folder; say which with source.kind"),
        (("a.zip",), "has no picture that can be used"),
    ],
)
def test_a_source_that_is_none(tmp_path, names, said):
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UserError, match=said):
        source_pictures(SourceSettings(path=tmp_path))


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("gone", {}, "is not there; correct source.path"),
        ("a.zip", {}, "is of no known kind; name it with source.kind"),
        ("a.zip", {"kind": "zip"}, "source.kind is 'zip', expected auto or one of folder, manifest"),
        ("a.zip", {"kind": "webdataset"}, "is no .tar; unpack compressed ones"),
        ("a.zip", {"kind": "folder"}, "is no folder"),
    ],
)
def test_a_file_that_is_no_source(tmp_path, name, settings, said):
    (tmp_path / "a.zip").write_bytes(b"PK")
    with pytest.raises(UserError, match=said):
        source_pictures(SourceSettings(path=tmp_path / name, **settings))
