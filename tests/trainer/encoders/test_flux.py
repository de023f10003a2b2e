"""FLUX's encoders give what the official formulas give, and are in memory only when they are needed."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import numpy as np
import pytest
import torch
from comfyui_uso.trainer.encoders import Encoders, flux
from comfyui_uso.trainer.recipe import ModelsConfig
from comfyui_uso.uso_model.autoencoder import Autoencoder
from comfyui_uso.uso_model.checkpoints import save_autoencoder, write_safetensors
from comfyui_uso.uso_model.config import AutoencoderConfig
from comfyui_uso.uso_model.images import picture_tensor
from PIL import Image

AE = AutoencoderConfig(
    in_channels=3, ch=32, out_ch=3, ch_mult=(1, 1, 1, 1), num_res_blocks=1, z_channels=16, scale_factor=0.3611,
    shift_factor=0.1159,
)  # fmt: skip


@pytest.fixture
def autoencoder() -> Autoencoder:
    """Return a small autoencoder whose latents are uncertain."""
    torch.manual_seed(3)
    model = Autoencoder(AE).eval().requires_grad_(False)
    model.encoder.conv_out.weight *= 20
    return model


@pytest.fixture
def models(tmp_path, tiny_t5, tiny_clip, tiny_siglip, autoencoder, comfy_weights, write_tokenizers) -> ModelsConfig:
    """Write everything as ComfyUI's single files."""
    for name, model in {"t5": tiny_t5, "clip": tiny_clip, "siglip": tiny_siglip}.items():
        write_safetensors(tmp_path / f"{name}.safetensors", comfy_weights(model))
    save_autoencoder(tmp_path / "vae.safetensors", autoencoder)
    write_tokenizers(tmp_path / "tokenizer_2", tmp_path / "tokenizer")
    parts = {name: tmp_path / f"{name}.safetensors" for name in ("t5", "clip", "siglip", "vae")}
    return ModelsConfig(**parts, tokenizers=tmp_path)


def flux_encoders(models: ModelsConfig) -> Encoders:
    return flux.flux_encoders(models, torch.device("cpu"))


@pytest.fixture
def in_memory(monkeypatch) -> Callable[[], set[str]]:
    """Return a function that names the networks that still exist."""
    read: dict[str, weakref.ref] = {}

    def watched(name: str, load: Callable) -> Callable:
        def loaded(*args):
            model = load(*args)
            read[name] = weakref.ref(model)
            return model

        return loaded

    for name in ("t5", "clip", "siglip", "autoencoder"):
        monkeypatch.setattr(flux, f"load_{name}", watched(name, getattr(flux, f"load_{name}")))

    def existing() -> set[str]:
        gc.collect()
        return {name for name, model in read.items() if model() is not None}

    return existing


def test_a_latent_has_the_mean_and_spread_of_the_scaled_posterior(models, autoencoder, picture):
    latent = flux_encoders(models).latent(picture)
    mean, logvar = autoencoder.moments(picture_tensor(picture))
    assert latent.mean.shape == (16, 4, 6) and logvar.std() > 0.1
    drawn = latent.sample(torch.Generator().manual_seed(7))
    noise = torch.randn(mean[0].shape, generator=torch.Generator().manual_seed(7))
    expected = 0.3611 * (mean + torch.exp(0.5 * logvar) * noise - 0.1159)
    assert torch.allclose(latent.mean, 0.3611 * (mean[0] - 0.1159), atol=1e-6)
    assert torch.allclose(drawn, expected[0], atol=1e-5)


