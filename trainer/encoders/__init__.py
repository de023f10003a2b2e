"""Frozen encoders: pictures to latents and back, pictures to style features and descriptors, prompts to tokens."""

from .interface import Encoders, Gaussian

__all__ = ["Encoders", "Gaussian"]
