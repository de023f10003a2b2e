"""A frame that is drawn again gets its own subject, region and prompt."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_uso.nodes.apply import Apply
from comfyui_uso.nodes.graph.frames import of_frames
from comfyui_uso.nodes.sampler import Sampler

import nodes as comfy_nodes

from .conftest import content

COUNT = 3


@pytest.fixture
def references(base_model: Any, prompt: Any, style: Any) -> Any:
    """Return model and prompts whose subject, regions and text differ from frame to frame."""
    text = [[torch.cat([prompt(seed)[0][0] for seed in range(COUNT)]), prompt()[0][1]]]
    text[0][1]["pooled_output"] = torch.cat([prompt(seed)[0][1]["pooled_output"] for seed in range(COUNT)])
    regions = torch.zeros(COUNT, 8, 8)
    for frame in range(COUNT):
        regions[frame, :, 2 * frame : 2 * frame + 3] = 1
    subject = content((4, 4), frames=COUNT)
    return Apply.execute(base_model, text, None, style, subject, style_region=regions).result


def drawn(references: Any, latent: dict[str, Any], negative: bool = False) -> torch.Tensor:
    model, positive, other = references
    options = (3, 2, 4.0, 3.0 if negative else 1.0, "euler", "official", 1.0, 1.0)
    return Sampler.execute(model, positive, latent, *options, negative=other if negative else None).result[0]["samples"]


@pytest.mark.parametrize("negative", [False, True])
def test_a_frame_drawn_again_is_the_frame(references: Any, negative: bool) -> None:
    whole = {"samples": torch.zeros(COUNT, 16, 8, 8)}
    frames = drawn(references, whole, negative)
    assert (frames[0] - frames[1]).abs().mean() > 0.01
    for first, length in ((0, 1), (1, 1), (2, 1), (1, 2)):
        (part,) = comfy_nodes.LatentFromBatch().frombatch(whole, first, length)
        assert (drawn(references, part, negative) - frames[first : first + length]).abs().max() <= 1e-4
    (last,) = comfy_nodes.LatentFromBatch().frombatch(comfy_nodes.LatentFromBatch().frombatch(whole, 1, 2)[0], 1, 1)
    assert (drawn(references, last, negative) - frames[2:]).abs().max() <= 1e-4


def test_a_whole_batch_is_drawn_as_without_numbers(references: Any) -> None:
    whole = {"samples": torch.zeros(COUNT, 16, 8, 8)}
    numbered = {**whole, "batch_index": list(range(COUNT))}
    assert torch.equal(drawn(references, whole), drawn(references, numbered))


def test_rows_are_counted_as_comfyui_counts_them(prompt: Any) -> None:
    latents = torch.arange(2.0).reshape(2, 1, 1, 1)
    region = torch.arange(2.0).reshape(2, 1, 1)
    dials = ({"region": region},)
    entries = prompt(reference_latents=[latents, latents[:1]], uso_style_dials=dials, mask=region)

    def rows(*frames: int) -> list[list[float]]:
        ((text, values),) = of_frames(entries, frames)
        assert text is entries[0][0] and values["pooled_output"] is entries[0][1]["pooled_output"]
        assert values["reference_latents"][1] is entries[0][1]["reference_latents"][1]
        parts = (values["reference_latents"][0], values["uso_style_dials"][0]["region"], values["mask"])
        return [part.flatten().tolist() for part in parts]

    assert rows(1) == [[1], [1], [1]]
    assert rows(3) == [[1], [1], [1]], "rows repeat; the last region serves for all"
    assert rows(2, 0, 4) == [[0, 0, 0], [1, 0, 1], [0, 0, 0]]
    assert rows(7, 8) == [[0, 1], [0, 1], [0, 1]], "as many as pictures: they were cut out already"
    assert of_frames(entries, None) is entries
