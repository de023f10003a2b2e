"""What was accepted is exported in three formats, opened by the libraries of each, and read back equal."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from comfyui_uso import cli
from comfyui_uso.trainer.curate.export import write
from comfyui_uso.trainer.curate.export.files import split_name
from comfyui_uso.trainer.curate.export.write import FORMATS, write_export
from comfyui_uso.trainer.data.check import check
from comfyui_uso.trainer.data.manifest import read_manifest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from .conftest import ROWS, told


def front(folder: Path) -> dict:
    return yaml.safe_load((folder / "README.md").read_text(encoding="utf-8").split("---\n")[1])


@pytest.mark.parametrize("kind", FORMATS)
def test_read_back_equal_row_by_row(kind, run, tmp_path, capsys):
    out, back = tmp_path / "out", tmp_path / "back/manifest.jsonl"
    assert cli.main(["curate", "export", str(run), str(out), "--format", kind]) == 0
    assert f"{ROWS} triplets as {kind}" in capsys.readouterr().out
    before = told(run / "manifest.jsonl")
    assert cli.main(["import", "auto", str(out), "--out", str(back)]) == 0, capsys.readouterr().err
    after = told(back)
    assert after == before
    assert len(read_manifest(back)) == 5
    assert not check([back], size=32, content_size=32).problems
    if kind == "folder":
        assert told(out / "manifest.jsonl") == before


def test_datasets_opens_parquet(run, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    write_export(run, tmp_path / "out", "parquet")
    found = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    rows = {row.id: row for row in read_manifest(run / "manifest.jsonl", None)}
    seen = 0
    for split in found.values():
        plain = split.cast_column("target", datasets.Image(decode=False))
        for one, bare in zip(split, plain, strict=True):
            row, seen = rows[one["id"]], seen + 1
            assert isinstance(one["target"], Image.Image) and one["target"].size == (24, 16)
            assert bare["target"]["bytes"] == row.target.read_bytes()
            assert [style.tobytes() for style in one["style"]] == [Image.open(p).tobytes() for p in row.style]
            assert len(one["content"]) == len(row.contents) and one["prompt"] == row.prompt
            assert one["layout"] == row.layout and one["split"] == row.split and one["weight"] == row.weight
            assert {name: value for name, value in one["scores"].items() if value is not None} == row.scores
            assert (one["licence"], one["subject"]) == ("CC-BY-4.0", "cat") and one["group"].startswith("ink | <b>")
    assert seen == ROWS and len(found["train"]) == 5
    told_of = datasets.Features._from_yaml_list(front(tmp_path / "out")["dataset_info"]["features"])
    assert told_of == found["train"].features
    files = sorted(map(str, (tmp_path / "out/data").glob("*.parquet")))
    direct = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    assert isinstance(direct[0]["target"], Image.Image) and len(direct) == ROWS


def test_datasets_opens_the_folder(run, tmp_path):
    datasets = pytest.importorskip("datasets")
    write_export(run, tmp_path / "out", "folder")
    found = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))["train"]
    lines = [json.loads(line) for line in (tmp_path / "out/manifest.jsonl").read_text().splitlines()]
    assert [one["id"] for one in found] == [line["id"] for line in lines]
    assert all((tmp_path / "out" / one["target"]).is_file() for one in found)


def test_webdataset_opens_the_archives(run, tmp_path):
    webdataset = pytest.importorskip("webdataset")
    write_export(run, tmp_path / "out", "webdataset")
    rows = read_manifest(run / "manifest.jsonl", None)
    files = sorted(map(str, (tmp_path / "out/data").glob("*.tar")))
    samples = list(webdataset.WebDataset(files, shardshuffle=False))
    by_id = {json.loads(sample["json"])["id"]: sample for sample in samples}
    assert len(by_id) == len(samples) == ROWS
    for row in rows:
        sample = by_id[row.id]
        pictures = {"target.png": row.target} | {f"style{n}.png": path for n, path in enumerate(row.style)}
        pictures |= {f"content{n}.png": path for n, path in enumerate(row.contents)}
        assert {name: path.read_bytes() for name, path in pictures.items()} == {
            name: sample[name] for name in sample if name.endswith(".png")
        }
        said = json.loads(sample["json"])
        assert said["licence"] == "CC-BY-4.0" and said["scores"] == row.scores and said["layout"] == row.layout
    decoded = next(iter(webdataset.WebDataset(files[:1], shardshuffle=False).decode("pil")))
    assert isinstance(decoded["target.png"], Image.Image)
    write_export(run, tmp_path / "again", "webdataset")
    assert [Path(file).read_bytes() for file in files] == [
        (tmp_path / "again/data" / Path(file).name).read_bytes() for file in files
    ]


def test_the_card(run, tmp_path):
    write_export(run, tmp_path / "out", "webdataset")
    text = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    said = front(tmp_path / "out")
    assert said["license"] == "cc-by-4.0" and said["size_categories"] == ["n<1K"]
    assert [one["split"] for one in said["configs"][0]["data_files"]] == ["train", split_name("held/out")]
    assert f"{ROWS} triplets" in text and "chosen of 9 candidates (77.8%)" in text
    assert "| preserved | 3 |" in text and "| shifted | 4 |" in text and "| CC-BY-4.0 | 7 |" in text
    assert "| csd | 7 | 0 | 0.3 | 0.6 | 1 1 0 1 0 1 1 0 1 1 |" in text.replace("0.300", "0.3")
    assert "ink &#124; &lt;b&gt; 0" in text and "<b>" not in text
    assert "file: x.json" in text and "phash_style<=" in text and "/secret" not in text, "no place of one machine"


def test_a_missing_package_is_named_with_its_extra(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert cli.main(["curate", "export", str(run), str(tmp_path / "out"), "--format", "parquet"]) == 2
    said = capsys.readouterr().err
    assert "pyarrow is not installed: get the packages of parquet, " in said and '[parquet]"' in said
    assert {path.name for path in tmp_path.iterdir()} == {"run"}


def test_shards_by_size(run, tmp_path, monkeypatch):
    monkeypatch.setattr("comfyui_uso.trainer.curate.export.files.MOST_BYTES", 300)
    write_export(run, tmp_path / "out", "webdataset")
    files = sorted(path.name for path in (tmp_path / "out/data").iterdir())
    assert len(files) == 4 and all(path.endswith(".tar") for path in files)
    with tarfile.open(tmp_path / "out/data" / files[-1]) as tar:
        names = tar.getnames()
        assert names[0].endswith(".target.png") and names[-1].endswith(".json")
        Image.open(io.BytesIO(tar.extractfile(names[0]).read())).load()


def with_a_long_text() -> bytes:
    """Return a PNG with more text than Pillow opens, as a workflow may be."""
    data, told = io.BytesIO(), PngInfo()
    told.add_text("workflow", "x" * (2 << 20), zip=True)
    Image.new("RGB", (32, 24), 5).save(data, "PNG", pnginfo=told)
    return data.getvalue()


def test_a_set_made_by_hand(tmp_path, encoded):
    folder = tmp_path / "hand"
    folder.mkdir()
    for name, kind in (("a.jpg", "JPEG"), ("b.webp", "WEBP"), ("bare", "PNG"), ("e.txt", "GIF"), ("e.json", "JPEG")):
        (folder / name).write_bytes(encoded(3, kind))
    (folder / "e.jpg").write_bytes(with_a_long_text())
    (folder / "manifest.jsonl").write_text(
        '{"id": "../x", "target": "a.jpg", "style": ["b.webp"], "prompt": " a\\n", "split": "Train", '
        '"scores": {"a.b c": 1.5, "": NaN, "\u00e9": -Infinity}}\n'
        '{"id": "y", "split": "", "target": "bare", "style": ["e.txt", "e.jpg"], "content": "e.json"}\n'
    )
    before = told(folder / "manifest.jsonl")
    for kind in FORMATS:
        write_export(folder, tmp_path / kind, kind)
        assert cli.main(["import", kind if kind != "folder" else "manifest", str(tmp_path / kind), "--out",
                         str(tmp_path / f"{kind}.jsonl")]) == 0  # fmt: skip
        after = told(tmp_path / f"{kind}.jsonl")
        assert json.dumps(after, sort_keys=True) == json.dumps(before, sort_keys=True), "NaN is not equal to itself"
        assert "chosen of" not in (tmp_path / kind / "README.md").read_text()
        os.remove(tmp_path / f"{kind}.jsonl")


@pytest.mark.parametrize("kind", FORMATS)
def test_all_of_it_is_on_the_disk_before_it_has_its_name(kind, run, tmp_path, monkeypatch):
    synced, real, put, seen = set(), os.fsync, write._put, []

    def fsync(file):
        real(file)
        synced.add(os.fstat(file).st_ino)

    def renamed(folder, out):
        inside = [path for path in folder.rglob("*") if os.name == "posix" or path.is_file()]
        seen.extend(path.name for path in inside)
        assert [path for path in inside if path.stat().st_ino not in synced] == []
        put(folder, out)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(write, "_put", renamed)
    write_export(run, tmp_path / "out", kind)
    assert "README.md" in seen and (kind != "folder" or sum(name.endswith(".png") for name in seen) > ROWS)


@pytest.mark.parametrize("kind", FORMATS)
def test_the_room_that_is_asked_for_is_what_the_format_takes(kind, tmp_path, monkeypatch, encoded):
    """Every row shows the same two pictures."""
    folder, data = tmp_path / "hand", encoded(64, "PNG")
    folder.mkdir()
    for name in ("target", "style"):
        (folder / f"{name}.png").write_bytes(data)
    row = '{"id": "%d", "target": "target.png", "style": ["style.png", "style.png"]}'
    (folder / "manifest.jsonl").write_text("\n".join(row % number for number in range(10)))
    wanted = len(data) * (2 if kind == "folder" else 30)
    for room, enough in ((wanted, False), (1.1 * wanted, True)):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=room: SimpleNamespace(free=free))
        if enough:
            assert write_export(folder, tmp_path / "out", kind) == 10
        else:
            with pytest.raises(OSError, match="make room"):
                write_export(folder, tmp_path / "out", kind)
