"""The losses of the miniature's autoencoder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from comfyui_uso.mini.model import PICTURE_SIZE, WEIGHTS, load_descriptor, load_vision
from comfyui_uso.mini.training.autoencoder import AutoencoderObjective
from comfyui_uso.mini.training.runs import AutoencoderRun, train_decoder
from comfyui_uso.trainer.settings.loop import LoopConfig
from torch import Tensor, nn


class _Blur(nn.Module):
    """Eight by eight means as latent, and what is left of the picture between it and them."""

    def __init__(self, kept: float):
        super().__init__()
        self.kept = nn.Parameter(torch.tensor(kept))

    def encode(self, x: Tensor) -> Tensor:
        self.detail = x - F.interpolate(F.avg_pool2d(x, 8), scale_factor=8.0)
        return F.avg_pool2d(x, 8)

    def decode(self, latent: Tensor) -> Tensor:
        return F.interpolate(latent, scale_factor=8.0) + self.kept * self.detail


@pytest.mark.parametrize(
    ("loss", "load", "side"), [("texture", load_descriptor, 32), ("tokens", load_vision, PICTURE_SIZE)]
)
def test_a_perfect_picture_costs_nothing_and_blur_does(loss: str, load: Callable[[], nn.Module], side: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand((4, 3, side, side), generator=generator) * 2 - 1
    onlooker = load()
    part, weight = {"texture": ("descriptor", "texture_weight"), "tokens": ("vision", "token_weight")}[loss]
    found = []
    for kept in (1.0, 0.6, 0.2):
        objective = AutoencoderObjective(_Blur(kept), 0.0, **{part: onlooker, weight: 2.0})
        losses = objective(x, generator)
        losses["loss"].backward()
        parts = losses["pixel"] + losses["edge"] + losses["size"] + 2.0 * losses[loss]
        torch.testing.assert_close(losses["loss"], parts)
        assert all(p.grad is None for p in onlooker.parameters()), "it is looked through, not trained"
        found.append(losses[loss].item())
    assert found[0] < 1e-6 < found[1] < found[2]


def test_without_onlookers_there_are_no_such_losses() -> None:
    losses = AutoencoderObjective(_Blur(0.5), 0.0)(torch.rand(2, 3, 32, 32), torch.Generator())
    assert not {"texture", "tokens"} & set(losses)
    assert AutoencoderRun.model_fields["texture_weight"].default == 0
    assert AutoencoderRun.model_fields["token_weight"].default == 0


def test_tokens_of_crops_are_refused(tmp_path: Path) -> None:
    folder = shutil.copytree(WEIGHTS, tmp_path / "weights")
    loop = LoopConfig(run_dir=tmp_path / "run", steps=1, batch_size=1, learning_rate=1e-3)
    config = AutoencoderRun(data=[tmp_path], out=folder, crop=64, token_weight=0.4, loop=loop)
    with pytest.raises(ValueError, match=r"crop: 64 pixels, .* reads pictures of 128; set crop to 128"):
        train_decoder(config)
