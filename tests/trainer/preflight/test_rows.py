"""A recipe and its rows are compared first: references, captions, and a folder that has no manifest yet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from comfyui_uso import cli
from comfyui_uso.trainer.data.manifest import Row, read_manifest, write_manifest
from comfyui_uso.trainer.flux_family import FluxFamily
from comfyui_uso.trainer.preflight import look
from comfyui_uso.trainer.preflight.rows import captions, references
from comfyui_uso.trainer.reading.recipe_files import RECIPES, load_recipe
from comfyui_uso.trainer.recipe import TrainConfig
from PIL import Image

STYLE, CONTENT = [Path("s.png")], Path("c.png")


def row(style: list[Path], content: Path | None, prompt: str = "a cat") -> Row:
    return Row(id="1", target=Path("t.png"), style=style, content=content, prompt=prompt)


@pytest.mark.parametrize(
    ("name", "rows", "words"),
    [
        ("my_style", [row([], CONTENT)] * 30, "a style reference, but 0 of 30 rows have a style reference, 30 of 30"),
        ("my_subject", [row(STYLE, None)] * 16, "a content reference, but 16 of 16 rows have a style reference, 0 of"),
        ("adapt_24gb", [row(STYLE, None)] * 4, "rows with a content reference, but 4 of 4"),
        ("paper_stage2", [row([], None)], "a style reference and a content reference, but 0 of 1"),
        ("paper_stage1", [row([], CONTENT)], "a style reference, but"),
        ("my_style", [row(STYLE, None)], None),
        ("my_subject", [row(STYLE, CONTENT)], None),
        ("toy", [row([], CONTENT)], None),
    ],
)
def test_rows_that_would_train_something_else_are_refused_with_counts(
    name: str, rows: list[Row], words: str | None
) -> None:
    problems, notes = references(load_recipe(RECIPES / f"{name}.yaml"), rows)
    assert notes == [] and len(problems) == (words is not None)
    assert words is None or (words in problems[0] and "needs=none" in problems[0])


def test_some_rows_without_are_a_note_and_needs_can_be_set() -> None:
    rows = [row([], CONTENT)] * 2 + [row(STYLE, None)] * 3
    problems, notes = references(load_recipe(RECIPES / "my_style.yaml"), rows)
    assert not problems and notes == [
        "3 of 5 rows have a style reference, 2 of 5 rows have a content reference; the others train without"
    ]
    assert references(load_recipe(RECIPES / "my_style.yaml", texts=["needs=none"]), rows[:2]) == ([], [])


def test_captions_that_are_cut_are_a_note_before_training(flux_recipe, manifest, monkeypatch) -> None:
    """The numbers of the recipe's own tokenizers; short captions are not even counted."""
    long = "a very long caption of a house " * 4
    rows = read_manifest(manifest)
    write_manifest([rows[0].model_copy(update={"prompt": long}), *rows[1:]], manifest)
    asked: list[str] = []

    def count(prompt: str) -> dict[str, tuple[int, int]]:
        asked.append(prompt)
        return {"T5": (len(prompt.split()), 512), "CLIP": (3 * len(prompt.split()), 77)}

    monkeypatch.setattr(FluxFamily, "count_tokens", lambda family, models: count)
    (note,) = (note for note in look(flux_recipe()).notes if "tokens" in note)
    assert note == "1 captions have more than the 77 tokens that CLIP reads; of row 0 7 are cut"
    assert asked == ["", long]
    assert not any("tokens" in note for note in look(flux_recipe(), encoders=False).notes), "others are given"


def test_captions_are_counted() -> None:
    (note,) = captions([row(STYLE, None, " ")] * 16)
    assert note.startswith("no row has a caption (16 rows): ")
    (note,) = captions([row(STYLE, None, "")] * 3 + [row(STYLE, None)])
    assert note.startswith("3 of 4 rows have no caption: ")
    kept = row(STYLE, CONTENT, "").model_copy(update={"layout": "preserved"})
    assert not list(captions([kept])), "such rows have an empty prompt in USO's data"


def test_the_recipe_and_the_data_of_a_run_are_compared(
    recipe: Callable[..., TrainConfig], manifest: Path, tmp_path: Path
) -> None:
    rows = [one.model_copy(update={"style": [], "prompt": ""}) for one in read_manifest(manifest)]
    write_manifest(rows, manifest)
    found = look(recipe(needs="style"), encoders=False)
    assert len(found.problems) == 1 and "0 of 8 rows have a style reference" in found.problems[0]
    assert any(note.startswith("no row has a caption (4 rows)") for note in found.notes)


@pytest.mark.parametrize(("name", "reference"), [("my_style", "style"), ("my_subject", "content")])
def test_a_folder_of_pictures_without_a_manifest_gets_its_import_line(
    name: str, reference: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("my cats")
    (folder / "more").mkdir(parents=True)
    for path in (folder / "a.png", folder / "more" / "b.JPG"):
        Image.new("RGB", (32, 32)).save(path)
    assert cli.main(["train", name, "--name", "cats", f"data={folder}"]) == 2
    err = capsys.readouterr().err
    line = f'uso import pictures "my cats" --reference {reference}'
    assert f"make it of the 1 picture in that folder: `{line}`" in err and not Path("runs").exists()
    assert cli.main(["train", name, "data=nowhere"]) == 2
    assert "nor is its folder" in capsys.readouterr().err
