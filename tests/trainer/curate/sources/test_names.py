"""Names of strangers: none becomes a path of ours, and what points out of a source is refused by name."""

from __future__ import annotations

import os
import tarfile

import pytest
from comfyui_uso.trainer.curate.recipe import SourceSettings
from comfyui_uso.trainer.curate.sources.open import source_pictures
from comfyui_uso.trainer.curate.sources.source import about, key_problem
from comfyui_uso.trainer.curate.steps import Row
from hypothesis import given, settings
from hypothesis import strategies as st

FINE = ("CON", "a:b", "dot.", "x" * 240, "\U0001f431", "a b", "'", "<b>", "-rf", "%2e%2e", "x...", "a..b", "NUL.txt")
OUTSIDE = ("../x", "a/../../x", "/etc/x", "\\\\server\\x", "C:\\x", "c:/x", "..\\x")


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such names")
def test_of_a_folder(tmp_path, encoded, listed):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/s.png").write_bytes(encoded())
    folder = tmp_path / "source"
    folder.mkdir()
    for name in (*FINE, "A", "a", "line\nbreak"):
        (folder / f"{name}.png").write_bytes(encoded())
    (folder / "out.png").symlink_to(tmp_path / "secret/s.png")
    (folder / "outer").symlink_to(tmp_path / "secret")
    (folder / "circle.png").symlink_to("circle.png")
    (folder / "nowhere.png").symlink_to("gone.png")
    (folder / "inner.png").symlink_to("CON.png")
    (folder / "self").symlink_to(folder)
    os.mkfifo(folder / "pipe.png")
    os.close(os.open(os.fsencode(folder) + b"/\xff.png", os.O_CREAT))
    pictures, refused = listed(folder)
    assert set(pictures) == {f"{name}.png" for name in (*FINE, "A", "a", "line\nbreak", "inner")}
    said = {text.split(" ")[0]: text for text in refused}
    assert set(said) == {"out.png", "outer", "circle.png", "nowhere.png", "pipe.png", "\\udcff.png"}
    assert "leads out" in said["out.png"] and "leads out" in said["outer"] and "no file" in said["pipe.png"]
    assert all("\n" not in text for text in refused)
    assert pictures["inner.png"].read() == encoded()


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such names")
def test_of_an_archive_whose_own_name_is_no_text(archive, encoded, tmp_path, caplog):
    archive(("a.png", encoded()), name=os.fsdecode(b"caf\xe9/b.tar"))
    archive(("a.png", encoded()), name="fine.tar")
    assert set(source_pictures(SourceSettings(path=tmp_path))) == {"fine.tar/a.png"}
    assert "caf\\udce9/b.tar/a.png has a name that is no Unicode; rename it" in caplog.text


def test_half_a_character_in_what_is_said_of_a_picture():
    assert about({"prompt": "a \ud83d cat", "style": "\udce9"}, "folder", "") == {"prompt": "a ? cat", "style": "?"}


def test_of_an_archive(archive, encoded, listed):
    link, hard, device = (tarfile.TarInfo(name) for name in ("link.png", "hard.png", "device.png"))
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    hard.type, hard.linkname = tarfile.LNKTYPE, "a.png"
    device.type = tarfile.CHRTYPE
    names = [*FINE[:3], "x" * 300, *FINE[4:], "A", "a", "./here", "f/g"]
    members = [(f"{name}.png", encoded(n)) for n, name in enumerate((*names, *OUTSIDE))]
    path = archive(*members, link, hard, device, ("a.png", encoded(99)))
    pictures, refused = listed(path)
    assert {f"a.tar/{name}.png" for name in names} == set(pictures)
    assert not any(name in key for key in pictures for name in ("..\\", "../", "/etc", "C:", "c:"))
    for name in ("link.png", "hard.png", "device.png"):
        assert any(f"member {name} is " in text for text in refused)
    assert any("member a.png is there twice" in text for text in refused)
    assert pictures["a.tar/a.png"].read() == encoded(names.index("a")), "the first one"
    assert sum("leads out of its source" in text for text in refused) >= 4


@settings(max_examples=60, deadline=None, database=None)
@given(st.text(st.characters(exclude_categories=()), max_size=40))
def test_no_name_becomes_a_path(name):
    assert set(Row.id_of(name, "shifted", 0)) <= set("0123456789abcdef")
    if key_problem(name) is None:
        base = os.path.join(os.sep, "base")
        inside = os.path.normpath(os.path.join(base, name.replace("\\", "/")))
        assert inside == base or inside.startswith(base + os.sep)


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_points_outside(name):
    assert "leads out" in str(key_problem(name))


@pytest.mark.parametrize("name", FINE)
def test_what_does_not(name):
    assert key_problem(name) is None
