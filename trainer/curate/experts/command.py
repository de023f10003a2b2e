"""Any program as an expert: its words, no shell, a picture that it reads and one that it writes."""

from __future__ import annotations

import errno
import os
import shutil
import string
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import Field

from ....uso_model.errors import UserError
from ....uso_model.untrusted import named, quoted
from ....uso_model.writing import sha256_of
from ...data.pictures import open_picture
from ...reading.errors import Origin
from ...reading.values import validated
from ...settings.base import Settings
from ..fields import fields_of
from ..recipe import ExpertSettings
from ..steps import Again, Request
from .programs import PROGRAMS

__all__ = ["FIELDS", "Calling", "CommandExpert", "command_expert"]

FIELDS = ("input", "style", "content", "prompt", "seed", "width", "height", "output")
"""What may stand in braces in a word; `input` is the reference, style or content, where there is one alone."""
_PICTURES = ("input", "style", "content")
_TAIL = 64 * 1024
"""Bytes of a program's complaints that are looked at."""
_SEEDS = 1 << 32
"""Of {seed}: NumPy and many programs take no larger ones."""
_SHOWN = 200
"""Letters of the last line of them that are told: its end, where programs name files."""
_SCRIPTS = (".py", ".sh", ".js", ".bat", ".cmd", ".ps1", ".exe", ".pl", ".rb", ".lua")


class Calling(Settings):
    """How the program is called: an expert's `settings`."""

    timeout: float = Field(600.0, gt=0, le=86_400, description="seconds for one picture")
    fatal: list[int] = Field(
        default_factory=lambda: [126, 127], description="exit codes after which no other picture is tried"
    )


class CommandExpert:
    """Calls a program for each picture, in a folder of its own that is removed afterwards."""

    def __init__(self, argv: list[str], calling: Calling, workers: int):
        """Take words whose fields are known."""
        self.workers = workers
        self._argv, self._calling = argv, calling

    def describe(self) -> dict[str, Any]:
        """Return the words, with a hash in the place of every file among them."""
        return {"kind": "command", "argv": [_told(word) for word in self._argv]}

    def __call__(self, request: Request) -> Image.Image:
        """Draw.

        Raises:
            Again: the program failed, took too long or gave no picture.
            UserError: there is no such program, or it says by its exit code that others will fail, too.
        """
        with PROGRAMS.folder() as folder:
            output = folder / "output.png"
            self._run([self._filled(word, request, folder) for word in self._argv], str(folder))
            try:
                return open_picture(output, otherwise="mend the command")
            except UserError as error:
                raise Again(f"{self._argv[0]} gave no picture: {error}".replace(f"{folder}/", "")) from error

    def _filled(self, word: str, request: Request, folder: Path) -> str:
        values: dict[str, object] = {
            "prompt": request.prompt.replace("\0", ""),
            "seed": request.seed % _SEEDS,
            "width": request.width,
            "height": request.height,
            "output": folder / "output.png",
        }
        references = {"style": request.style, "content": request.content}
        references["input"] = request.content if request.content is not None else request.style
        for _, field, _, _ in string.Formatter().parse(word):
            if field in _PICTURES:
                picture, path = references[field], folder / f"{field}.png"
                if picture is None:
                    raise UserError(f"experts.argv asks for {{{field}}}, which this step has none of; take it out")
                if not path.is_file():
                    picture.save(path)
                values[field] = path
        return word.format_map(values)

    def _run(self, words: list[str], folder: str) -> None:
        with tempfile.TemporaryFile() as complaints:
            try:
                code = PROGRAMS.run(words, complaints, self._calling.timeout)
            except OSError as error:
                if error.errno == errno.E2BIG:
                    raise Again(f"{words[0]} takes no prompt that is so long") from error
                raise UserError(
                    f"{named(words[0])} cannot be started ({error.strerror}); correct the first word of argv"
                ) from error
            except subprocess.TimeoutExpired as error:
                raise Again(f"{words[0]} took more than {self._calling.timeout:g} s") from error
            if code == 0:
                return
            complaints.seek(max(0, complaints.seek(0, 2) - _TAIL))
            lines = complaints.read().decode("utf-8", "replace").replace(folder, "").strip().splitlines()
        last = lines[-1].strip() if lines else "it says nothing"
        last = last if len(last) <= _SHOWN else f"... {last[-_SHOWN:]}"
        what = f"{words[0]} ended with exit code {code}: {quoted(last, 2 * _SHOWN)}"
        if code in self._calling.fatal:
            raise UserError(f"{what}; mend the command and run it again")
        raise Again(what)


def _told(word: str) -> str:
    """Return a word, or the hash of the file that it is; a program of the system by its name, versions differ."""
    if "{" in word or not os.path.isfile(word):  # Path.is_file raises where a word is too long for a name
        return word
    return f"sha256:{sha256_of(word)}"


def _names_a_script(argv: list[str], place: int) -> bool:
    """Whether a word is the path of a script. Names of models and folders to be made have separators, too."""
    word = argv[place]
    if place == 0 or "{" in word or word.startswith("-") or "://" in word or len(word.splitlines()) != 1:
        return False
    if argv[place - 1] in ("-c", "-e", "-m"):  # code, or a module
        return False
    separated = os.sep in word or (os.altsep or os.sep) in word
    return word.lower().endswith(_SCRIPTS) or (place == 1 and separated)


def command_expert(settings: ExpertSettings) -> CommandExpert:
    """Return the expert of `argv`.

    Raises:
        UserError: no words, an unknown field, no {output}, or no such program or script.
    """
    argv = settings.argv
    calling = validated(Calling, settings.settings, Origin("an expert's settings", None, settings.settings))
    if not argv:
        raise UserError("an expert of the kind command needs argv: a program and its words, one of them {output}")
    known = ", ".join(f"{{{name}}}" for name in FIELDS)
    expected = f"of fields in braces {known}; {{{{ is a brace"
    fields = {field for word in argv for field in fields_of(word, FIELDS, "argv", expected)}
    if "output" not in fields:
        raise UserError("argv has no {output}, the file that the program is to write; add it")
    if "{" in argv[0] or shutil.which(argv[0]) is None:
        raise UserError(f"there is no program {quoted(argv[0])!r}; correct the first word of argv")
    for place, word in enumerate(argv):
        if _names_a_script(argv, place) and not os.path.isfile(word):
            raise UserError(f"argv has {named(word)}, which is no file in {named(os.getcwd())}; correct the path")
    return CommandExpert(list(argv), calling, settings.workers or 1)
