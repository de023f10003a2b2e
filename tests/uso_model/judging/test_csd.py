"""CSD: the right activation, the right pixels, a gradient, and a conversion that runs no code of the checkpoint."""

from __future__ import annotations

import argparse
import hashlib
import os

import numpy as np
import pytest
import torch
from comfyui_uso.uso_model.checkpoints import CheckpointError, read_metadata, read_safetensors, write_safetensors
from comfyui_uso.uso_model.images import picture_tensor
from comfyui_uso.uso_model.judging import csd
from PIL import Image
from torch import nn

open_clip = pytest.importorskip("open_clip")


class TinyTower(nn.Module):
    """Stand in for ViT-L/14, whose 300 million weights would only cost time here."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 14, stride=14)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.conv1(x)).mean(dim=(2, 3))


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Write a CSD-like training checkpoint around a tiny tower and return its path and weights."""

    def tower(architecture=csd.ARCHITECTURE):
        with torch.device("meta"):
            return TinyTower()

    monkeypatch.setattr(csd, "quickgelu_tower", tower)
    torch.manual_seed(0)
    weights = {f"module.backbone.{name}": p.detach() for name, p in TinyTower().named_parameters()}
    weights |= {"module.last_layer_style": torch.randn(16, 8), "module.last_layer_content": torch.randn(16, 8)}
    extra = {"opt_bb": {"lr": np.float64(0.1)}, "iter": 7, "args": argparse.Namespace(name="csd"), "fp16_scaler": None}
    path = tmp_path / "pytorch_model.bin"
    torch.save({"model_state_dict": weights, **extra}, path)
    return path, weights


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_tower_has_clips_own_activation():
    """open_clip's plain ViT-L-14 takes the same weights and computes something else, without a word."""
    quick, plain = (csd.quickgelu_tower(name) for name in (csd.ARCHITECTURE, "ViT-L-14"))
    assert {n: p.shape for n, p in quick.named_parameters()} == {n: p.shape for n, p in plain.named_parameters()}

    def activation(tower):
        return tower.transformer.resblocks[0].mlp.gelu

    x = torch.linspace(-4, 4, 99)
    assert torch.allclose(activation(quick)(x), x * torch.sigmoid(1.702 * x), atol=1e-6)
    assert (activation(quick)(x) - activation(plain)(x)).abs().max() > 0.01
    assert quick.proj is None and len(list(quick.parameters())) == 295


@pytest.mark.long
def test_the_whole_descriptor_from_a_file(tmp_path):
    """ViT-L/14 with random weights: what is written loads strictly and gives unit descriptors."""
    tower = csd.quickgelu_tower().to_empty(device="cpu")
    torch.manual_seed(1)
    tensors = {f"backbone.{name}": 0.02 * torch.randn(t.shape) for name, t in tower.state_dict().items()}
    write_safetensors(tmp_path / "csd.safetensors", {**tensors, "last_layer_style": torch.randn(1024, 768)})
    x = (torch.rand(1, 3, 256, 224) * 2 - 1).requires_grad_()
    seen = csd.load_csd(tmp_path / "csd.safetensors")(x)
    assert seen.shape == (1, 768) and abs(seen.norm().item() - 1) < 1e-4
    seen[0, 0].backward()
    assert torch.isfinite(x.grad).all() and x.grad.abs().sum() > 0


def test_pixels_are_those_of_the_published_preprocessing():
    """Within 1e-3 in cosine of PIL's bicubic resize, on wide, tall and square pictures full of detail."""
    rng = np.random.default_rng(0)
    for width, height in ((400, 300), (300, 517), (224, 224), (1000, 240)):
        # Away from black and white: PIL resizes in two passes and cuts off what overshoots between them.
        picture = Image.fromarray(rng.integers(64, 192, (height, width, 3), dtype=np.uint8))
        short = min(width, height)
        size = tuple(224 if side == short else int(224 * side / short) for side in (width, height))
        resized = np.asarray(picture.resize(size, Image.Resampling.BICUBIC), dtype=np.float32) / 255
        left, top = (round((side - 224) / 2) for side in size)
        cropped = torch.from_numpy(resized[top : top + 224, left : left + 224]).movedim(-1, 0)
        mean, deviation = (torch.tensor(v)[:, None, None] for v in (csd.CLIP_MEAN, csd.CLIP_DEVIATION))
        expected = (cropped - mean) / deviation
        got = csd.PREPROCESSING.of_pixels(picture_tensor(picture))[0]
        assert got.shape == (3, 224, 224)
        assert torch.cosine_similarity(got.flatten(), expected.flatten(), dim=0) > 1 - 1e-3
        assert (got - expected).abs().max() < 0.05


