"""Archives that are cut off or damaged: what can be read is used, the rest is named."""

from __future__ import annotations

import gzip
import tarfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.fixture
def whole(archive, encoded):
    members = [(f"{n}.{kind}", data) for n in range(4) for kind, data in (("png", encoded(n)), ("txt", b"words"))]
    return archive(*members)


def test_cut_anywhere(whole, listed, encoded):
    data = whole.read_bytes()
    end = 8 * 1024  # a header and a block for each member; what follows is the archive's end
    for cut in range(0, end + 1, 256):
        whole.write_bytes(data[:cut])
        pictures, refused = listed(whole)
        there = sum(cut >= n * 2048 + 512 + len(encoded(n)) for n in range(4))
        assert [one.read() for one in pictures.values()] == [encoded(n) for n in range(there)], cut
        between = cut % 1024 == 0 and cut > 0
        assert bool(refused) is not between, (cut, refused)
        assert all(text.startswith("a.tar ") and "\n" not in text for text in refused)


def test_headers_that_lie(whole, listed):
    data = bytearray(whole.read_bytes())
    for place, said in ((2048 + 3, "damaged or cut off behind 0.txt"), (124, "")):
        broken = bytearray(data)
        broken[place : place + 8] = b"\xffgarbage"
        whole.write_bytes(broken)
        pictures, refused = listed(whole)
        assert len(pictures) <= 1 and refused and said in refused[0]


@settings(max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 8191), value=st.integers(0, 255))
def test_any_byte_changed(whole, listed, place, value):
    data = bytearray(whole.read_bytes())
    data[place], was = value, data[place]
    whole.write_bytes(data)
    pictures, _ = listed(whole)
    assert all(len(one.read()) < 1 << 20 for one in pictures.values())
    data[place] = was
    whole.write_bytes(data)


def test_no_archive(tmp_path, listed):
    for name, data in (("text.tar", b"hello"), ("zip.tar", gzip.compress(b"x" * 5000)), ("zeros.tar", bytes(2048))):
        (tmp_path / name).write_bytes(data)
        pictures, refused = listed(tmp_path / name)
        assert not pictures and (refused or name == "zeros.tar")
    (tmp_path / "empty.tar").write_bytes(b"")
    assert listed(tmp_path / "empty.tar") == (
        {},
        ["empty.tar cannot be read behind the beginning (empty file); make it again"],
    )


def test_thousands_of_headers_about_one_member(tmp_path, listed):
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1
    (tmp_path / "deep.tar").write_bytes((header.tobuf() + b"a".ljust(512, b"\0")) * 3000)
    pictures, refused = listed(tmp_path / "deep.tar")
    assert not pictures and "deep.tar cannot be read behind the beginning" in refused[0]


def test_texts_that_are_none(archive, encoded, listed):
    path = archive(
        ("1.png", encoded()), ("1.txt", b"\xff\xfe"),
        ("2.png", encoded()), ("2.json", b"{"),
        ("3.png", encoded()), ("3.json", b"[" * 5000),
        ("4.png", encoded()), ("4.json", b'["a"]'),
        ("5.png", encoded()), ("5.txt", b"a" * (2 << 20)),
        ("6.txt", b"no picture"), ("7.png", encoded()),
    )  # fmt: skip
    pictures, refused = listed(path)
    assert [key for key in pictures] == [f"a.tar/{n}.png" for n in (1, 2, 3, 4, 5, 7)]
    assert [text.split(" ")[2] for text in refused] == ["1.txt", "2.json", "3.json", "5.txt"]
