"""Encodings on disk and the hashes that name them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from comfyui_uso.trainer.data.cache import Cache
from comfyui_uso.trainer.data.digests import Digests


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(b"some bytes")
    return path


class Counting:
    """An encoder that counts its calls."""

    def __init__(self, value=1.0):
        self.calls, self.value = 0, value

    def __call__(self):
        self.calls += 1
        return {"x": torch.full((2,), self.value)}


def test_what_is_known_is_not_encoded_again(tmp_path, picture):
    encode = Counting()
    for what in (picture, "a prompt", picture, "a prompt"):
        assert torch.equal(Cache(tmp_path / "cache").get(what, "recipe", encode)["x"], torch.ones(2))
    assert encode.calls == 2


def test_entries_are_held_in_ram_up_to_the_limit(tmp_path):
    encode = Counting()
    cache = Cache(tmp_path, memory=20)  # two entries of eight bytes
    for what in "abc":
        cache.get(what, "recipe", encode)
        cache.entry(what, "recipe").unlink()
    for what in "ab":
        cache.get(what, "recipe", encode)
    assert encode.calls == 3
    cache.get("c", "recipe", encode)
    assert encode.calls == 4


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux lists a process's maps")
def test_what_is_held_keeps_no_file_mapped(tmp_path):
    """A process may map some 65,000 files, and a run holds more entries."""
    cache = Cache(tmp_path, memory=1000)
    held = [cache.get(str(number), "recipe", Counting()) for number in range(5)]
    assert len(held) == 5 and str(tmp_path) not in Path("/proc/self/maps").read_text()


def test_a_changed_picture_is_not_taken_from_ram(tmp_path, picture):
    cache = Cache(tmp_path / "cache", memory=100)
    cache.get(picture, "recipe", Counting(1.0))
    picture.write_bytes(b"other bytes")
    assert torch.equal(cache.get(picture, "recipe", Counting(2.0))["x"], torch.full((2,), 2.0))


def test_one_changed_byte_changes_the_key(tmp_path, picture):
    cache = Cache(tmp_path / "cache")
    before = cache.entry(picture, "recipe")
    times = picture.stat().st_atime_ns, picture.stat().st_mtime_ns
    picture.write_bytes(b"some bytez")
    os.utime(picture, ns=times)  # as many bytes, and the old time of change
    assert cache.entry(picture, "recipe") != before
    picture.write_bytes(b"some bytes")
    assert cache.entry(picture, "recipe") == before
    assert len({cache.entry(what, recipe) for what in (picture, "a") for recipe in "rs"}) == 4


def test_hashes_are_remembered_while_a_file_is_unchanged(tmp_path, picture, monkeypatch):
    monkeypatch.setattr("comfyui_uso.trainer.data.digests._SETTLED_NS", -1)
    file = tmp_path / "digests.jsonl"
    known = Digests(file).of(picture)
    with file.open("a") as lines:
        lines.write('["cut off')
    monkeypatch.setattr("comfyui_uso.trainer.data.digests.sha256_of", None)  # reading again would fail
    assert Digests(file).of(picture) == known
    picture.write_bytes(b"other bytes")
    with pytest.raises(TypeError):
        Digests(file).of(picture)


def test_a_file_that_has_just_changed_is_read_again(tmp_path, picture):
    """Two changes within a tick of the clock show the same times."""
    digests = Digests(tmp_path / "digests.jsonl")
    found = set()
    for number in range(50):
        picture.write_bytes(b"%02d" % number)
        found.add(digests.of(picture))
    assert len(found) == 50


def test_several_processes_share_the_hashes(tmp_path):
    for number in range(40):
        (tmp_path / f"{number}.png").write_bytes(b"%d" % number)
    code = (
        "import sys; from pathlib import Path; from comfyui_uso.trainer.data import digests\n"
        "digests._SETTLED_NS = -1; known = digests.Digests(Path(sys.argv[1]) / 'digests.jsonl')\n"
        "for path in sorted(Path(sys.argv[1]).glob('*.png')): known.of(path)"
    )
    both = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    lines = (tmp_path / "digests.jsonl").read_text().splitlines()
    assert 40 <= len(lines) <= 80 and len(set(lines)) == 40


@pytest.mark.parametrize("damage", [lambda data: data[:20], lambda data: b"", lambda data: b"\xff" * len(data)])
def test_a_damaged_entry_is_made_again(damage, tmp_path, picture, caplog):
    cache, encode = Cache(tmp_path / "cache"), Counting()
    cache.get(picture, "recipe", encode)
    entry = cache.entry(picture, "recipe")
    entry.write_bytes(damage(entry.read_bytes()))
    assert cache.shapes(picture, "recipe", encode)["x"] == (2,)
    entry.write_bytes(damage(entry.read_bytes()))
    assert torch.equal(cache.get(picture, "recipe", encode)["x"], torch.ones(2))
    assert encode.calls == 3 and "made again" in caplog.text


def test_an_entry_that_is_not_finite_is_made_again(tmp_path, picture, caplog):
    cache = Cache(tmp_path / "cache")
    cache.get(picture, "recipe", Counting())
    entry = cache.entry(picture, "recipe")
    data = entry.read_bytes()
    entry.write_bytes(data[:-4] + b"\x00\x00\xc0\x7f")  # a NaN
    assert torch.equal(cache.get(picture, "recipe", Counting())["x"], torch.ones(2))
    assert "made again" in caplog.text


def test_an_encoding_that_is_not_finite_is_an_error_and_not_kept(tmp_path, picture):
    cache = Cache(tmp_path / "cache")
    with pytest.raises(ValueError, match=r"picture.png \(recipe\) has a x that is not finite"):
        cache.get(picture, "recipe", Counting(float("inf")))
    assert not cache.entry(picture, "recipe").exists()


def test_an_absent_picture_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"gone.png is not there"):
        Cache(tmp_path).entry(tmp_path / "gone.png", "recipe")
    with pytest.raises(ValueError, match="is a folder and not a file"):
        Cache(tmp_path).entry(tmp_path, "recipe")


def test_pruning_keeps_what_is_named(tmp_path, picture):
    cache = Cache(tmp_path / "cache")
    for what in (picture, "a", "b"):
        cache.get(what, "recipe", Counting())
    assert cache.prune([cache.entry("a", "recipe")]) == 2
    assert cache.entry("a", "recipe").is_file() and not cache.entry("b", "recipe").exists()


def test_pictures_that_are_gone_are_named_and_of_many_the_first(tmp_path, caplog):
    """Also those that were written a moment before they were read."""
    paths = [tmp_path / f"{number}.png" for number in range(8)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]))
    cache = Cache(tmp_path / "cache")
    before = [cache.digest(path) for path in paths]
    for path in paths:
        path.unlink()
    assert [cache.digest(path) for path in (*paths, *paths)] == before * 2
    assert caplog.text.count("is not there: what was encoded of it before is used") == 5
    assert caplog.text.count("5.png and others are not there either") == 1 and "6.png" not in caplog.text


def test_what_was_encoded_serves_while_a_picture_is_away(tmp_path, picture, monkeypatch, caplog):
    """A drive that is away for a second ends no night."""
    monkeypatch.setattr("comfyui_uso.trainer.data.digests._SETTLED_NS", -1)
    digests = Digests(tmp_path / "digests.jsonl")
    known = digests.of(picture)
    picture.unlink()
    assert digests.of(picture) == Digests(tmp_path / "digests.jsonl").of(picture) == known
    assert "is not there: what was encoded of it before is used" in caplog.text
    with pytest.raises(ValueError, match="is not there"):
        digests.of(tmp_path / "never.png")
