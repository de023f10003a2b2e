"""USO-mini: its parts, its files and what it draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from comfyui_uso.mini.model import (
    MAX_TOKENS,
    MiniAutoencoder,
    MiniModels,
    MiniTextEncoder,
    MiniTokenizer,
    load_mini,
    weight_files,
)
from comfyui_uso.mini.model.generate import generate
from comfyui_uso.mini.world import VOCABULARY
from comfyui_uso.uso_model.checkpoints import load_transformer, read_lora
from comfyui_uso.uso_model.config import FLUX_AE
from PIL import Image


@pytest.fixture(scope="module")
def models() -> MiniModels:
    return load_mini()


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [
        Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((128, 128), Image.Resampling.BICUBIC)
        for _ in range(2)
    ]


def test_the_base_isolates_nothing_whatever_lora_is_left_out(monkeypatch):
    isolated = replace(read_lora(weight_files()["lora"]), isolated=True)
    monkeypatch.setattr("comfyui_uso.mini.model.networks.read_lora", lambda _: isolated)
    assert load_mini().isolated and not load_mini(lora_strength=0.0).isolated


def test_the_tokenizer_pads_cuts_and_knows_its_words():
    tokenizer = MiniTokenizer(["a", "blue", "cat"])
    assert tokenizer.words(tokenizer("A blue, CAT!"))[:4] == ["a", "blue", "cat", "</s>"]
    assert tokenizer.words(tokenizer("a zebra"))[1] == "<unk>"
    assert len(tokenizer("")) == len(tokenizer("cat " * 50)) == MAX_TOKENS


def test_the_bundled_tokenizer_has_the_words_of_the_world(models):
    """A changed word of a style would be no word to the text encoder, and every later token would be another one."""
    assert models.encoders.tokenizer.vocabulary == VOCABULARY


def test_padding_does_not_change_the_pooled_text_of_the_words():
    encoder = MiniTextEncoder(10, width=16, layers=1, heads=2)
    states, pooled = encoder(torch.tensor([[3, 4, 1, 0, 0]]))
    assert torch.allclose(pooled, states[:, :3].mean(dim=1), atol=1e-6)


def test_the_block_transform_is_exact_where_blocks_have_few_components():
    """Pictures made of 16 random block patterns come back unchanged, with latents of deviation 1."""
    torch.manual_seed(0)
    patterns = torch.randn(16, 3, 8, 8)
    patterns -= patterns.mean(dim=(2, 3), keepdim=True)
    weights = torch.randn(4, 16, 8, 8)
    weights -= weights.mean(dim=(0, 2, 3), keepdim=True)
    x = torch.einsum("bkhw,kcyx->bchywx", weights, patterns).reshape(4, 3, 64, 64)
    autoencoder = MiniAutoencoder()
    autoencoder.fit(x)
    with torch.no_grad():
        latent = autoencoder.encode(x)
        assert latent.std().item() == pytest.approx(1, abs=1e-3)
        assert torch.allclose(autoencoder.decode(latent), x, atol=1e-4)


def test_unscaled_latents_are_those_of_a_flux_vae(models, pictures):
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    autoencoder = models.encoders.autoencoder
    with torch.no_grad():
        z, latent = autoencoder.encode_unscaled(x), autoencoder.encode(x)
        assert torch.allclose((z - FLUX_AE.shift_factor) * FLUX_AE.scale_factor, latent, atol=1e-5)
        assert torch.allclose(autoencoder.decode_unscaled(z), autoencoder.decode(latent), atol=1e-4)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"USO-mini lacks flux-mini.safetensors.*uso mini train"):
        load_mini(tmp_path)


def test_the_bundle_is_small_and_complete():
    files = weight_files().values()
    assert all(path.is_file() for path in files)
    assert sum(path.stat().st_size for path in files) <= 40_000_000


def test_stock_loaders_recognise_the_transformer():
    """ComfyUI finds FLUX by heads of 128 and the guidance embedding."""
    config = load_transformer(weight_files()["flux"], torch.float32).config
    assert config.hidden_size // config.num_heads == 128 and config.guidance_embed and config.in_channels == 64


def test_the_lora_adapts_the_layers_that_uso_adapts():
    modules = read_lora(weight_files()["lora"]).modules
    assert {name.split(".", 2)[2] for name in modules} == {
        "img_attn.qkv",
        "img_attn.proj",
        "txt_attn.qkv",
        "txt_attn.proj",
        "linear1_qkv",
        "linear2",
    }


def test_pictures_repeat_and_follow_their_references(models, pictures):
    def draw(styles=(), contents=()):
        (picture,) = generate(models, [""], [[p] for p in styles], [[p] for p in contents], seed=1, steps=4)
        return np.asarray(picture).astype(int)

    plain, again = draw(), draw()
    assert plain.shape == (128, 128, 3) and np.array_equal(plain, again)
    style, content = draw(styles=pictures[:1]), draw(contents=pictures[:1])
    for other in (style, content, draw(pictures[:1], pictures[1:]), draw(styles=pictures), draw(contents=pictures)):
        assert np.abs(other - plain).mean() > 2
