"""Tokenizers are found where people have them, pad as the official code does, and are never downloaded."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from comfyui_uso.trainer.encoders.tokenizers import find_tokenizers, load_tokenizers
from comfyui_uso.trainer.recipe import ModelsConfig

COMFY_PLACES = ("comfy/text_encoders/t5_tokenizer", "comfy/sd1_tokenizer")


@pytest.fixture(autouse=True)
def bare(tmp_path, monkeypatch):
    """Nothing is found that a test has not written, and nothing can be fetched."""

    def refuse(*_args):
        raise AssertionError("a tokenizer reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def models(root: Path, **changes: Path) -> ModelsConfig:
    paths = {"vae": root / "ae", "t5": root / "t5.safetensors", "clip": root / "l.safetensors", "siglip": root / "s"}
    return ModelsConfig(**{**paths, **changes})


@pytest.mark.parametrize("places", [COMFY_PLACES, ("tokenizer_2", "tokenizer"), ("t5", "clip")])
def test_in_the_named_folder(places, tmp_path, write_tokenizers):
    expected = tmp_path / "here" / places[0], tmp_path / "here" / places[1]
    write_tokenizers(*expected)
    assert find_tokenizers(models(tmp_path / "there", tokenizers=tmp_path / "here")) == expected


def test_in_the_comfyui_above_the_model(tmp_path, write_tokenizers):
    expected = tmp_path / COMFY_PLACES[0], tmp_path / COMFY_PLACES[1]
    write_tokenizers(*expected)
    assert find_tokenizers(models(tmp_path / "models/text_encoders")) == expected


@pytest.mark.parametrize("where", ["COMFYUI_PATH", "home"])
def test_in_a_comfyui_elsewhere(where, tmp_path, write_tokenizers, monkeypatch):
    root = tmp_path / "home/comfy/ComfyUI" if where == "home" else tmp_path / "checkout"
    if where != "home":
        monkeypatch.setenv(where, str(root))
    expected = root / COMFY_PLACES[0], root / COMFY_PLACES[1]
    write_tokenizers(*expected)
    assert find_tokenizers(models(tmp_path / "a/b/c/d/e")) == expected


def test_in_the_folder_of_flux(tmp_path, write_tokenizers):
    root = tmp_path / "FLUX.1-dev"
    write_tokenizers(root / "tokenizer_2", root / "tokenizer")
    expected = root / "tokenizer_2", root / "tokenizer"
    assert find_tokenizers(models(root, t5=root, clip=root)) == expected
    assert find_tokenizers(models(root, t5=root / "text_encoder_2", clip=root / "text_encoder")) == expected


def test_in_the_folder_of_each_model(tmp_path, write_tokenizers):
    """openai/clip-vit-large-patch14 and google/t5-v1_1-xxl come with theirs."""
    write_tokenizers(tmp_path / "t5-xxl", tmp_path / "clip-large")
    config = models(tmp_path, t5=tmp_path / "t5-xxl", clip=tmp_path / "clip-large")
    assert find_tokenizers(config) == (tmp_path / "t5-xxl", tmp_path / "clip-large")


def test_one_that_is_not_found(tmp_path, write_tokenizers):
    with pytest.raises(
        ValueError, match=r"no tokenizer of T5 in .*encoders.*home/comfy/ComfyUI.*set models\.tokenizers"
    ):
        find_tokenizers(models(tmp_path / "encoders"))
    write_tokenizers(tmp_path / "named/tokenizer_2", tmp_path / "elsewhere")
    (tmp_path / "named/tokenizer").mkdir()
    with pytest.raises(ValueError, match=r"no tokenizer of CLIP in .*named; set"):
        find_tokenizers(models(tmp_path, tokenizers=tmp_path / "named"))


def test_padding_and_truncation(tmp_path, write_tokenizers):
    write_tokenizers(tmp_path / "t5", tmp_path / "clip")
    t5, clip = load_tokenizers(find_tokenizers(models(tmp_path, tokenizers=tmp_path)))

    def ids(tokenizer, prompt):
        return tokenizer(prompt, padding="max_length", truncation=True, max_length=6).input_ids

    assert ids(t5, "a cat") == [4, 5, 1, 0, 0, 0] and ids(t5, "") == [1, 0, 0, 0, 0, 0]
    assert ids(t5, "a cat " * 9) == [4, 5, 4, 5, 4, 1]
    assert ids(clip, "a cat") == [54, 26, 53, 55, 55, 55] and ids(clip, "") == [54] + [55] * 5
    assert ids(clip, "a cat " * 9) == [54, 26, 53, 26, 53, 55]
