"""The miniature's encoders behind the trainer's interface."""

from __future__ import annotations

import pytest
import torch
from comfyui_uso.mini.encoders import mini_encoders
from comfyui_uso.mini.family import USO_MINI
from comfyui_uso.mini.model import load_encoders
from comfyui_uso.uso_model.images import picture_tensor
from PIL import Image


@pytest.fixture(scope="module")
def encoders():
    return mini_encoders()


@pytest.fixture(scope="module")
def drawing() -> Image.Image:
    """Return a picture of two colours."""
    drawing = Image.new("RGB", (128, 96), (200, 60, 40))
    drawing.paste((30, 90, 160), (32, 16, 96, 64))
    return drawing


def test_a_latent_is_certain_and_decodes_to_its_picture(encoders, drawing):
    latent = encoders.latent(drawing)
    assert latent.logvar is None and latent.mean.shape[1:] == (12, 16)
    assert torch.equal(latent.sample(torch.Generator()), latent.mean)
    again = encoders.decode(latent.mean[None])
    assert again.shape == (1, 3, 96, 128)
    colours = again[0, :, 40, 64], again[0, :, 80, 10]
    expected = torch.tensor([[30, 90, 160], [200, 60, 40]]) / 127.5 - 1
    assert (torch.stack(colours) - expected).abs().max() < 0.15


def test_the_decoder_passes_a_gradient_to_the_latent_alone(encoders, drawing):
    latent = encoders.latent(drawing).mean[None].requires_grad_()
    encoders.decode(latent).mean().backward()
    assert latent.grad is not None and latent.grad.abs().sum() > 0


def test_style_and_text_have_the_sizes_of_the_miniature(encoders, drawing):
    networks = load_encoders()
    with torch.no_grad():
        txt, vec = networks.text(networks.tokenizer.batch(["a red cat"]))
    got = encoders.text("a red cat")
    assert torch.equal(got[0], txt[0]) and torch.equal(got[1], vec[0])
    style = encoders.style(drawing)
    assert style.high.shape == style.mid.shape == style.low.shape and style.high.ndim == 2
    assert not torch.equal(style.high, style.low)


def test_the_descriptor_is_a_unit_vector_with_a_gradient_to_the_pixels(encoders, drawing):
    pixels = picture_tensor(drawing).repeat(2, 1, 1, 1).requires_grad_()
    descriptors = encoders.judges["csd"].embed(pixels)
    assert descriptors.shape == (2, 128) and torch.allclose(descriptors.norm(dim=1), torch.ones(2), atol=1e-5)
    (descriptors[0] * torch.randn(128)).sum().backward()
    assert pixels.grad[0].abs().sum() > 0 and pixels.grad[1].abs().sum() == 0


def test_names_tell_the_files_apart_and_release_is_harmless(encoders, drawing):
    names = {**encoders.names, **{name: judge.name for name, judge in encoders.judges.items()}}
    assert set(names) == {"latent", "style", "text", "csd"} and len(set(names.values())) == 4
    assert USO_MINI.judges == {name: judge.against for name, judge in encoders.judges.items()}
    before = encoders.latent(drawing).mean
    encoders.release()
    assert torch.equal(encoders.latent(drawing).mean, before)
