"""The `uso` command: what a user gets wrong is one line and exit code 2, a bug keeps its traceback."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest
from comfyui_uso.trainer import cli
from comfyui_uso.uso_model import verify


def command(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Replace every command by one that raises."""

    def handler(args: argparse.Namespace) -> int:
        raise error

    parser = argparse.ArgumentParser()
    parser.add_argument("--debug", action="store_true")
    parser.set_defaults(handler=handler)
    monkeypatch.setattr(cli, "build_parser", lambda: parser)


@pytest.mark.parametrize("error", [ValueError("two\n  lines"), FileNotFoundError("two\n  lines")])
def test_user_errors_are_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command(monkeypatch, error)
    assert cli.main([]) == 2
    assert capsys.readouterr() == ("", "uso: two lines\n")
    with pytest.raises(type(error)):
        cli.main(["--debug"])


def test_a_missing_training_package_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command(monkeypatch, ModuleNotFoundError("No module named 'peft'", name="peft"))
    assert cli.main([]) == 2
    assert "peft" in (line := capsys.readouterr().err) and "[train]" in line and line.count("\n") == 1
    command(monkeypatch, ModuleNotFoundError("No module named 'comfy'", name="comfy"))
    with pytest.raises(ModuleNotFoundError):
        cli.main([])


def test_bugs_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    command(monkeypatch, TypeError("ours"))
    with pytest.raises(TypeError):
        cli.main([])


@pytest.mark.parametrize(("text", "code"), [('{"t2i": 0.0}', 0), ('{"t2i": 1.0}', 1)])
def test_verify_prints_the_report_and_returns_its_code(
    text: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verify, "run", lambda folder: (text, code))
    assert cli.main(["verify", "folder"]) == code
    assert capsys.readouterr() == (text + "\n", "")


def test_verify_of_no_folder_is_a_user_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", str(tmp_path / "absent")]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("uso: ") and err.count("\n") == 1


def test_commands_of_the_entry_point() -> None:
    text = cli.build_parser().format_help()
    assert all(name in text for name in ("demo", "verify", "mini"))
    for start in (["-m", "comfyui_uso.trainer"], ["-c", "from comfyui_uso.trainer.cli import main; main()"]):
        done = subprocess.run(
            [sys.executable, *start, "mini", "--help"], capture_output=True, text=True, timeout=60, check=True
        )
        assert "score" in done.stdout and "train" in done.stdout and "world" in done.stdout
