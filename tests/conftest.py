"""Say loudly, at the end of every run, when the ComfyUI tests had no ComfyUI to run in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the fuzzer try more."""
    parser.addoption("--fuzz-rounds", type=int, default=1, help="times as many inputs as usual in tests/fuzz")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print one line when no ComfyUI is found where the tests look for it."""
    folder = Path(os.environ.get("COMFYUI_PATH") or "~/comfy/ComfyUI").expanduser()
    if not (folder / "main.py").is_file():
        terminalreporter.write_line(
            f"NOT TESTED IN COMFYUI: no main.py in {folder}, so every test that needs ComfyUI was skipped; "
            "set COMFYUI_PATH to a checkout and run again",
            red=True,
            bold=True,
        )
