"""Any program as an expert: what it gets, and what its faults are called."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest
from comfyui_uso.trainer.curate.experts.open import open_expert
from comfyui_uso.trainer.curate.recipe import ExpertSettings
from comfyui_uso.trainer.curate.steps import Again, Expert, Request
from comfyui_uso.uso_model.errors import UserError
from PIL import Image

PROGRAM = """import sys
from PIL import Image
source, output, prompt, seed, width, height = sys.argv[1:]
picture = Image.open(source).resize((int(width), int(height)))
assert prompt == "a 'cat'; $(touch x) {b} %PATH% \\n" and seed == "7", sys.argv
picture.save(output)
"""
REQUEST = Request("a 'cat'; $(touch x) {b} %PATH% \n", 7, 48, 32, content=Image.new("RGB", (8, 8), "red"))


def expert(*argv: str, **settings: Any) -> Expert:
    return open_expert("e", ExpertSettings(kind="command", argv=list(argv), settings=settings))


def python(text: str) -> list[str]:
    return [sys.executable, "-c", text.replace("{", "{{").replace("}", "}}"), "{output}"]


def test_a_program_draws(tmp_path: Path) -> None:
    program = tmp_path / "program with spaces.py"
    program.write_text(PROGRAM)
    words = [sys.executable, str(program), "{input}", "{output}", "{prompt}", "{seed}", "{width}", "{height}"]
    found = expert(*words)
    picture = found(REQUEST)
    assert picture.size == (48, 32) and picture.getpixel((0, 0)) == (255, 0, 0)
    told = found.describe()
    assert told["argv"][1].startswith("sha256:") and told["argv"][2] == "{input}"
    program.write_text(PROGRAM + "# changed\n")
    assert expert(*words).describe() != told


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("import sys; sys.exit('out of memory')", "ended with exit code 1: out of memory"),
        ("pass", "gave no picture: .*output.png is not there"),
        ("import sys; open(sys.argv[1], 'w').write('<svg/>')", "gave no picture: .*cannot be read as a picture"),
        ("import sys; sys.stderr.buffer.write(bytes([255, 10])); sys.exit(3)", "exit code 3"),
    ],
)
def test_faults_of_one_picture(text: str, match: str) -> None:
    with pytest.raises(Again, match=match):
        expert(*python(text))(REQUEST)


def test_words_that_are_no_scripts_need_no_file() -> None:
    expert(sys.executable, "-c", "a/b.py", "https://x/y.py", "owner/model", "/nowhere/new", "--log=x.py", "{output}")
    expert(sys.executable, "-m", "tools.py", "{output}.py")


def test_the_end_of_what_a_program_says_is_told() -> None:
    with pytest.raises(Again, match=r"ended with exit code 2: .*no such file: 'kontext\.py'$"):
        expert(*python(f"import sys; print('{'x' * 500}: no such file: ' + repr('kontext.py')); sys.exit(2)"))(REQUEST)
    told = "/very/long/folder/of/a/python/that/somebody/has/installed/somewhere: can't open file '/w/kontext.py'"
    with pytest.raises(Again, match=f"exit code 2: {told}$"):
        expert(*python(f"import sys; print({told!r}); sys.exit(2)"))(REQUEST)


@pytest.mark.skipif(sys.platform == "win32", reason="has other limits")
def test_long_words_and_prompts() -> None:
    found = expert(sys.executable, "-c", f"pass  # {'x' * 5000}", "{prompt}", "{output}")
    assert found.describe()["argv"][2].endswith("xxx")
    with pytest.raises(Again, match="takes no prompt that is so long"):
        found(Request("x" * 3_000_000, 1, 16, 16))


def test_a_fatal_exit_code_stops() -> None:
    with pytest.raises(UserError, match="exit code 4: no licence; mend the command"):
        expert(*python("import sys; print('no licence'); sys.exit(4)"), fatal=[4])(REQUEST)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a process group")
def test_what_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    child = f"import time; time.sleep(1.5); open({str(mark)!r}, 'w')"
    text = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    began = time.monotonic()
    with pytest.raises(Again, match=r"took more than 0\.3 s"):
        expert(*python(text), timeout=0.3)(REQUEST)
    assert time.monotonic() - began < 1.4
    time.sleep(max(0.0, began + 2 - time.monotonic()))
    assert not mark.exists()


def test_a_reference_that_a_step_lacks_is_named() -> None:
    with pytest.raises(UserError, match=r"asks for \{style\}, which this step has none of"):
        expert(sys.executable, "{style}", "{output}")(REQUEST)


@pytest.mark.parametrize(
    ("argv", "match"),
    [
        ([], "needs argv"),
        ([sys.executable], "has no {output}"),
        ([sys.executable, "{output}", "{seeds}"], "expected of fields in braces {input}, {style}"),
        ([sys.executable, "{output.parent}"], "expected of fields"),
        ([sys.executable, "{output"], "write {{ for a brace"),
        (["no-such-program", "{output}"], "there is no program 'no-such-program'"),
        ([sys.executable, "draw it.py", "{output}"], r"argv has draw it\.py, which is no file in .*; correct the path"),
        ([sys.executable, "-u", "tools/draw.py", "{output}"], r"argv has tools/draw\.py, which is no file"),
        ([sys.executable, "tools/draw", "{output}"], "argv has tools/draw, which is no file"),
        ([sys.executable, "~/draw.PY", "{output}"], r"argv has ~/draw\.PY, which is no file"),
    ],
)
def test_wrong_words_are_refused_before_the_first_row(argv: list[str], match: str) -> None:
    with pytest.raises(UserError, match=match):
        expert(*argv)
