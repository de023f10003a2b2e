"""Frozen encoders: pictures to latents and back, pictures to style features, prompts to tokens."""

from .interface import Encoders, Gaussian, PictureJudge

__all__ = ["Encoders", "Gaussian", "PictureJudge"]
