"""What a shell has made of quotes and blanks, paths of another system, and several problems: said, each on its line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from comfyui_uso import cli
from comfyui_uso.trainer.preflight.files import no_paths
from comfyui_uso.trainer.reading.command_line import require_own_paths, require_pairs, unquoted
from comfyui_uso.trainer.reading.foreign_paths import foreign_path
from comfyui_uso.trainer.reading.recipe_files import RECIPES, load_recipe
from comfyui_uso.uso_model.errors import UserError


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ('data="a b"', "data=a b"),
        ("data='a b'", "data=a b"),
        ("'data=a b'", "data=a b"),
        ("--name='x'", "--name=x"),
        ("'x.yaml'", "x.yaml"),
        ("it's", "it's"),
        ("loop.optimizer_args={a: 'b'}", "loop.optimizer_args={a: 'b'}"),
        ('"said"', '"said"'),
        ("'", "'"),
    ],
)
def test_quotes_that_a_shell_has_left_are_taken_off(word: str, found: str) -> None:
    assert unquoted([word]) == [found]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--where", "layout='shifted'"], "layout='shifted'"),
        (["--where", 'group="a b"'], 'group="a b"'),
        (["--where", "'a'='b'"], "'a'='b'"),
        (["--where=group='ink'"], "--where=group='ink'"),
        (["--where", "'csd>=.5'"], "csd>=.5"),
        (["--debug", "data='a b'"], "data=a b"),
        (["--out=x", "data='a b'"], "data=a b"),
    ],
)
def test_quotes_in_the_value_of_an_option_are_part_of_it(words: list[str], found: str) -> None:
    flags = cli.build_parser().flags(["curate", "accept", "RUN", *words])
    assert {"--debug", "--suggest"} < set(flags) and "--where" not in flags
    assert unquoted(words, flags)[-1] == found


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["loop.steps", "=5"], "blank before the equals sign: loop.steps=5"),
        (["loop.steps", "=", "5"], "blank before the equals sign: loop.steps=5"),
        (["loop.steps=", "5"], "blank after the equals sign: loop.steps=5"),
        (["data=", "pictures"], "blank after the equals sign: data=pictures"),
        (["data='my", "pictures'"], "cmd.exe parts what stands in single quotes"),
        (["data=my", "pictures"], 'in double quotes: data="my pictures"'),
        (["steps"], "for example loop.steps=200"),
    ],
)
def test_a_blank_beside_the_equals_sign_is_said(texts: list[str], words: str) -> None:
    with pytest.raises(UserError) as caught:
        require_pairs(texts)
    assert words in str(caught.value)
    with pytest.raises(UserError) as again:
        load_recipe(RECIPES / "toy.yaml", texts=texts)
    assert str(again.value) == str(caught.value)


def test_quotes_of_a_whole_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "'toy'", "loop.stepz='7'"]) == 2
    assert "loop.stepz is unknown, did you mean loop.steps?" in capsys.readouterr().err


def test_a_path_of_another_system_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    other, here = ("/Users/me/a", "C:\\me\\a") if os.name == "nt" else ("C:\\me\\a", "/Users/me/a")
    assert foreign_path(here) is None and "is a path of" in (foreign_path(other) or "")
    for word in (other, f"data={other}", f"--out={other}"):
        with pytest.raises(UserError, match="is a path of"):
            require_own_paths(["train", word])
    require_own_paths(["train", here, "--caption", "a \\ b", "lora.layers=a\\d+"])
    if os.name != "nt":
        assert foreign_path("runs\\a") and not foreign_path("runs\\a", certain=True)
        (tmp_path / "runs\\a").mkdir()
        assert foreign_path("runs\\a") is None, "it is there"


def test_a_recipe_with_paths_of_another_system_makes_no_such_folder() -> None:
    other = Path("/Users/me/a" if os.name == "nt" else "C:\\me\\a")
    config = load_recipe(RECIPES / "toy.yaml", {"loop.run_dir": other, "data.cache": other})
    assert [one.partition(":")[0] for one in no_paths(config)] == ["data.cache", "loop.run_dir"]


def test_each_problem_has_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yaml"
    text = (RECIPES / "toy.yaml").read_text(encoding="utf-8")
    path.write_text(text.replace("rank: 16", "dim: 16").replace("steps: 40", "stepz: 40"), encoding="utf-8")
    assert cli.main(["train", str(path), "loop.betas=3", "loop.max_norm=2"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"uso: {len(lines) - 1} problems" and all(line.startswith("- ") for line in lines[1:]), lines
    told = ("lora.dim", "loop.stepz", "loop.betas", "loop.max_norm is unknown; here it is loop.clip")
    assert all(sum(words in line for line in lines) == 1 for words in told), lines


@pytest.mark.parametrize(
    "name",
    "max_grad_norm max_norm grad_clip clip_grad_norm clip_grad gradient_clip_val gradient_clipping".split(),  # noqa: SIM905
)
def test_what_others_call_the_largest_norm(name: str) -> None:
    with pytest.raises(UserError, match=rf"{name} is unknown; here it is loop\.clip"):
        load_recipe(RECIPES / "toy.yaml", texts=[f"loop.{name}=1"])


@pytest.mark.parametrize("name", ["CON", "nul.txt", "com1 .a"])
def test_names_that_windows_keeps_say_why(name: str) -> None:
    with pytest.raises(UserError, match="which Windows keeps for a device"):
        load_recipe(RECIPES / "toy.yaml", texts=[f"name={name}"])
    with pytest.raises(UserError, match="Windows takes no ':' in one"):
        load_recipe(RECIPES / "toy.yaml", texts=["name=a:b"])


@pytest.mark.parametrize("text", ["", "# nothing yet\n"])
def test_an_empty_recipe(text: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"mine\.yaml is empty; write settings into it"):
        load_recipe(tmp_path / "mine.yaml")
