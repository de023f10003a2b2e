"""Pictures from USO-mini without a host: references in, picture out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image

from ...uso_model.images import fit_content_image, picture_tensor, tensor_pictures
from ...uso_model.packing import PIXELS_PER_LATENT
from ...uso_model.sampling import Conditioning, euler, guided, velocity
from ...uso_model.schedule import official_schedule
from ...uso_model.style import StyleFeatures, siglip_preprocess
from .files import PICTURE_SIZE
from .networks import MiniModels

__all__ = ["CFG", "generate"]

CFG = 3.0
"""Classifier-free guidance of the demonstrations, the best of 1, 2 and 3 on pairs that training shows."""


@torch.no_grad()
def generate(
    models: MiniModels,
    prompts: Sequence[str],
    styles: Sequence[Sequence[Image.Image]] = (),
    contents: Sequence[Sequence[Image.Image]] = (),
    *,
    seed: int = 0,
    steps: int = 25,
    guidance: float = 4.0,
    cfg: float = CFG,
) -> list[Image.Image]:
    """Draw one picture for each prompt.

    Args:
        models: the miniature.
        prompts: one per picture; empty keeps the content reference's layout.
        styles: style references, each a list with one picture per prompt.
        contents: content references, in the same form.
        seed: of the noise.
        steps: Euler steps.
        guidance: distilled guidance. USO-mini was never distilled and ignores it.
        cfg: classifier-free guidance against an empty prompt without references; 1 switches it off. It stands in for
            the distilled guidance of FLUX.1.
    """
    encoders = models.encoders
    txt, vec = encoders.text(encoders.tokenizer.batch(prompts))
    style = []
    if models.projector is not None:
        style = [models.projector(_features(models, column)) for column in styles]
    conditioning = Conditioning(
        txt=txt,
        vec=vec,
        style=torch.cat(style, dim=1) if style else None,
        content=[
            encoders.autoencoder.encode(torch.cat([picture_tensor(fit_content_image(p, PICTURE_SIZE)) for p in column]))
            for column in contents
        ],
        guidance=guidance,
        isolated=models.isolated,
    )
    side = PICTURE_SIZE // PIXELS_PER_LATENT
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(prompts), encoders.autoencoder.channels, side, side, generator=generator)
    times = official_schedule(steps, PICTURE_SIZE, PICTURE_SIZE)
    follow = velocity(models.transformer, conditioning)
    if cfg != 1:
        txt, vec = encoders.text(encoders.tokenizer.batch([""] * len(prompts)))
        follow = guided(follow, velocity(models.transformer, Conditioning(txt=txt, vec=vec, guidance=guidance)), cfg)
    return tensor_pictures(encoders.autoencoder.decode(euler(follow, noise, times)))


def _features(models: MiniModels, pictures: Sequence[Image.Image]) -> StyleFeatures:
    vision = models.encoders.vision
    features, _ = vision(torch.cat([siglip_preprocess(picture, vision.picture_size) for picture in pictures]))
    return features