def test_conversion_and_descriptor(tiny, tmp_path):
    path, weights = tiny
    out = tmp_path / "csd.safetensors"
    csd.convert_csd(path, out, sha256(path))
    kept = read_safetensors(out)
    assert kept.keys() == {"backbone.conv1.weight", "backbone.conv1.bias", "last_layer_style"}
    assert read_metadata(out)["source_sha256"] == sha256(path)
    look = csd.load_csd(out)
    x = (torch.rand(2, 3, 300, 260) * 2 - 1).requires_grad_()
    seen = look(x)
    assert torch.allclose(seen.norm(dim=1), torch.ones(2), atol=1e-5)
    tower = TinyTower()
    tower.load_state_dict({name.removeprefix("module.backbone."): t for name, t in list(weights.items())[:2]})
    expected = tower(csd.PREPROCESSING.of_pixels(x)) @ weights["module.last_layer_style"]
    assert torch.allclose(seen, expected / expected.norm(dim=1, keepdim=True), atol=1e-5)
    seen[:, 0].sum().backward()
    assert torch.isfinite(x.grad).all() and x.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in look.parameters())


def test_a_checkpoint_without_its_backbone_is_not_converted(tiny, tmp_path):
    """Not first when the reward loads it, hours later."""
    path, weights = tiny
    for change, problem in (
        ({"module.backbone.conv1.bias": None}, r"1 missing key \(backbone.conv1.bias\)"),
        ({"module.backbone.extra": torch.ones(1)}, r"1 unknown key \(backbone.extra\)"),
        ({"module.last_layer_style": torch.ones(16)}, r"of shape \(16,\), expected 2 sides"),
    ):
        changed = {name: tensor for name, tensor in {**weights, **change}.items() if tensor is not None}
        torch.save({"model_state_dict": changed}, path)
        with pytest.raises(CheckpointError, match=problem):
            csd.convert_csd(path, tmp_path / "out.safetensors", sha256(path))
    assert not (tmp_path / "out.safetensors").exists()


def test_another_file_is_refused_by_its_hash(tiny, tmp_path):
    path, _ = tiny
    with pytest.raises(CheckpointError, match=f"has the SHA-256 {sha256(path)}, expected 40e92fad"):
        csd.convert_csd(path, tmp_path / "out.safetensors")
    with pytest.raises(CheckpointError, match="is not there; download"):
        csd.convert_csd(tmp_path / "absent.bin", tmp_path / "out.safetensors")


class Malicious:
    """Make a file when unpickled."""

    def __reduce__(self):
        return os.mkdir, ("touched",)


def test_code_in_a_checkpoint_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "pytorch_model.bin"
    torch.save({"model_state_dict": {"module.last_layer_style": torch.ones(1)}, "args": Malicious()}, path)
    with pytest.raises(CheckpointError, match=r"holds more than weights \(\w+\.mkdir\) and was not read; use [^\n]*$"):
        csd.convert_csd(path, tmp_path / "out.safetensors", sha256(path))
    assert not (tmp_path / "touched").exists() and not (tmp_path / "out.safetensors").exists()


def test_checkpoints_with_other_contents_are_refused(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    torch.save({"model_state_dict": {"module.head": torch.ones(1)}}, path)
    with pytest.raises(CheckpointError, match=r"holds 1 unknown tensors \(head\) and no last_layer_style"):
        csd.convert_csd(path, tmp_path / "out.safetensors", sha256(path))
    for contents in ({"weights": {}}, torch.ones(2), {"model_state_dict": [1]}, {"model_state_dict": {"a": "b"}}):
        torch.save(contents, path)
        with pytest.raises(CheckpointError, match="has no named tensors under model_state_dict"):
            csd.convert_csd(path, tmp_path / "out.safetensors", sha256(path))
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint of PyTorch"):
        csd.convert_csd(path, tmp_path / "out.safetensors", sha256(path))
    write_safetensors(tmp_path / "other.safetensors", {"a": torch.ones(1)})
    with pytest.raises(CheckpointError, match="is no CSD descriptor"):
        csd.load_csd(tmp_path / "other.safetensors")
