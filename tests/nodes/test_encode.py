"""Pictures in: SigLIP features equal to ComfyUI's, content latents equal to the reference pipeline's."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
import torch
from comfyui_uso.nodes.content import EncodeContent
from comfyui_uso.nodes.graph.convert import image_from_pil, pil_from_image
from comfyui_uso.nodes.reference import SubjectReference
from comfyui_uso.nodes.style import EncodeStyle, ProjectStyle
from comfyui_uso.uso_model.autoencoder import Autoencoder
from comfyui_uso.uso_model.images import fit_content_image
from comfyui_uso.uso_model.style import siglip_pixels, siglip_preprocess, style_layers

import nodes as comfy_nodes

from .conftest import host_vae
from .encoders import AE, LAYERS, SIGLIP, vision_model


@pytest.fixture(scope="module")
def vision() -> Any:
    return vision_model(SIGLIP)


@pytest.fixture(scope="module")
def autoencoder() -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(AE).eval()


@pytest.fixture(scope="module")
def vae(autoencoder: Autoencoder) -> Any:
    return host_vae(asdict(AE), autoencoder.state_dict())


def picture(height: int, width: int, count: int = 1, seed: int = 0) -> torch.Tensor:
    pixels = torch.randint(0, 256, (count, height, width, 3), generator=torch.Generator().manual_seed(seed))
    return pixels.float() / 255


def test_a_square_of_siglips_size_is_seen_as_comfyui_sees_it(vision: Any) -> None:
    image = picture(28, 28)
    (core,) = comfy_nodes.CLIPVisionEncode().encode(vision, image, "none")
    ours = EncodeStyle.execute(vision, image, "squash").result[0]
    for got, layer in zip(ours, style_layers(LAYERS), strict=True):
        assert torch.equal(got, core.all_hidden_states[:, layer - 1])


@pytest.mark.parametrize("fit", ["squash", "center", "pad"])
@pytest.mark.parametrize("size", [(40, 70), (70, 40), (300, 201), (12, 9)])
def test_siglip_sees_what_the_trainer_shows_it(vision: Any, size: tuple[int, int], fit: str) -> None:
    image = picture(*size)
    seen = EncodeStyle.execute(vision, image, fit).result[1]
    pixels = siglip_pixels(pil_from_image(image[0]), SIGLIP["image_size"], fit)
    assert torch.equal(seen * 255, torch.from_numpy(pixels.copy())[None].float())
    if fit == "squash":
        assert torch.equal((seen.movedim(-1, 1) - 0.5) / 0.5, siglip_preprocess(pil_from_image(image[0]), 28))


def test_layers_are_uso_s_own_at_full_depth() -> None:
    """The core node reads all_hidden_states[-2], [-11], [-20] of 27 layers."""
    assert [layer - 1 for layer in style_layers(27)] == [27 - 2, 27 - 11, 27 - 20]


@pytest.mark.parametrize("fit", ["squash", "center", "pad"])
def test_batch_is_its_pictures(vision: Any, fit: str) -> None:
    image = picture(40, 30, 2)
    both = EncodeStyle.execute(vision, image, fit).result[0]
    singles = [EncodeStyle.execute(vision, image[i : i + 1], fit).result[0] for i in range(2)]
    assert both.high.shape == (2, 4, 48)
    assert all(torch.equal(level, torch.cat(parts)) for level, *parts in zip(both, *singles, strict=True))


def test_fits_differ(vision: Any) -> None:
    fits = [EncodeStyle.execute(vision, picture(40, 70), fit).result[0].high for fit in ("squash", "center", "pad")]
    assert len({float(level.sum()) for level in fits}) == 3


def test_only_three_layers_are_kept(vision: Any) -> None:
    features = EncodeStyle.execute(vision, picture(28, 28), "squash").result[0]
    assert all(level.untyped_storage().nbytes() == level.numel() * level.element_size() for level in features)


def test_mask_hides_the_rest(vision: Any) -> None:
    image = picture(40, 40)
    mask = torch.zeros(40, 40)
    mask[:20] = 1
    other = image.clone()
    other[:, 20:] = 0.9
    one, two = (EncodeStyle.execute(vision, pixels, "squash", mask).result[0].high for pixels in (image, other))
    assert torch.equal(one, two) and not torch.equal(one, EncodeStyle.execute(vision, image, "squash").result[0].high)
    grey = EncodeStyle.execute(vision, torch.full((1, 40, 40, 3), 0.5), "squash").result[0].high
    assert torch.equal(EncodeStyle.execute(vision, image, "squash", torch.zeros(1, 8, 8)).result[0].high, grey)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("fit", ["squash", "center", "pad"])
def test_pictures_of_other_precisions_are_read(vision: Any, vae: Any, dtype: torch.dtype, fit: str) -> None:
    image = picture(40, 70).to(dtype)
    mask = torch.ones(1, 40, 70, dtype=dtype)
    for given in ({}, {"mask": mask}):
        out = [EncodeStyle.execute(vision, pixels, fit, **given).result for pixels in (image, image.float())]
        assert torch.equal(out[0][0].high, out[1][0].high) and out[0][1].dtype == torch.float32
        contents = [EncodeContent.execute(vae, pixels, 64, 64, **given).result[0] for pixels in (image, image.float())]
        assert torch.equal(contents[0].latents[0], contents[1].latents[0])


def test_encoder_runs_once_per_picture(vision: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    forward = vision.model.forward
    monkeypatch.setattr(vision.model, "forward", lambda *a, **k: calls.append(1) or forward(*a, **k))
    EncodeStyle.execute(vision, picture(40, 30, 3), "squash")
    assert len(calls) == 3


def test_projector_runs_once_per_picture(features: Any, core_projector: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    forward = core_projector.model.forward
    monkeypatch.setattr(core_projector.model, "forward", lambda *a, **k: calls.append(1) or forward(*a, **k))
    ProjectStyle.execute(features(2, 9), core_projector)
    assert len(calls) == 2


def test_pil_round_trip_is_exact() -> None:
    image = torch.arange(256).float().reshape(1, 16, 16, 1).expand(-1, -1, -1, 3) / 255
    assert torch.equal(image_from_pil(pil_from_image(image[0])), image)


@pytest.mark.parametrize("size", [(100, 60), (60, 100), (64, 64)])
def test_content_is_the_reference_pipelines(vae: Any, autoencoder: Autoencoder, size: tuple[int, int]) -> None:
    image = picture(*size)
    content, _, _ = EncodeContent.execute(vae, image, 96, 1024).result
    pixels = image_from_pil(fit_content_image(pil_from_image(image[0]), 96)).movedim(-1, 1) * 2 - 1
    expected = autoencoder.encode(pixels) / AE.scale_factor + AE.shift_factor
    assert torch.allclose(content.latents[0], expected, atol=1e-4)


def test_decoding_is_the_reference_pipelines(vae: Any, autoencoder: Autoencoder) -> None:
    latent = torch.randn(1, 16, 4, 6)
    expected = autoencoder.decode((latent - AE.shift_factor) * AE.scale_factor).clamp(-1, 1)
    assert torch.allclose(vae.decode(latent).movedim(-1, 1) * 2 - 1, expected, atol=1e-4)


def test_one_latent_per_subject(vae: Any) -> None:
    content, _, _ = EncodeContent.execute(vae, picture(64, 48, 2), 64, 1024).result
    assert [tuple(latent.shape) for latent in content.latents] == [(1, 16, 8, 6)] * 2


@pytest.mark.parametrize(
    ("size", "long_side", "drawn", "nearest", "official"),
    [
        ((64, 48), 48, 1024, (128, 96), (128, 84)),
        ((48, 64), 48, 1024, (96, 128), (84, 128)),
        ((64, 64), 48, 1024, (128, 128), (128, 128)),
        ((500, 333), 48, 1024, (128, 86), (128, 42)),
        ((70, 100), 512, 1024, (90, 128), (88, 128)),
        ((216, 152), 64, 0, (28, 20), (26, 18)),
        ((208, 144), 64, 0, (26, 18), (26, 18)),
    ],
)
def test_the_empty_latent_has_a_size_by_a_rule(
    vae: Any, size: tuple[int, int], long_side: int, drawn: int, nearest: tuple[int, int], official: tuple[int, int]
) -> None:
    """A graph that lacks the input has the rule of its time; 0 is the picture's own size by both."""
    for given, latent in (({}, nearest), ({"size_rule": "nearest"}, nearest), ({"size_rule": "official"}, official)):
        empty = EncodeContent.execute(vae, picture(*size), long_side, drawn, **given).result[1]["samples"]
        assert tuple(empty.shape) == (1, 16, *latent) and not empty.any()
        assert all(side % 2 == 0 for side in empty.shape[2:])


def test_frames_have_one_latent_each_of_either_size(vae: Any) -> None:
    for rule in ("official", "nearest"):
        empty = EncodeContent.execute(vae, picture(70, 100, 3), 64, 128, batch="frames", size_rule=rule).result[1][
            "samples"
        ]
        assert len(empty) == 3


def test_the_simple_node_draws_at_the_official_size(vae: Any, prompt: Any) -> None:
    latent = SubjectReference.execute(prompt(), vae, picture(70, 100)).result[1]["samples"]
    assert tuple(latent.shape) == (1, 16, 88, 128)
