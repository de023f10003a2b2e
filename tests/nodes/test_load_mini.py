"""USO-mini in ComfyUI: every part equals the reference code on the same files, and the whole way does too."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_uso.mini.model import PICTURE_SIZE, MiniModels, load_mini, missing_files
from comfyui_uso.nodes.apply import Apply
from comfyui_uso.nodes.content import EncodeContent
from comfyui_uso.nodes.graph.convert import pil_from_image
from comfyui_uso.nodes.load_mini import LoadMini
from comfyui_uso.nodes.sampler import Sampler
from comfyui_uso.nodes.style import EncodeStyle, ProjectStyle
from comfyui_uso.uso_model.config import FLUX_AE
from comfyui_uso.uso_model.sampling import Conditioning, euler, velocity
from comfyui_uso.uso_model.schedule import official_schedule
from comfyui_uso.uso_model.style import siglip_preprocess

import nodes as comfy_nodes

SIZE = PICTURE_SIZE

shipped = pytest.mark.skipif(bool(missing_files()), reason="USO-mini's weights are not in this checkout")


@pytest.fixture(scope="module")
def host() -> Any:
    return LoadMini.execute(1.0).result


@pytest.fixture(scope="module")
def reference() -> MiniModels:
    return load_mini()


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    pixels = torch.randint(0, 256, (1, SIZE, SIZE, 3), generator=torch.Generator().manual_seed(0))
    return pixels.float() / 255


@shipped
def test_text(host: Any, reference: MiniModels) -> None:
    prompt = "a red fox in ink"
    cond = comfy_nodes.CLIPTextEncode().encode(host[1], prompt)[0]
    txt, vec = reference.encoders.text(reference.encoders.tokenizer.batch([prompt]))
    assert len(cond) == 1 and set(cond[0][1]) == {"pooled_output"}
    assert torch.equal(cond[0][0], txt) and torch.equal(cond[0][1]["pooled_output"], vec)
    assert host[1].clone().tokenize(prompt)


@shipped
def test_style_tokens(host: Any, reference: MiniModels, image: torch.Tensor) -> None:
    features = EncodeStyle.execute(host[3], image, "squash").result[0]
    style = ProjectStyle.execute(features, host[4]).result[0]
    expected, _ = reference.encoders.vision(siglip_preprocess(pil_from_image(image[0]), SIZE))
    for got, wanted in zip(features, expected, strict=True):
        assert torch.allclose(got, wanted, atol=1e-4)
    assert torch.allclose(style.tokens, reference.projector(expected), atol=1e-4)


@shipped
def test_autoencoder(host: Any, reference: MiniModels, image: torch.Tensor) -> None:
    content, latent, _ = EncodeContent.execute(host[2], image, SIZE, SIZE).result
    encoded = reference.encoders.autoencoder.encode(image.movedim(-1, 1) * 2 - 1)
    assert torch.allclose(content.latents[0], encoded / FLUX_AE.scale_factor + FLUX_AE.shift_factor, atol=1e-4)
    assert latent["samples"].shape == (1, 16, SIZE // 8, SIZE // 8)
    decoded = comfy_nodes.VAEDecode().decode(host[2], {"samples": content.latents[0]})[0]
    assert torch.allclose(
        decoded, (reference.encoders.autoencoder.decode(encoded).movedim(1, -1) / 2 + 0.5).clamp(0, 1), atol=1e-4
    )


@shipped
@pytest.mark.parametrize("lora_strength", [0.0, 1.0])
def test_the_whole_way(lora_strength: float, host: Any, image: torch.Tensor) -> None:
    import comfy.sample

    model = LoadMini.execute(lora_strength).result[0] if lora_strength != 1 else host[0]
    transformer = load_mini(lora_strength=lora_strength).transformer
    positive = comfy_nodes.CLIPTextEncode().encode(host[1], "a red fox")[0]
    style = ProjectStyle.execute(EncodeStyle.execute(host[3], image, "squash").result[0], host[4]).result[0]
    content, latent, _ = EncodeContent.execute(host[2], image.flip(2), SIZE, SIZE).result
    patched, conditioned, _ = Apply.execute(model, positive, None, style, content).result
    ours = Sampler.execute(patched, conditioned, latent, 5, 4, 4.0, 1.0, "euler", "official", 1.15, 1.0).result[0]

    latent_format = model.get_model_object("latent_format")
    inputs = Conditioning(
        txt=positive[0][0],
        vec=positive[0][1]["pooled_output"],
        style=style.tokens,
        content=[latent_format.process_in(part) for part in content.latents],
        guidance=4.0,
    )
    noise = comfy.sample.prepare_noise(latent["samples"], 5)
    expected = euler(velocity(transformer, inputs), noise, official_schedule(4, SIZE, SIZE))
    assert torch.allclose(ours["samples"], latent_format.process_out(expected), atol=1e-4)


@shipped
def test_host_scales_latents_as_the_autoencoder_was_trained(host: Any) -> None:
    latent_format = host[0].get_model_object("latent_format")
    assert (latent_format.scale_factor, latent_format.shift_factor) == (FLUX_AE.scale_factor, FLUX_AE.shift_factor)


def test_missing_files_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comfyui_uso.nodes.graph.mini_models.missing_files", lambda: ["ae-mini.safetensors"])
    with pytest.raises(ValueError, match=r"\AGot a pack without ae-mini\.safetensors[^\n]*\.\Z"):
        LoadMini.execute(1.0)
