"""Masked loss: masks are fitted as targets are, weigh the loss, and change nothing where they are white."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from comfyui_uso.trainer.data.cache import Cache
from comfyui_uso.trainer.data.dataset import TripletDataset
from comfyui_uso.trainer.data.manifest import read_manifest
from comfyui_uso.trainer.data.masks import Masks
from comfyui_uso.trainer.engine.randomness import StepRandom
from comfyui_uso.trainer.networks import Networks
from comfyui_uso.trainer.objective.flow import draw
from comfyui_uso.trainer.objective.step import _mean, flow_matching_loss
from comfyui_uso.trainer.recipe import FlowConfig
from comfyui_uso.trainer.settings.data import DataConfig
from comfyui_uso.uso_model.errors import UserError
from PIL import Image


def painted(path, size=(64, 32), white=(0, 0, 32, 32), mode="L"):
    picture = Image.new("L", size, 0)
    picture.paste(255, white)
    if mode == "RGBA":
        clear = Image.new("RGBA", size, (9, 9, 9, 0))
        clear.putalpha(picture)
        picture = clear
    path.parent.mkdir(exist_ok=True)
    picture.save(path)


def settings(folder, masks, **changes):
    return DataConfig(manifests=[folder / "m.jsonl"], cache=folder / "cache", masks=masks, **changes)


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (64, 32)).save(path)
    return path


def test_a_mask_is_fitted_and_mirrored_like_its_target(target, tmp_path):
    painted(tmp_path / "masks/a.png", size=(128, 64), white=(0, 0, 44, 64))
    masks = Masks(settings(tmp_path, tmp_path / "masks", mask_outside=0.2), [target])
    found = masks.weight(target, 8, 4, mirrored=False)
    row = [1.0, 1.0, 0.8, 0.2, 0.2, 0.2, 0.2, 0.2]
    assert torch.allclose(found[:, [0, 1, 4, 5, 6, 7]], torch.tensor([row[n] for n in (0, 1, 4, 5, 6, 7)]), atol=0.02)
    assert torch.equal(masks.weight(target, 8, 4, mirrored=True), found.flip(1))
    cropped = masks.weight(target, 4, 4, mirrored=False)
    assert torch.allclose(cropped[:, 0], torch.full((4,), 0.8), atol=0.1), "the middle of the picture"


def test_alpha_of_the_target_is_its_mask(tmp_path):
    painted(tmp_path / "a.png", mode="RGBA")
    Image.new("RGB", (64, 32)).save(tmp_path / "b.png")
    masks = Masks(settings(tmp_path, "alpha"), [])
    assert masks.weight(tmp_path / "a.png", 8, 4, False).mean() == pytest.approx(0.5, abs=0.01)
    assert torch.equal(masks.weight(tmp_path / "b.png", 8, 4, False), torch.ones(4, 8))


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({}, "data.masks .* is no folder"),
        ({"other.png": {}}, "has no mask for any of 1 targets"),
        ({"a.png": {}, "a.jpg": {}}, r"has two masks a \(a.jpg, a.png\); keep one"),
        ({"a.png": {"size": (64, 64)}}, "has 64x64 pixels, but a.png has 64x32"),
    ],
)
def test_what_is_no_mask_is_one_sentence(masks, message, target, tmp_path):
    for name, changes in masks.items():
        painted(tmp_path / "masks" / name, **changes)
    with pytest.raises(UserError, match=message):
        Masks(settings(tmp_path, tmp_path / "masks"), [target])


@pytest.mark.parametrize("masks", ["folder", "alpha"])
def test_a_mask_that_is_gone_is_named_and_ends_no_run(masks, target, tmp_path, caplog):
    painted(tmp_path / "masks/a.png")
    if masks == "alpha":
        painted(target, mode="RGBA")
    found = Masks(settings(tmp_path, tmp_path / "masks" if masks == "folder" else "alpha"), [target])
    path = target if masks == "alpha" else tmp_path / "masks/a.png"
    whole = found.weight(target, 8, 4, mirrored=False)
    path.rename(tmp_path / "away")
    assert whole is not None and all(found.weight(target, 8, 4, mirrored=False) is None for _ in range(3))
    assert caplog.text.count(f"{path} is not there: its target counts whole") == 1
    (tmp_path / "away").rename(path)
    assert torch.equal(found.weight(target, 8, 4, mirrored=False), whole), "the drive is back"


def test_a_black_mask_is_said_and_ends_no_run(target, tmp_path, caplog):
    painted(tmp_path / "masks/a.png", white=(0, 0, 0, 0))
    weight = Masks(settings(tmp_path, tmp_path / "masks"), [target]).weight(target, 8, 4, False)
    assert "is black all over" in caplog.text and not _mean(torch.rand(1, 3, 4, 8), weight[None]).any()


def test_a_target_on_its_side_is_compared_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (64, 32)).save(tmp_path / "a.jpg", exif=exif)
    painted(tmp_path / "masks/a.png", size=(32, 64), white=(0, 0, 32, 32))
    weight = Masks(settings(tmp_path, tmp_path / "masks"), [tmp_path / "a.jpg"]).weight(tmp_path / "a.jpg", 4, 8, False)
    assert weight[:4].mean() > 0.95 and weight[4:].mean() < 0.05


def test_a_mask_of_two_targets_is_refused(target, tmp_path):
    painted(tmp_path / "masks/a.png")
    painted(tmp_path / "more/a.png")
    with pytest.raises(UserError, match="may be that of"):
        Masks(settings(tmp_path, tmp_path / "masks"), [target, tmp_path / "more/a.png"])


def test_the_loss_is_weighted_and_white_masks_change_no_bit(
    recipe, tiny_encoders, tiny_transformer, tiny_projector, tmp_path
):
    folder, networks = tmp_path / "masks", Networks(tiny_transformer, tiny_projector)
    for n in range(7):
        painted(folder / f"{n}t.png", size=(32, 32), white=(0, 0, 32, 32))

    def dataset(**data):
        config = recipe(data={"masks": folder, **data}, loop={"batch_size": 4})
        rows = read_manifest(config.data.sources[0].path)
        return TripletDataset(rows, tiny_encoders, Cache(config.data.cache), config)

    def losses(data, step):
        random = StepRandom(0, step, 0, 4)
        samples = data.batch(random)
        return flow_matching_loss(networks, samples, draw(FlowConfig(), samples, random)), samples

    plain, white = dataset(masks=None), dataset()
    targets = [row.target for row in white.rows]
    assert (
        Masks(settings(tmp_path, folder), targets).note() == "1 of 8 targets have no mask in data.masks and count whole"
    )
    assert Masks(settings(tmp_path, folder), targets[:7]).note() is None
    for step in range(2):
        (one, _), (other, samples) = losses(plain, step), losses(white, step)
        assert torch.equal(one["rows"], other["rows"]) and torch.equal(one["loss"], other["loss"])
        assert any(sample.weight is not None for sample in samples)
    before = white.fingerprint()
    assert before != plain.fingerprint()
    for n in range(7):
        painted(folder / f"{n}t.png", size=(32, 32), white=(0, 0, 16, 32))
    half, full = dataset(), dataset(mask_outside=1.0)
    assert half.fingerprint() != before
    assert torch.equal(losses(full, 0)[0]["rows"], losses(plain, 0)[0]["rows"])
    found, samples = losses(half, 0)
    assert not torch.equal(found["rows"], losses(plain, 0)[0]["rows"])
    weight = next(sample.weight for sample in samples if sample.weight is not None)
    assert weight.shape == (4, 4) and np.allclose(weight[:, 0], 1) and np.allclose(weight[:, 3], 0)


def test_the_weighted_mean_is_that_of_what_counts(tiny_transformer, tiny_projector):
    error, weight = torch.rand(2, 3, 4, 4), torch.zeros(2, 4, 4)
    weight[:, :2] = 1.0
    assert torch.allclose(_mean(error, weight), error[:, :, :2].flatten(1).mean(dim=1))
