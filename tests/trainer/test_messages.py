"""What the command says when memory runs out, a file cannot be written, or the console lacks letters."""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType

import pytest
import torch
from comfyui_uso import cli
from comfyui_uso.trainer.cli import new_parser
from comfyui_uso.trainer.engine.byproduct import byproduct
from comfyui_uso.trainer.out_of_memory import advice
from comfyui_uso.uso_model.checkpoints import files
from comfyui_uso.uso_model.errors import UserError
from safetensors import SafetensorError

CUDA = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.99 GiB"
CPU = "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."


def raised(error: Exception, path: str) -> Exception:
    """Return an error with a traceback that leads through a file of that path."""
    code: CodeType = compile("raise error", f"C:\\pack\\{path}".replace("/", "\\"), "exec")
    try:
        exec(code, {"error": error.with_traceback(None)})
    except Exception as caught:
        return caught
    raise AssertionError


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("trainer/monitor/samples.py", ["drawing samples", "monitor.samples_every=0"]),
        ("trainer/encoders/flux.py", ["encoding pictures and prompts", "data.content_size", "is kept"]),
        ("trainer/evaluate/score.py", ["a bench", "--shard"]),
        ("trainer/objective/reward.py", ["the reward", "reward.size"]),
        ("trainer/memory/load.py", ["reading the networks", "memory.base=fp8"]),
        (
            "trainer/engine/loop.py",
            ["a step", "memory.blocks_to_swap", "data.size", "checkpoint stands"],
        ),
        ("trainer/export/run.py", ["uso export RUN"]),
        ("trainer/train.py", ["preparing the run", "memory.base=fp8", "lora.rank", "uso doctor RECIPE"]),
        ("trainer/data/check.py", ["reading the data"]),
        ("trainer/else.py", ["close other programs"]),
    ],
)
@pytest.mark.parametrize(
    ("error", "place"),
    [
        (torch.OutOfMemoryError(CUDA), "GPU memory"),
        (RuntimeError("CUDA error: out of memory"), "GPU memory"),
        (RuntimeError(CPU), "memory (RAM)"),
        (MemoryError(), "memory (RAM)"),
        (OSError(12, "Cannot allocate memory"), "memory (RAM)"),
    ],
)
def test_memory_that_runs_out_is_one_sentence_of_its_phase(
    error: Exception,
    place: str,
    path: str,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def handler(args: argparse.Namespace) -> None:
        raise raised(error, path)

    parser = new_parser()
    parser.set_defaults(handler=handler)
    monkeypatch.setattr(cli, "build_parser", lambda: parser)
    assert cli.main([]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and place in err and all(word in err for word in words), err


def test_other_errors_are_not_of_memory() -> None:
    assert advice(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None
    assert advice(FileNotFoundError(2, "No such file", "out of memory.png")) is None


def test_a_file_that_finds_no_memory_is_no_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unmapped(*args: object, **named: object) -> None:
        raise SafetensorError("Error while mapping the file: Cannot allocate memory (os error 12)")

    (tmp_path / "flux.safetensors").write_bytes(b"x")
    monkeypatch.setattr(files, "safe_open", unmapped)
    with pytest.raises(UserError) as caught:
        files.read_safetensors(tmp_path / "flux.safetensors")
    assert "not enough memory (RAM)" in (advice(caught.value) or "")


def test_a_picture_on_the_way_that_finds_no_memory_says_what_to_change(caplog: pytest.LogCaptureFixture) -> None:
    with byproduct("samples at step 3", "The next one is tried again."):
        raise raised(torch.OutOfMemoryError(CUDA), "trainer/monitor/samples.py")
    assert "the run goes on" in caplog.text and "monitor.samples_every=0" in caplog.text


def failing(error: OSError) -> Callable[[argparse.Namespace], None]:
    def handler(args: argparse.Namespace) -> None:
        raise error

    return handler


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(13, "Permission denied", "runs/a/log.jsonl"),
        OSError(28, "No space left on device", "runs/a/log.jsonl"),
        PermissionError(13, "Access is denied", "a.part", None, "runs/a/log.jsonl"),
    ],
)
def test_an_error_of_the_system_names_its_file(
    error: OSError, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = new_parser()
    parser.set_defaults(handler=failing(error))
    monkeypatch.setattr(cli, "build_parser", lambda: parser)
    assert cli.main([]) == 2
    err = capsys.readouterr().err
    assert "runs/a/log.jsonl" in err and str(error.strerror) in err and "[Errno" not in err


NAME = "\u6765\u5e74 \u00e9\u0142\U0001f600.jsonl"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "cp932"])
def test_a_console_without_the_letters_of_a_file_is_no_error(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(NAME).write_text('{"id": "1", "target": "\u6765.png"}\n', encoding="utf-8")
    for words, code in ((["check", NAME], 1), (["train", NAME], 2), (["train", f"--name={NAME}", "toy"], 2)):
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict") for _ in range(2))
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        assert cli.main(words) == code
        out.flush(), err.flush()
        text = (out.buffer.getvalue() + err.buffer.getvalue()).decode(encoding)
        assert len(text) > 20 and "Traceback" not in text


def test_the_same_in_a_process_of_its_own(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('{"id": "1", "target": "\u6765.png"}\n', encoding="utf-8")
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "comfyui_uso", "check", NAME]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=120, check=False)
    text = (done.stdout + done.stderr).decode("cp1252")
    assert done.returncode == 1 and "\\u6765" in text and "Traceback" not in text, text


def test_install_lines_work_in_every_shell() -> None:
    """cmd.exe takes single quotes for letters."""
    root = Path(cli.__file__).parent
    for file in [*root.glob("trainer/**/*.py"), *root.glob("*.py"), *root.glob("trainer/**/*.yaml")]:
        text = file.read_text(encoding="utf-8")
        assert "'.[" not in text and "'comfyui" not in text, file
