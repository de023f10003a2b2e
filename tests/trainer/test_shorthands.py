"""`name` and `data` stand for the settings that follow from them, wherever they are given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from comfyui_uso.trainer.commands import _recipe
from comfyui_uso.trainer.reading.recipe_files import RECIPES, load_recipe, make_recipe, recipe_file
from comfyui_uso.trainer.recipe import TrainConfig
from comfyui_uso.trainer.run_folder import read_run, write_run
from comfyui_uso.uso_model.errors import UserError

TOY = RECIPES / "toy.yaml"
VALUES: dict[str, Any] = yaml.safe_load(TOY.read_text(encoding="utf-8"))


def test_a_name_and_a_folder_are_enough() -> None:
    config = load_recipe(RECIPES / "my_style.yaml", texts=["name=ghibli", "data=pictures of mine"])
    assert config.loop.run_dir == Path("runs/ghibli") and config.folder == Path("runs/ghibli/out")
    assert config.data.manifests == [Path("pictures of mine/manifest.jsonl")]
    assert config.data.cache == Path("pictures of mine/cache") and config.data.size == 768
    other = load_recipe(RECIPES / "my_style.yaml", texts=["name=second", "data=pictures of mine"])
    assert other.data.cache == config.data.cache, "what is encoded is encoded once"


@pytest.mark.parametrize(
    ("text", "manifests", "cache"),
    [
        ("data=a #1: b", ["a #1: b/manifest.jsonl"], "a #1: b/cache"),
        ("data=a/rows.jsonl", ["a/rows.jsonl"], "a/cache"),
        ("data=[a, b]", ["a/manifest.jsonl", "b/manifest.jsonl"], "a/cache"),
    ],
)
def test_data(text: str, manifests: list[str], cache: str) -> None:
    config = load_recipe(TOY, texts=[text])
    assert config.data.manifests == list(map(Path, manifests)) and config.data.cache == Path(cache)
    assert load_recipe(TOY, texts=[text, "data.cache=elsewhere"]).data.cache == Path("elsewhere")


def test_a_folder_of_data_may_be_named_as_a_manifest_is(tmp_path: Path) -> None:
    (tmp_path / "cats.jsonl").mkdir()
    config = load_recipe(TOY, texts=[f"data={tmp_path / 'cats.jsonl'}"])
    assert config.data.manifests == [tmp_path / "cats.jsonl/manifest.jsonl"]
    assert config.data.cache == tmp_path / "cats.jsonl/cache"


def test_each_level_wins_over_the_one_below() -> None:
    assert load_recipe(TOY).loop.run_dir == Path("runs/toy")
    assert load_recipe(TOY, {"name": "a"}).loop.run_dir == Path("runs/a")
    assert load_recipe(TOY, {"loop.run_dir": Path("b")}).loop.run_dir == Path("b")
    assert load_recipe(TOY, {"loop.run_dir": Path("b")}, ["name=c"]).loop.run_dir == Path("runs/c")
    assert load_recipe(TOY, texts=["loop.run_dir=d"]).loop.run_dir == Path("d")
    old = {**VALUES, "loop": {**VALUES["loop"], "run_dir": "somewhere"}}
    del old["name"]
    assert make_recipe(old).loop.run_dir == Path("somewhere")


def test_results_in_the_folder_of_the_run_move_with_its_name() -> None:
    values = {**VALUES, "out": "runs/toy/results"}
    assert make_recipe(values, texts=["name=b"]).folder == Path("runs/b/results")
    assert make_recipe({**VALUES, "out": "loras"}, texts=["name=b"]).folder == Path("loras")


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["name=a/b"], "the command line holds the name 'a/b', expected the name of a folder"),
        (["name=.."], "expected the name of a folder"),
        (["name=nul.txt"], "the name 'nul.txt', which Windows keeps for a device"),
        (["name=a:b"], "expected the name of a folder"),
        (["name=a "], "expected the name of a folder"),
        (["name=a", "loop.run_dir=b"], "give one of them"),
        (["data=[]"], "expected a folder or settings"),
        (["data=[a, {b: 1}]"], "expected a folder or settings"),
    ],
)
def test_what_cannot_be_is_said(texts: list[str], words: str) -> None:
    with pytest.raises(UserError, match=r"^the command line") as caught:
        load_recipe(TOY, texts=texts)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", [7, True, None])
def test_a_name_in_a_file_is_text(name: Any) -> None:
    values = {**VALUES, "name": name}
    words = "put it in quotes" if name is not None else r"name: Field required \(or loop.run_dir\)"
    with pytest.raises(UserError, match=words):
        make_recipe(values)


def test_a_run_goes_on_by_its_folder_and_starts_another_by_a_name(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    config: TrainConfig = load_recipe(TOY, texts=["name=first"])
    write_run(config, 1, "")
    assert read_run("runs/first").loop.run_dir == tmp_path / "runs/first"
    assert "name" not in yaml.safe_load(Path("runs/first/config.yaml").read_text(encoding="utf-8"))
    other = read_run("runs/first", ["name=second"])
    assert other.loop.run_dir == Path("runs/second") and other.folder == Path("runs/second/out")


def test_data_in_the_place_of_a_recipe_is_told_apart(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pictures").mkdir()
    Path("rows.jsonl").write_text("{}", encoding="utf-8")
    for name in ("pictures", "rows.jsonl"):
        with pytest.raises(UserError, match=rf"is data and no recipe: .*my_style.* data={name}"):
            recipe_file(name)


def test_the_option_is_the_setting() -> None:
    from comfyui_uso.cli import build_parser

    for words in (["train", "toy", "--name", "x"], ["doctor", "--name=x", "toy"], ["cache", "toy", "name=x"]):
        assert _recipe(build_parser().parse_args(words)).loop.run_dir == Path("runs/x")
