"""Say loudly, at the end of every run, when the ComfyUI tests had no ComfyUI to run in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no failure: examples are limited in number, not in time.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")


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


@pytest.fixture(scope="session")
def golden() -> Path:
    """Return the folder of reference tensors that the official code made."""
    return Path(__file__).parent / "data" / "golden"
