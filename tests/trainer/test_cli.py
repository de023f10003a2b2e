"""The `uso` command: what a user gets wrong is one line and exit code 2, a bug keeps its traceback."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from comfyui_uso import cli
from comfyui_uso.trainer import verify
from comfyui_uso.trainer.cli import new_parser
from comfyui_uso.trainer.recipe import TrainConfig
from comfyui_uso.trainer.train import train
from comfyui_uso.uso_model.errors import UserError


def command(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Replace every command by one that raises."""

    def handler(args: argparse.Namespace) -> int:
        raise error

    parser = new_parser()
    parser.set_defaults(handler=handler)
    monkeypatch.setattr(cli, "build_parser", lambda: parser)


@pytest.mark.parametrize("error", [UserError("two\n  lines"), FileNotFoundError("two\n  lines")])
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


@pytest.mark.parametrize("error", [TypeError("ours"), ValueError("ours"), KeyError("ours")])
def test_bugs_keep_their_traceback(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A plain ValueError is a bug too: only what says so is the user's."""
    command(monkeypatch, error)
    assert cli.main([]) == 3
    err = capsys.readouterr().err
    assert "Traceback" in err and "test_cli.py" in err and "report it" in err.splitlines()[-1]


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
    for start in (["-m", "comfyui_uso"], ["-c", "from comfyui_uso.cli import main; main()"]):
        done = subprocess.run(
            [sys.executable, *start, "mini", "--help"], capture_output=True, text=True, timeout=60, check=True
        )
        assert "reproduce" in done.stdout and "train" in done.stdout and "world" in done.stdout


def test_a_run_from_the_command_line(
    recipe: Callable[..., TrainConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Train USO-mini on eight tiny pictures, go on by the run's folder alone, export, and check the data."""
    config = recipe("triplet", models={"mini": True, "transformer": None, "projector": None})
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(json.loads(config.model_dump_json())), encoding="utf-8")
    assert cli.main(["cache", str(path), "--prune"]) == 0
    assert "8 rows are encoded" in capsys.readouterr().out
    assert cli.main(["train", str(path), "loop.steps=2"]) == 0
    assert cli.main(["train", str(config.loop.run_dir), "loop.steps=3"]) == 0
    assert cli.main(["export", str(config.loop.run_dir), "--out", str(tmp_path / "out"), "--dtype", "bf16"]) == 0
    told = capsys.readouterr().out
    assert (
        "step 3" in told
        and "32/32 keys map" in told
        and (tmp_path / "out" / "run-0000003-projector.safetensors").is_file()
    )
    assert cli.main(["check", str(config.data.manifests[0]), "--size", "32"]) in (0, 1)
    assert cli.main(["doctor", str(path)]) == 0
    assert "stage triplet, 4 steps of 2 rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "toyy"], "one of adapt_12gb, adapt_16gb"),
        (["train", "toy", "loop.stepz=3"], "did you mean loop.steps?"),
        (["export", "nowhere"], "holds no config.yaml"),
        (["check", "absent.jsonl"], "absent.jsonl is not there"),
        (["import", "uno", "absent.json"], "absent.json"),
        (["csd", "absent.bin", "out.safetensors"], "absent.bin is not there; download"),
        (["train", "my_style"], "models/vae/ae.safetensors is not there"),
    ],
)
def test_what_a_user_gets_wrong_is_a_line_for_each_problem(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 2
    err = capsys.readouterr().err
    lines = err.splitlines()
    assert message in err and (len(lines) == 1 or lines[0] == f"uso: {len(lines) - 1} problems")
    assert list(tmp_path.iterdir()) == [], "a command that fails leaves nothing behind"


def test_a_failed_start_does_not_fix_the_settings(recipe: Callable[..., TrainConfig], tmp_path: Path) -> None:
    wrong = recipe("triplet", models={"mini": True, "transformer": tmp_path / "absent.safetensors"})
    with pytest.raises(ValueError, match=r"absent\.safetensors"):
        train(wrong)
    assert not (wrong.loop.run_dir / "config.yaml").exists()
