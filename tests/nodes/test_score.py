"""USO Score: pictures against their references, sorted; what cannot be scored is named, and the others go on."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfy_execution.graph_utils import ExecutionBlocker
from comfyui_uso.mini.example_pictures import Example, examples
from comfyui_uso.nodes import score
from comfyui_uso.nodes.graph.convert import image_from_pil
from comfyui_uso.nodes.graph.left_out import LEFT_OUT
from comfyui_uso.nodes.score import Score
from torch import Tensor

PAIRS: dict[str, Example] = examples()


def style(name: str) -> Tensor:
    """Return a bundled style picture."""
    return image_from_pil(PAIRS[name].style)


def content(name: str) -> Tensor:
    """Return a bundled subject picture."""
    return image_from_pil(PAIRS[name].content)


def scored(images: Any, **inputs: Any) -> tuple[Any, list[float], list[int], str]:
    """Return what the node gives for inputs that come as lists, as ComfyUI sends them."""
    lists = {name: value if isinstance(value, list) else [value] for name, value in inputs.items()}
    return Score.execute(images if isinstance(images, list) else [images], **lists).result


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that gets the text under the node."""
    texts: list[str] = []
    monkeypatch.setattr(score, "show_on_node", texts.append)
    return texts


def test_style_and_subject_sort_apart(shown: list[str]) -> None:
    batch = torch.cat([style("1"), style("5"), content("5")])
    references = {"style_image": style("5"), "subject_image": content("5")}
    by_style, scores, order, table = scored(batch, **references)
    assert order[0] == 1 and scores[0] == pytest.approx(1, abs=1e-3) and scores == sorted(scores, reverse=True)
    assert torch.equal(by_style, batch[order])
    _, scores, order, _ = scored(batch, **references, sort_by="subject")
    assert order[0] == 2 and scores[0] == pytest.approx(1, abs=1e-3)
    _, scores, order, _ = scored(batch, **references, sort_by="subject", best_first=False)
    assert order[-1] == 2 and scores == sorted(scores)
    assert "| rank | picture | style | subject | strokes | layout |" in table
    assert (
        "style: USO-mini's style judge (128 x 128); outside of its drawings it tells subjects apart rather than styles."
        in table
    )
    assert shown[0].startswith("1. picture 1: style 1.000, subject ") and "layout" not in shown[0].splitlines()[0]


def test_nothing_is_sorted_unasked() -> None:
    batch = torch.cat([style("1"), style("5")])
    same, scores, order, _ = scored(batch, style_image=style("5"), sort_by="none")
    assert order == [0, 1] and torch.equal(same, batch) and scores[0] < 0.9
    assert scores[1] == pytest.approx(1, abs=1e-3)
    _, scores, order, table = scored(batch, style_image=style("5"), sort_by="subject")
    assert order == [0, 1] and all(value != value for value in scores)
    assert "Not sorted: there is no score by subject." in table
    assert "Nothing to score by: connect style_image" in scored(batch)[3]


def test_entries_of_a_list_have_their_own_references_and_those_of_a_batch_are_averaged() -> None:
    images = [style("1"), torch.cat([style("5"), style("5")])]
    _, scores, order, _ = scored(images, style_image=[style("1"), style("5")])
    assert scores == pytest.approx([1, 1, 1], abs=1e-3) and sorted(order) == [0, 1, 2]
    one, other = (scored(style("1"), style_image=style(name))[1][0] for name in ("1", "5"))
    both = scored(style("1"), style_image=torch.cat([style("1"), style("5")]))[1][0]
    assert both == pytest.approx((one + other) / 2, abs=1e-5)
    table = scored(style("1"), style_image=[style("1"), style("5")])[3]
    assert "2 style images came as a list for 1 entries of images: the last 1 are not used" in table


def test_what_cannot_be_scored_is_counted_and_last(shown: list[str]) -> None:
    batch = torch.cat([style("1"), style("5"), style("2"), style("3"), style("4")])
    batch[0], batch[2] = torch.nan, 0
    broken, scores, order, table = scored([batch, "text", torch.zeros(7, 7)], style_image=style("5"), best_first=False)
    assert order[-3:] == [0, 5, 6] and order[-4] == 1 and len(broken) == 5
    assert [value != value for value in scores] == [False] * 4 + [True] * 3
    assert "1 of 7 pictures without a score: 0. Got a scored image with NaN" in table
    assert "1 of 7 pictures without a score: 5. Got str as scored image" in table
    assert "1 of 7 pictures of one colour, whose scores say little: 2." in table
    assert "without a score" in shown[0]


def test_an_entry_that_is_missing_keeps_its_place() -> None:
    _, scores, order, table = scored([style("1"), None, style("5")], style_image=[style("1"), style("2"), style("5")])
    assert scores[:2] == pytest.approx([1, 1], abs=1e-3) and order[2] == 1
    assert "1 of 3 pictures without a score: 1. Got nothing as scored image" in table


def test_references_that_cannot_be_read_leave_no_score() -> None:
    table = scored(style("1"), style_image=torch.full((1, 64, 64, 3), torch.nan), subject_image=content("1"))[3]
    assert "Got a style image with NaN" in table and " none |" in table
    flat = scored(style("1"), style_image=torch.ones(1, 64, 64, 3))
    assert "A style image shows one colour" in flat[3] and flat[1][0] == flat[1][0]


def test_sizes_and_channels_may_differ() -> None:
    images = [torch.rand(1, 64, 96, 4), torch.rand(2, 500, 40, 1), style("5")]
    batch, _, order, _ = scored(images, style_image=torch.rand(1, 20, 300, 3))
    assert len(order) == 4 and batch.shape[0] == 4 and batch.shape[-1] == 3


def test_without_pictures_nothing_runs_behind() -> None:
    for images in ([LEFT_OUT], LEFT_OUT, []):
        picture, scores, order, text = Score.execute(images, [style("1")]).result
        assert isinstance(picture, ExecutionBlocker) and text == "No pictures came in."
        assert isinstance(scores[0], ExecutionBlocker) and isinstance(order[0], ExecutionBlocker)
    with pytest.raises(ValueError, match="Got nothing as images"):
        Score.execute([None], [style("1")])


def test_off_references_and_words_without_a_judge() -> None:
    _, _, order, table = scored(style("1"), style_image=LEFT_OUT, subject_image=content("1"), prompt="a butterfly")
    assert order == [0] and "| rank | picture | subject |" in table
    assert "prompt: no judge that reads words comes with the pack" in table


def test_choices_are_checked() -> None:
    with pytest.raises(ValueError, match="Got sort_by = beauty, expected one of"):
        scored(style("1"), style_image=style("1"), sort_by="beauty")
