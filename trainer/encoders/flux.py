"""The encoders of FLUX.1 and USO: T5-XXL and CLIP-L for text, SigLIP for style, FLUX's autoencoder."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ...uso_model.checkpoints import load_autoencoder
from ...uso_model.images import picture_tensor
from ...uso_model.style import StyleFeatures, select_style_features, siglip_preprocess
from ..recipe import ModelsConfig
from .fingerprint import fingerprint
from .interface import Encoders, Gaussian
from .loaded import Loaded
from .pretrained import load_clip, load_siglip, load_t5
from .tokenizers import find_tokenizers, load_tokenizers

__all__ = ["flux_encoders"]

T5_TOKENS, CLIP_TOKENS = 512, 77
"""Lengths to which prompts are padded and cut (bytedance/USO, uso/flux/util.py)."""

TEXT_DTYPE = torch.bfloat16
"""The official code runs both text encoders in it; SigLIP and the autoencoder in float32."""


def flux_encoders(models: ModelsConfig, device: torch.device) -> Encoders:
    """Return the encoders that a recipe names, each read when it is first used.

    Raises:
        ValueError: a file is missing, or no tokenizer was found.
    """
    t5_file, clip_file = _named(models.t5, "t5"), _named(models.clip, "clip")
    siglip_file, vae_file = _named(models.siglip, "siglip"), _named(models.vae, "vae")
    names = {
        "latent": f"flux autoencoder {fingerprint(vae_file)}",
        "style": f"siglip squashed {fingerprint(siglip_file)}",
        "text": f"t5 {T5_TOKENS} {fingerprint(t5_file)}, clip {fingerprint(clip_file)}",
    }
    find_tokenizers(models)  # fails now, not after an hour of encoding pictures
    text_models = Loaded(
        lambda: (
            load_tokenizers(models),
            load_t5(t5_file, TEXT_DTYPE, device),
            load_clip(clip_file, TEXT_DTYPE, device),
        )
    )
    vision = Loaded(lambda: load_siglip(siglip_file, torch.float32, device))
    autoencoder = Loaded(lambda: load_autoencoder(vae_file, torch.float32, device).requires_grad_(False))

    @torch.no_grad()
    def latent(picture: Image.Image) -> Gaussian:
        model = autoencoder.get()
        mean, logvar = model.moments(picture_tensor(picture).to(device))
        # z -> factor * (z - shift) multiplies the variance by the factor's square.
        widened = logvar + 2 * torch.log(torch.tensor(model.config.scale_factor))
        return Gaussian(model.scale(mean)[0].cpu(), widened[0].cpu())

    @torch.no_grad()
    def style(picture: Image.Image) -> StyleFeatures:
        model = vision.get()
        pixels = siglip_preprocess(picture, model.config.image_size).to(device)
        states = model(pixel_values=pixels, output_hidden_states=True).hidden_states
        features = select_style_features(states, model.config.num_hidden_layers)
        return StyleFeatures(*(level[0].float().cpu() for level in features))

    @torch.no_grad()
    def text(prompt: str) -> tuple[Tensor, Tensor]:
        tokenizers, t5, clip = text_models.get()

        def ids(tokenizer, length: int) -> Tensor:
            padded = tokenizer(prompt, padding="max_length", truncation=True, max_length=length, return_tensors="pt")
            return padded.input_ids.to(device)

        # No attention mask, as in the official code: FLUX sees the padding too.
        txt = t5(input_ids=ids(tokenizers.t5, T5_TOKENS)).last_hidden_state
        vec = clip(input_ids=ids(tokenizers.clip, CLIP_TOKENS)).pooler_output
        return txt[0].float().cpu(), vec[0].float().cpu()

    def decode(latents: Tensor) -> Tensor:
        # Half precision shifts colours here, and the decoder is small beside the transformer.
        with torch.autocast(device.type, enabled=False):
            return autoencoder.get().decode(latents.float())

    def release() -> None:
        for model in (text_models, vision, autoencoder):
            model.release()

    return Encoders(latent, style, text, decode, look=None, names=names, release=release)


def _named(path: Path | None, name: str) -> Path:
    if path is None:
        raise ValueError(f"the recipe names no {name}: set models.{name} to its file or folder")
    return path
