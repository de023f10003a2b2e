"""The bundled example pictures as a node: names for ever, pictures as in the files, and files found without a list."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
import torch
from comfyui_uso.mini.example_pictures import EXAMPLES, example, example_names
from comfyui_uso.nodes.example import ExamplePair, thumbnail
from comfyui_uso.uso_model.errors import UserError
from comfyui_uso.uso_model.images import picture_tensor
from PIL import Image

NAMES = {
    "butterfly, linocut print": "1",
    "lighthouse, night painting": "2",
    "turtle, shadow theatre": "3",
    "guitar, ink wash": "4",
    "owl, blueprint": "5",
    "house, cartoon": "6",
    "teapot, bead picture": "7",
    "balloon, knitted picture": "8",
}
"""Frozen: saved graphs hold these names."""


def test_names_of_saved_graphs_stay() -> None:
    assert dict(list(example_names().items())[: len(NAMES)]) == NAMES


def test_every_pair_has_a_name_and_words_of_its_own() -> None:
    names = example_names()
    assert len(names) == len(list(EXAMPLES.glob("*_content.png"))), "two pairs have the same name"
    assert {path.name for path in EXAMPLES.glob("*_name.txt")} == {f"{number}_name.txt" for number in names.values()}
    combo = ExamplePair.define_schema().inputs[0]
    assert combo.options == list(names) and combo.default in names


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_the_files(name: str) -> None:
    style, content, prompt = ExamplePair.execute(name).result
    found = example(NAMES[name])
    for image, picture in ((style, found.style), (content, found.content)):
        assert image.dtype == torch.float32 and image.shape == (1, 128, 128, 3)
        assert torch.allclose(image, picture_tensor(picture).movedim(1, -1) / 2 + 0.5, atol=1e-6)
    assert prompt and prompt == prompt.strip()


def test_more_pairs_need_files_only(tmp_path: Path) -> None:
    for number in ("2", "10"):
        for part, colour in (("style", "red"), ("content", "blue")):
            Image.new("RGB", (8, 8), colour).save(tmp_path / f"{number}_{part}.png")
        (tmp_path / f"{number}_prompt.txt").write_text(f"prompt {number}\n", encoding="utf-8")
    (tmp_path / "10_name.txt").write_text("ten\n", encoding="utf-8")
    assert example_names(tmp_path) == {"prompt 2": "2", "ten": "10"}
    assert example("10", tmp_path).prompt == "prompt 10"
    assert example("10", tmp_path).style.getpixel((0, 0)) == (255, 0, 0)


def test_a_thumbnail_is_a_small_picture_of_the_pair() -> None:
    data = thumbnail("owl, blueprint")
    with Image.open(BytesIO(data)) as picture:
        assert picture.format == "JPEG" and picture.size == (256, 128)
    assert len(data) < 40_000


@pytest.mark.parametrize("name", ["", "../../README", "dog\n, photo"])
def test_an_unknown_name_is_one_sentence(name: str) -> None:
    for ask in (thumbnail, ExamplePair.execute):
        with pytest.raises(UserError, match=r"\AGot [^\n]*expected one of [^\n]*\.\Z"):
            ask(name)
