"""A reader that goes away, as `| head` does, ends a command quietly; another broken pipe is an error."""

from __future__ import annotations

import argparse
import subprocess
import sys

import pytest
from comfyui_uso.trainer.cli import new_parser, run

TALKING = """import sys
from comfyui_uso.trainer.cli import new_parser, run

def talk(args):
    sys.stdin.read()
    for number in range({lines}):
        print("line", number)

parser = new_parser()
parser.set_defaults(handler=talk)
raise SystemExit(run(parser, {words}))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="has other pipes")
@pytest.mark.parametrize(("lines", "words", "options"), [(1, [], []), (50_000, ["--debug"], []), (3, [], ["-u"])])
def test_a_reader_that_goes_away(lines: int, words: list[str], options: list[str]) -> None:
    program = [sys.executable, *options, "-c", TALKING.format(lines=lines, words=words)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdout.close()
        process.stdin.close()
        assert process.stderr.read() == b"" and process.wait(60) == 141


def test_a_pipe_to_something_else(capsys: pytest.CaptureFixture[str]) -> None:
    def handler(args: argparse.Namespace) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    parser = new_parser()
    parser.set_defaults(handler=handler)
    assert run(parser, []) == 2 and "Broken pipe" in capsys.readouterr().err
