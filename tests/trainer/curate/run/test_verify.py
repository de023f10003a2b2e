"""`uso curate verify`: damage is told from drives that fail, and from pictures that nothing asks for any more."""

from __future__ import annotations

import errno
import itertools
from pathlib import Path

import pytest
from comfyui_uso.cli import main
from PIL import Image

from .. import cheap


@pytest.fixture
def done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a run of four rows."""
    monkeypatch.syspath_prepend(cheap.HERE)
    monkeypatch.setattr("comfyui_uso.trainer.cli.log_to_terminal", lambda: None)
    assert run(tmp_path, cheap.recipe(tmp_path)) == 0
    return tmp_path


def run(folder: Path, recipe: Path, *settings: str) -> int:
    return main(["curate", "run", str(folder / "run"), str(recipe), *settings])


def verify(folder: Path) -> int:
    return main(["curate", "verify", str(folder / "run")])


def pictures(folder: Path) -> list[Path]:
    return sorted((folder / "run/pictures").glob("*/*.png"))


@pytest.mark.parametrize("error", [errno.EIO, errno.EACCES])
def test_a_picture_that_cannot_be_read_stays(
    done: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    before, bad, real = pictures(done), pictures(done)[0], Path.read_bytes
    monkeypatch.setattr("comfyui_uso.uso_model.writing.time.sleep", lambda seconds: None)

    def read_bytes(path: Path) -> bytes:
        if path == bad:
            raise OSError(error, "the drive is away")
        return real(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", read_bytes)
        assert verify(done) == 1
    assert f"1 cannot be read, such as {bad.name}: the drive is away; check the disk" in capsys.readouterr().out
    assert pictures(done) == before and verify(done) == 0


def test_a_program_that_holds_a_picture_for_a_moment_is_waited_for(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, count = Path.read_bytes, itertools.count()
    monkeypatch.setattr("comfyui_uso.uso_model.writing.time.sleep", lambda seconds: None)

    def read_bytes(path: Path) -> bytes:
        if path.suffix == ".png" and next(count) < 2:
            raise PermissionError(errno.EACCES, "sharing violation")
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    assert verify(done) == 0


def test_a_picture_that_was_made_again_with_other_bytes_is_missed_by_nobody(
    done: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = next(path for path in pictures(done) if not _is_target(path))
    bad.write_bytes(b"nothing")
    monkeypatch.setattr("cheap_expert.noise", lambda seed: cheap.noise(seed + 1))
    assert verify(done) == 1
    assert run(done, done / "recipe.yaml") == 0
    assert bad not in pictures(done)
    capsys.readouterr()
    assert verify(done) == 0, capsys.readouterr().out
    cheap.whole(done, 4)


def test_a_target_that_is_gone_is_missed(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in pictures(done):
        path.unlink()
    assert verify(done) == 1
    assert "2 are absent" in capsys.readouterr().out, "all that was made of them has to wait"


def test_a_picture_of_settings_that_were_left_is_missed_by_nobody(done: Path) -> None:
    old = set(pictures(done))
    assert run(done, done / "recipe.yaml", "seed=1") == 0
    for path in old:
        if not _is_target(path):
            path.unlink()
    assert verify(done) == 0
    next(path for path in pictures(done) if path not in old).unlink()
    assert verify(done) == 1


def _is_target(path: Path) -> bool:
    sources = (path.parents[3] / "source").glob("*.png")
    return any(_pixels(path) == _pixels(source) for source in sources)


def _pixels(path: Path) -> bytes:
    with Image.open(path) as picture:
        return picture.convert("RGB").tobytes()
