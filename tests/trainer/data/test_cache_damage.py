"""What is on disk in a cache is used only when it is, bit by bit, what was written there."""

from __future__ import annotations

import json
import os
import threading
import time

import pytest
import torch
from comfyui_uso.trainer.data.cache import Cache
from comfyui_uso.trainer.data.digests import Digests
from comfyui_uso.trainer.encoders.lazy import Lazy
from comfyui_uso.uso_model.checkpoints import read_metadata, read_safetensors, write_safetensors

VALUE = {"mean": torch.linspace(0, 1, 32).reshape(2, 4, 4).half(), "logvar": torch.zeros(2, 4, 4).bfloat16()}


@pytest.fixture
def cache(tmp_path):
    cache = Cache(tmp_path / "cache")
    cache.get("a", "recipe", lambda: VALUE)
    return cache


def made_again(cache):
    """Read the entry, shapes first, and return how often it was encoded anew."""
    calls = []

    def encode():
        calls.append(1)
        return VALUE

    assert cache.shapes("a", "recipe", encode) == {name: tuple(t.shape) for name, t in VALUE.items()}
    found = cache.get("a", "recipe", encode)
    assert found.keys() == VALUE.keys() and all(torch.equal(found[name], VALUE[name]) for name in VALUE)
    return len(calls)


def test_a_whole_entry_is_used(cache):
    assert made_again(cache) == 0


def test_any_flipped_bit_is_noticed(cache, caplog):
    entry = cache.entry("a", "recipe")
    whole = entry.read_bytes()
    data = 8 + int.from_bytes(whole[:8], "little")
    for place in range(data, len(whole), 5):
        for bit in (0, 6):
            flipped = bytearray(whole)
            flipped[place] ^= 1 << bit
            entry.write_bytes(flipped)
            assert made_again(cache) == 1, f"bit {bit} of byte {place}"
    assert "is damaged and made again: its bytes are not those that were written" in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: {name: t * 2 for name, t in tensors.items()},
        lambda tensors: {"average": tensors["mean"], "logvar": tensors["logvar"]},
        lambda tensors: {"mean": tensors["mean"]},
        lambda tensors: {**tensors, "more": torch.zeros(1)},
        lambda tensors: {name: t.float() for name, t in tensors.items()},
        lambda tensors: {name: t.to(torch.float8_e4m3fn) for name, t in tensors.items()},
        lambda tensors: {name: t.flatten() for name, t in tensors.items()},
    ],
    ids=["values", "names", "fewer", "more", "dtype", "fp8", "shape"],
)
@pytest.mark.parametrize("keep_metadata", [True, False])
def test_a_foreign_or_older_entry_is_made_again(change, keep_metadata, cache):
    entry = cache.entry("a", "recipe")
    metadata = read_metadata(entry) if keep_metadata else {"recipe": "recipe"}
    write_safetensors(entry, change({n: t.clone() for n, t in read_safetensors(entry).items()}), metadata)
    assert made_again(cache) >= 1


def test_an_entry_under_the_name_of_another_is_made_again(cache):
    cache.get("b", "recipe", lambda: {name: t + 1 for name, t in VALUE.items()})
    os.replace(cache.entry("b", "recipe"), cache.entry("a", "recipe"))
    assert made_again(cache) == 1


def test_a_folder_in_the_place_of_an_entry_is_told(cache):
    entry = cache.entry("a", "recipe")
    entry.unlink()
    entry.mkdir()
    with pytest.raises(OSError, match=r"cannot be written .*move the folder of that name away"):
        cache.get("a", "recipe", lambda: VALUE)


def test_pruning_removes_what_killed_processes_left(cache, tmp_path):
    folder = cache.entry("a", "recipe").parent
    old, new = folder / ".0123456789ab.part", folder / ".ba9876543210.part"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 4000,) * 2)
    assert cache.prune([cache.entry("a", "recipe")]) == 0
    assert not old.exists() and new.exists() and cache.entry("a", "recipe").exists()


LINES = [
    "5",
    "null",
    "[]",
    "[1, 2, 3]",
    '["a", [1, 2], "b"]',
    '["a", [1, 2, 3], "no hash"]',
    "{}",
    "[" * 5000,
    "\ufffd",
]


@pytest.mark.parametrize("line", LINES, ids=range(len(LINES)))
def test_lines_that_are_no_hashes_are_left_out(line, tmp_path, monkeypatch):
    monkeypatch.setattr("comfyui_uso.trainer.data.digests._SETTLED_NS", -1)
    picture, file = tmp_path / "p.png", tmp_path / "digests.jsonl"
    picture.write_bytes(b"some bytes")
    known = Digests(file).of(picture)
    file.write_text(line + "\n" + file.read_text())
    monkeypatch.setattr("comfyui_uso.trainer.data.digests.sha256_of", None)  # reading again would fail
    assert Digests(file).of(picture) == known


def test_hashes_need_no_place_to_be_kept(tmp_path, monkeypatch, caplog):
    """A complete cache on a read-only disk can be used."""
    monkeypatch.setattr("comfyui_uso.trainer.data.digests._SETTLED_NS", -1)
    (tmp_path / "file").write_text("in the way of a folder")
    for name in "ab":
        (tmp_path / name).write_text(name)
    digests = Digests(tmp_path / "file" / "digests.jsonl")
    assert digests.of(tmp_path / "a") != digests.of(tmp_path / "b")
    assert caplog.text.count("hashes of pictures are not kept") == 1


def at_once(call, count=4):
    """Return what `count` threads got that began together."""
    found, start = [], threading.Barrier(count)

    def one():
        start.wait()
        found.append(call())

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_threads_that_ask_for_one_entry_encode_it_once(tmp_path):
    cache, calls = Cache(tmp_path, memory=10_000), []

    def encode():
        calls.append(1)
        time.sleep(0.05)
        return {"x": torch.ones(10)}

    found = at_once(lambda: cache.get("a", "recipe", encode))
    assert len(calls) == 1 and all(torch.equal(f["x"], torch.ones(10)) for f in found)
    assert cache._room == 10_000 - 40, "the room is taken once"


def test_threads_that_ask_for_one_model_read_it_once():
    def load():
        time.sleep(0.05)
        return object()

    found = at_once(Lazy(load, "a model").get)
    assert len(found) == 4 and len(set(map(id, found))) == 1


def test_an_entry_says_what_it_is(cache):
    told = read_metadata(cache.entry("a", "recipe"))
    assert told["recipe"] == "recipe" and len(told["sha256"]) == 64
    assert json.loads(told["layout"])["mean"] == ["torch.float16", 2, 4, 4]
