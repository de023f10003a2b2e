"""Say at the end of every run what did not run, and why: nothing is left out in silence."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# A busy machine is no failure: examples are limited in number, not in time.
settings.register_profile("steady", deadline=None)
settings.load_profile("steady")

LEFT_OUT = pytest.StashKey[Counter[str]]()
"""Numbers of deselected tests: `long` ones, and `other`."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the fuzzer try more."""
    parser.addoption("--fuzz-rounds", type=int, default=1, help="times as many inputs as usual in tests/fuzz")


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Count the tests that a later command runs."""
    for item in items:
        left = item.config.stash.setdefault(LEFT_OUT, Counter())
        left["long" if item.get_closest_marker("long") else "other"] += 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the process that prints the summary what this one has left out."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = dict(session.config.stash.get(LEFT_OUT, Counter()))


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_testnodedown(node: Any) -> None:
    """Take over what a process has left out; all of them leave out the same."""
    node.config.stash[LEFT_OUT] = Counter(getattr(node, "workeroutput", {}).get("left_out", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print a line for each reason for which tests did not run."""
    reasons = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", []))
    left = config.stash.get(LEFT_OUT, Counter())
    if left["long"]:
        reasons["they take minutes: run `make test-long`"] += left["long"]
    if left["other"]:
        reasons["the command line deselects them"] += left["other"]
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"DID NOT RUN: {count} tests or modules, because {reason}", yellow=True, bold=True)
    folder = Path(os.environ.get("COMFYUI_PATH") or "~/comfy/ComfyUI").expanduser()
    if not (folder / "main.py").is_file():
        terminalreporter.write_line(
            f"NOT TESTED IN COMFYUI: no main.py in {folder}, so every test that needs ComfyUI was skipped; "
            "set COMFYUI_PATH to a checkout and run again",
            red=True,
            bold=True,
        )


def _reason(report: pytest.CollectReport | pytest.TestReport) -> str:
    """Return why a test or a module was skipped."""
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


@pytest.fixture(scope="session")
def golden() -> Path:
    """Return the folder of reference tensors that the official code made."""
    return Path(__file__).parent / "data" / "golden"


@pytest.fixture(scope="session")
def official() -> Path:
    """Return the folder of photos, with what the official code draws of them."""
    return Path(__file__).parent / "data" / "official"
