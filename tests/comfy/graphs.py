"""Pieces of graphs over the tiny models; every piece is a node of ComfyUI, of the pack or of the tools."""

from __future__ import annotations

from typing import Any

from .server import Graph, Node
from .weights import POOLED, TEXT, TINY

__all__ = ["PIXELS", "Tiny"]

PIXELS = 128
_VISION = {"size": 64, "patch": 16, "width": 64, "layers": 27, "heads": 4}
_TOKENS_IN, _TOKENS_OUT = 16, 8

Ref = list[Any]


class Tiny(Graph):
    """A graph over the tiny FLUX with made-up text, pictures, vision model, projector and autoencoder."""

    def model(self) -> Ref:
        return self.add("UNETLoader", unet_name="tiny-flux.safetensors", weight_dtype="default")[0]

    def lora(self, model: Ref, name: str = "tiny-style-lora.safetensors", strength: float = 1.0) -> Ref:
        return self.add("LoraLoaderModelOnly", model=model, lora_name=name, strength_model=strength)[0]

    def prompt(self, seed: int = 1, tokens: int = 16, nonce: int = 0) -> Ref:
        return self.add("TestPrompt", seed=seed, tokens=tokens, width=TEXT, pooled=POOLED, nonce=nonce)[0]

    def picture(self, seed: int, width: int = 96, height: int = 80, batch: int = 1) -> Ref:
        return self.add("TestPicture", seed=seed, width=width, height=height, batch=batch)[0]

    def vision(self, **changes: Any) -> Ref:
        return self.add("TestVision", **{**_VISION, **changes})[0]

    def projector(self, width: int = TINY.hidden_size) -> Ref:
        sizes = {"tokens_in": _TOKENS_IN, "tokens_out": _TOKENS_OUT, "dim_in": _VISION["width"]}
        return self.add("TestProjector", **sizes, dim_out=width, seed=4)[0]

    def vae(self) -> Ref:
        return self.add("TestAutoencoder", channels=16)[0]

    def style(self, image: Ref, fit: str = "squash") -> Ref:
        """Return USO_STYLE of a batch of pictures."""
        features = self.add("USO_EncodeStyle", clip_vision=self.vision(), image=image, fit=fit)[0]
        return self.add("USO_ProjectStyle", features=features, projector=self.projector())[0]

    def content(self, image: Ref, long_side: int = 64) -> Ref:
        """Return USO_CONTENT of a batch of pictures."""
        return self.add("USO_EncodeContent", vae=self.vae(), image=image, long_side=long_side, latent_long_side=PIXELS)[
            0
        ]

    def apply(self, model: Ref, positive: Ref, **references: Any) -> Node:
        return self.add("USO_Apply", model=model, positive=positive, **{"content_on_negative": False, **references})

    def core_style(self, model: Ref, image: Ref) -> Ref:
        """Return a MODEL with ComfyUI's own style node, of pixels that need no resize, which is another there."""
        square = self.add("USO_EncodeStyle", clip_vision=self.vision(), image=image, fit="squash")[1]
        seen = self.add("CLIPVisionEncode", clip_vision=self.vision(), image=square, crop="none")[0]
        return self.add("USOStyleReference", model=model, model_patch=self.projector(), clip_vision_output=seen)[0]

    def core_content(self, positive: Ref, *images: Ref) -> Ref:
        """Return CONDITIONING with ComfyUI's own reference nodes; pictures must be multiples of 16."""
        for image in images:
            latent = self.add("VAEEncode", pixels=image, vae=self.vae())[0]
            positive = self.add("ReferenceLatent", conditioning=positive, latent=latent)[0]
        return self.add(
            "FluxKontextMultiReferenceLatentMethod",
            conditioning=positive,
            reference_latents_method="uxo/uno",
        )[0]

    def empty(self, batch: int = 1, pixels: int = PIXELS) -> Ref:
        return self.add("EmptySD3LatentImage", width=pixels, height=pixels, batch_size=batch)[0]

    def save(self, latent: Ref) -> Node:
        return self.add("SaveLatent", samples=latent, filename_prefix="latents/test")

    def ksampler(
        self,
        model: Ref,
        positive: Ref,
        negative: Ref | None = None,
        batch: int = 1,
        cfg: float = 1.0,
        seed: int = 7,
        steps: int = 2,
    ) -> Node:
        """Sample with the stock KSampler and save the latent."""
        latent = self.add(
            "KSampler",
            model=model,
            positive=positive,
            negative=self.prompt(seed=9) if negative is None else negative,
            latent_image=self.empty(batch),
            seed=seed,
            steps=steps,
            cfg=cfg,
            sampler_name="euler",
            scheduler="simple",
            denoise=1.0,
        )[0]
        return self.save(latent)
