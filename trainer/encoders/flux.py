"""The encoders of FLUX.1 and USO: T5-XXL and CLIP-L for text, SigLIP for style, FLUX's autoencoder."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
from PIL import Image
from torch import Tensor
from transformers import CLIPTextModel, T5EncoderModel

from ...uso_model.checkpoints import load_autoencoder
from ...uso_model.checkpoints.diffusers import part_of
from ...uso_model.images import picture_tensor
from ...uso_model.style import StyleFeatures, select_style_features, siglip_preprocess
from ..memory.checkpointing import checkpoint_decoder
from ..memory.encoder_sizes import text_dtype
from ..recipe import ModelsConfig
from .fingerprint import fingerprint
from .interface import Encoders, Gaussian
from .lazy import Lazy
from .pretrained import load_clip, load_siglip, load_t5
from .text_device import text_device
from .tokenizers import Tokenizers, find_tokenizers, load_tokenizers

__all__ = ["flux_encoders"]

T5_TOKENS, CLIP_TOKENS = 512, 77
"""Lengths to which prompts are padded and cut (bytedance/USO, uso/flux/util.py)."""

Model = TypeVar("Model")


def flux_encoders(models: ModelsConfig, device: torch.device) -> Encoders:
    """Return the encoders that a recipe names, each read when it is first used.

    Raises:
        ValueError: a file is missing, or no tokenizer was found.
    """
    t5_path, clip_path = _place(models.t5, "text_encoder_2"), _place(models.clip, "text_encoder")
    siglip_path, vae_path = _place(models.siglip, "image_encoder"), _place(models.vae, "vae")
    folders = find_tokenizers(models)  # fails now, not after an hour of encoding pictures
    text_parts = {
        f"t5 {T5_TOKENS}": t5_path,
        "clip": clip_path,
        "t5 tokenizer": folders.t5,
        "clip tokenizer": folders.clip,
    }
    names = {
        "latent": f"flux autoencoder {fingerprint(vae_path)}",
        "style": f"siglip squashed {fingerprint(siglip_path)}",
        "text": ", ".join(f"{name} {fingerprint(path)}" for name, path in text_parts.items()),
    }

    def read_text_models() -> tuple[Tokenizers, T5EncoderModel, CLIPTextModel]:
        tokenizers, place = load_tokenizers(folders), text_device(models, device)
        dtype = text_dtype(place)
        return tokenizers, load_t5(t5_path, dtype, place), load_clip(clip_path, dtype, place)

    text_models = Lazy(read_text_models, f"{t5_path.name} and {clip_path.name}")
    vision = Lazy(lambda: load_siglip(siglip_path, torch.float32, device), siglip_path.name)
    autoencoder = Lazy(
        lambda: checkpoint_decoder(load_autoencoder(vae_path, torch.float32, device).requires_grad_(False)),
        vae_path.name,
    )

    def opened(model: Lazy[Model]) -> Model:
        # Up to 10 GB of text encoders leave no room for another one on a small GPU. The others stay together: the style
        # reward decodes in every step, and style features may be encoded in every step too.
        for other in (vision, autoencoder) if model is text_models else (text_models,):
            other.release()
        return model.get()

    @torch.no_grad()
    def latent(picture: Image.Image) -> Gaussian:
        model = opened(autoencoder)
        mean, logvar = model.moments(picture_tensor(picture).to(device))
        # z -> factor * (z - shift) multiplies the variance by the factor's square.
        widened = logvar + 2 * torch.log(torch.tensor(model.config.scale_factor))
        return Gaussian(model.scale(mean)[0].cpu(), widened[0].cpu())

    @torch.no_grad()
    def style(picture: Image.Image) -> StyleFeatures:
        model = opened(vision)
        side: int = model.config.image_size  # type: ignore[assignment]
        pixels = siglip_preprocess(picture, side).to(device)
        states = model(pixel_values=pixels, output_hidden_states=True).hidden_states
        features = select_style_features(states, model.config.num_hidden_layers)
        return StyleFeatures(*(level[0].float().cpu() for level in features))

    @torch.no_grad()
    def text(prompt: str) -> tuple[Tensor, Tensor]:
        tokenizers, t5, clip = opened(text_models)

        def ids(tokenizer, length: int) -> Tensor:
            padded = tokenizer(prompt, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
            return padded.input_ids.to(t5.device)

        # No attention mask, as in the official code: FLUX sees the padding too.
        txt = t5(input_ids=ids(tokenizers.t5, T5_TOKENS)).last_hidden_state
        vec = clip(input_ids=ids(tokenizers.clip, CLIP_TOKENS)).pooler_output
        return txt[0].float().cpu(), vec[0].float().cpu()

    def decode(latents: Tensor) -> Tensor:
        # Half precision shifts colours here, and the decoder is small beside the transformer.
        with torch.autocast(device.type, enabled=False):
            return opened(autoencoder).decode(latents.float())

    def release() -> None:
        for model in (text_models, vision, autoencoder):
            model.release()

    return Encoders(latent, style, text, decode, judges={}, names=names, release=release)


def _place(path: Path | None, part: str) -> Path:
    """Return the path of a model, within FLUX.1-dev's folder that of its part."""
    assert path is not None  # `ModelsConfig` asks for it
    return part_of(path, part)