def test_the_decoder_is_float32_under_autocast_and_passes_a_gradient(models, autoencoder):
    z = torch.randn(1, 16, 4, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        pixels = flux_encoders(models).decode(z)
    assert pixels.dtype == torch.float32 and torch.allclose(pixels, autoencoder.decode(z), atol=1e-5)
    pixels.mean().backward()
    assert z.grad is not None and z.grad.abs().sum() > 0


def test_style_features_are_three_layers_of_the_squashed_picture(models, tiny_siglip, picture):
    got = flux_encoders(models).style(picture)
    squashed = np.asarray(picture.resize((32, 32), Image.Resampling.BICUBIC), dtype=np.float32) / 255
    pixels = (torch.from_numpy(squashed).permute(2, 0, 1)[None] - 0.5) / 0.5
    with torch.no_grad():
        states = tiny_siglip(pixel_values=pixels, output_hidden_states=True).hidden_states
    for level, layer in zip(got, (5, 4, 2), strict=True):
        assert level.shape == (16, 128) and torch.allclose(level, states[layer][0], atol=1e-5)


def test_text_is_padded_and_not_masked(models, tiny_t5, tiny_clip, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")  # products in bfloat16
    txt, vec = flux_encoders(models).text("a cat")
    t5_ids, clip_ids = torch.zeros(1, 512, dtype=torch.long), torch.full((1, 77), 55)
    t5_ids[0, :3], clip_ids[0, :3] = torch.tensor([4, 5, 1]), torch.tensor([54, 26, 53])
    with torch.no_grad():
        expected = tiny_t5.bfloat16()(input_ids=t5_ids).last_hidden_state[0].float()
        masked = tiny_t5(input_ids=t5_ids, attention_mask=(t5_ids > 0).long()).last_hidden_state[0].float()
        pooled = tiny_clip.bfloat16()(input_ids=clip_ids).pooler_output[0].float()
    assert txt.shape == (512, 32) and torch.equal(txt, expected) and torch.equal(vec, pooled)
    assert (txt - masked).abs().max() > 0.1, "this prompt cannot tell padding from a mask"


def test_a_cpu_without_products_in_half_precision_encodes_text_in_float32(models, tiny_t5, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    txt, _ = flux_encoders(models).text("a cat")
    ids = torch.zeros(1, 512, dtype=torch.long)
    ids[0, :3] = torch.tensor([4, 5, 1])
    with torch.no_grad():
        assert torch.equal(txt, tiny_t5(input_ids=ids).last_hidden_state[0])


def test_long_prompts_are_cut(models):
    encode = flux_encoders(models).text
    txt, vec = encode("a cat " * 600)
    again = encode("a cat " * 700)
    assert txt.shape[0] == 512 and torch.equal(txt, again[0]) and torch.equal(vec, again[1])


def test_each_is_read_when_needed_and_text_never_lies_beside_pictures(models, in_memory, picture):
    encoders = flux_encoders(models)
    assert in_memory() == set()
    encoders.text("a")
    assert in_memory() == {"t5", "clip"}
    encoders.style(picture)
    assert in_memory() == {"siglip"}
    latent = encoders.latent(picture)
    assert in_memory() == {"siglip", "autoencoder"}
    encoders.text("a")
    assert in_memory() == {"t5", "clip"}
    encoders.decode(latent.mean[None])
    assert in_memory() == {"autoencoder"}
    encoders.release()
    assert in_memory() == set()
    assert torch.equal(encoders.latent(picture).mean, latent.mean)


def test_the_folder_of_flux(models, tmp_path, tiny_t5, tiny_clip, tiny_siglip, picture, write_tokenizers):
    """FLUX.1-dev's folder may be named itself; each part is found in it."""
    root = tmp_path / "FLUX.1-dev"
    tiny_t5.save_pretrained(root / "text_encoder_2", max_shard_size="20KB")
    tiny_clip.save_pretrained(root / "text_encoder")
    tiny_siglip.save_pretrained(tmp_path / "siglip")
    write_tokenizers(root / "tokenizer_2", root / "tokenizer")
    (root / "transformer").mkdir()
    whole = models.model_copy(update={"t5": root, "clip": root, "siglip": tmp_path / "siglip", "tokenizers": None})
    parts = models.model_copy(update={"t5": root / "text_encoder_2", "clip": root / "text_encoder"})
    from_files, from_folder = flux_encoders(models), flux_encoders(whole)
    for a, b in zip(from_files.text("a cat"), from_folder.text("a cat"), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(from_files.style(picture).mid, from_folder.style(picture).mid)
    assert from_folder.names["text"] == flux_encoders(parts).names["text"]


@pytest.mark.parametrize(
    ("file", "changed"),
    [("t5", "text"), ("clip", "text"), ("vae", "latent"), ("siglip", "style"), ("tokenizer/merges.txt", "text")],
)
def test_names_follow_the_weights_and_the_tokenizers(models, file, changed, tmp_path):
    before = flux_encoders(models).names
    path = tmp_path / (file if "/" in file else f"{file}.safetensors")
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    after = flux_encoders(models).names
    assert {name for name in before if before[name] != after[name]} == {changed}


@pytest.mark.parametrize("absent", ["t5", "clip", "siglip", "vae", "tokenizers"])
def test_what_is_absent_is_said_before_any_work(models, absent, tmp_path):
    gone = models.model_copy(update={absent: tmp_path / "gone"})
    with pytest.raises(ValueError, match="gone"):
        flux_encoders(gone)
