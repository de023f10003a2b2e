"""The command that measures the measures: folders of two layouts, a table, and what cannot be read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from comfyui_uso.cli import main
from comfyui_uso.trainer.evaluate.labelled import labelled_pictures
from comfyui_uso.uso_model.errors import UserError
from comfyui_uso.uso_model.images import picture_tensor
from comfyui_uso.uso_model.judging.judge import Card
from PIL import Image

EMOJI = Path(__file__).parents[2] / "data/emoji"
SUBJECTS = ("bell", "cat", "feet", "fries", "hook", "memo", "squid", "whale2")


class Colours:
    """A judge that sees colours alone, which is neither style nor subject."""

    card = Card("colours", ("style", "subject"), "none", "1", "Apache-2.0", "none", (-1, 1), "none")

    def prepare(self, picture: Image.Image) -> torch.Tensor:
        return picture_tensor(picture.resize((8, 8)))[0]

    def embed(self, prepared: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(prepared.flatten(1), dim=1)

    embed_pixels = embed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder for each hand."""
    for style in ("noto", "twemoji", "fluent"):
        (tmp_path / "set" / style).mkdir(parents=True)
        for subject in SUBJECTS:
            shutil.copy(EMOJI / f"{subject}.{style}.png", tmp_path / "set" / style / f"{subject}.png")
    return tmp_path / "set"


def rows(text: str) -> dict[str, list[str]]:
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return {row[0]: row[1:] for row in cells[2:]}


def test_both_layouts_give_one_table(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for one in labelled_pictures(folder):
        shutil.copy(one.path, flat / f"{one.subject}.{one.style}.png")
    judge = ("--judge", f"{__name__}:Colours", "--csls", "--device", "cpu", "--draws", "100")
    found = []
    for place in (folder, flat):
        assert main(["eval", "discriminate", str(place), *judge]) == 0
        found.append(capsys.readouterr().out)
    assert "24 pictures, 3 styles, 8 subjects" in found[0] and found[0].count("\n") == found[1].count("\n") == 8
    assert list(rows(found[0])) == ["style_likeness", "layout_likeness", "colours", "colours, CSLS"]
    strokes = rows(found[0])["style_likeness"]
    assert float(strokes[0][:3]) > 0.7 and "noto" in strokes[2] and strokes[-1] == ""
    assert "cannot tell styles apart here (AUC" in rows(found[0])["colours"][-1]


def test_pictures_that_cannot_be_read_are_named_and_the_rest_is_measured(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "noto/bell.png").write_text("no picture")
    Image.new("RGB", (16, 4096)).save(folder / "noto/cat.png")
    (folder / "noto/notes.txt").write_text("passed over")
    assert main(["eval", "discriminate", str(folder), "--device", "cpu", "--draws", "20"]) == 1
    told = capsys.readouterr()
    assert "23 pictures" in told.out and "1 pictures were left out" in told.err and "bell.png: unreadable" in told.err


def test_a_folder_without_labels_is_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="0 pictures in 0 styles, expected two styles or more"):
        labelled_pictures(folder / "noto")
    with pytest.raises(UserError, match="is no folder"):
        labelled_pictures(folder / "absent")
