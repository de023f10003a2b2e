"""What judges of a reward compare with: the references that were drawn, encoded once for each judge."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from comfyui_uso.trainer.data.cache import Cache
from comfyui_uso.trainer.encoders import PictureJudge
from comfyui_uso.trainer.engine.randomness import StepRandom
from comfyui_uso.uso_model.images import picture_tensor
from PIL import Image


def colour(pixels):
    return F.normalize(pixels.mean(dim=(2, 3)) + 1.5, dim=1)


@pytest.fixture
def several(tiny_encoders):
    """Return encoders with judges of style and of subjects."""
    dino = PictureJudge(colour, "content", "dino 1")
    return replace(tiny_encoders, judges={**tiny_encoders.judges, "dino": dino, "style_encoder": dino})


def of(path):
    with Image.open(path) as picture:
        return picture_tensor(picture)


def middle(paths):
    return F.normalize(torch.stack([colour(of(path))[0] for path in paths]).mean(dim=0), dim=0)


def test_each_judge_sees_its_references_of_the_row(opened, several):
    """`against` in the recipe wins; two contents, of which both are drawn, have one middle."""
    judges = {"csd": 1, "dino": 1, "style_encoder": {"against": "style"}}
    rows = opened().rows
    both = [rows[0].contents[0], rows[3].contents[0]]
    rows = [rows[0].model_copy(update={"content": both}), rows[1].model_copy(update={"style": []})]
    data = opened(rows, encoders=several, batch_size=2, contents=2, descriptor={"start": 0, "judges": judges})
    first, second = (data.sample(row, StepRandom(0, 0, 0, 1), 0) for row in data.rows)
    assert list(first.descriptors) == list(judges) and list(second.descriptors) == ["dino"]
    assert torch.allclose(first.descriptors["dino"], middle(both), atol=1e-6)
    assert torch.allclose(first.descriptors["style_encoder"], middle(rows[0].style), atol=1e-6)


def test_a_judge_of_subjects_has_nothing_to_compare_with_where_no_content_is_carried(opened, several, whole):
    data = opened(encoders=several, content=False, descriptor={"start": 0, "judges": {"csd": 1, "dino": 1}})
    assert all(list(sample.descriptors) == ["csd"] for sample in data.batch(whole()))


def test_the_cache_keeps_one_entry_for_each_picture_and_judge_and_those_of_older_versions(opened, several, tmp_path):
    """Until there were several judges, the name of an entry was that of the picture and of CSD's file."""
    data = opened(encoders=several, descriptor={"start": 0, "judges": {"csd": 1, "dino": 1}})
    data.prepare()
    cache = Cache(tmp_path / "cache")
    for row in data.rows:
        assert cache.entry(row.style[0], "descriptor, mean and spread").is_file()
        assert cache.entry(row.contents[0], "descriptor, dino 1").is_file()
    kept = data.entries()
    assert kept == set((tmp_path / "cache").glob("??/*.safetensors"))
