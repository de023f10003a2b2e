"""The command line of a folder that is not installed, under any name, driven by another program."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from comfyui_uso.trainer.install_line import install_line

from ..house import ROOT

LAUNCHER = "trainer/launcher/from_folder.py"


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """Return this pack in a folder of another name."""
    folder = tmp_path / "my-uso pack"
    folder.mkdir()
    for name in ("__init__.py", "cli.py", "uso_model", "trainer", "mini", "nodes"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def started(pack: Path, options: list[str], *words: str) -> tuple[list[dict[str, Any]], str, int]:
    """Run the launcher by a Python that has nothing of its own, and return events, log and exit code."""
    command = [sys.executable, *options, str(pack / LAUNCHER), *words]
    done = subprocess.run(
        command, cwd=pack.parent, env={}, input="", capture_output=True, text=True, timeout=600, check=False
    )
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr, done.returncode


def test_packages_that_are_missing_are_named_with_the_line_for_this_python(pack: Path) -> None:
    events, log, code = started(pack, ["-S", "-I"], "train", "toy", "--progress", "json")
    assert [event["event"] for event in events] == ["start", "error"] and code == 2 and log.count("\n") == 1
    assert events[1]["kind"] == "packages" and "is not installed" in events[1]["text"]
    assert f'-m pip install -e "{pack}[train]"' in events[1]["text"] and events[1]["text"] in log


def test_wrong_words_are_an_event(pack: Path) -> None:
    events, log, code = started(pack, ["-S", "-I"], "train", "toy", "--progress=json", "--nane", "x")
    assert [event["event"] for event in events] == ["start", "error"] and code == 2
    assert "did you mean --name?" in events[1]["text"] and events[1]["text"] in log


@pytest.mark.parametrize(
    ("python", "line"),
    [
        (r"C:\ComfyUI_windows_portable\python_embeded\python.exe", "-s -m pip install peft"),
        (r"C:\My Tools\python.exe", '"C:\\My Tools\\python.exe" -m pip install peft'),
        ("/opt/venv/bin/python", "/opt/venv/bin/python -m pip install peft"),
    ],
)
def test_the_line_that_installs(python: str, line: str) -> None:
    assert install_line(python, ["peft"]).endswith(line)
