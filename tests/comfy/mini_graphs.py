"""USO-mini on the real server, and how its pictures are measured.

What is measured are the drawn pictures: cosines of the style descriptor to the style picture and of the identity judge
to the subject picture, as means over the pictures of a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from itertools import pairwise
from typing import Any

from comfyui_uso.mini.example_pictures import examples
from torch import Tensor

from .server import ComfyServer, Graph, Node

__all__ = ["BATCH", "OTHER", "PAIR", "Draw", "Mini", "Ref", "rises"]

STEPS, BATCH = 6, 4
PAIR = "1"
"""Which of the bundled pairs gives style and subject: the one whose subject alone is the least like the style."""
OTHER = "2"
"""Which gives a second style."""

Ref = list[Any]
Draw = Callable[..., Tensor]


class Mini(Graph):
    """A graph over USO-mini and the bundled pictures."""

    def __init__(self, comfy: ComfyServer):
        super().__init__()
        self.comfy = comfy
        self.models = self.add("USO_LoadMini", lora_strength=1.0)

    def picture(self, kind: str, name: str) -> Ref:
        data = BytesIO()
        getattr(examples()[name], kind).save(data, "PNG")
        return self.add("LoadImage", image=self.comfy.upload(f"{kind}{name}.png", data.getvalue()))[0]

    def style(self, name: str = PAIR, **levels: Any) -> Ref:
        seen = self.add("USO_EncodeStyle", clip_vision=self.models[3], image=self.picture("style", name), fit="squash")
        return self.add("USO_ProjectStyle", features=seen[0], projector=self.models[4], **levels)[0]

    def content(self, name: str = PAIR, **options: Any) -> Ref:
        picture = self.picture("content", name)
        sizes = {"long_side": 128, "latent_long_side": 128}
        return self.add("USO_EncodeContent", vae=self.models[2], image=picture, **sizes, **options)[0]

    def mask(self, left: bool) -> Ref:
        """Return a mask of one half."""
        whole = self.add("SolidMask", value=0.0, width=128, height=128)[0]
        half = self.add("SolidMask", value=1.0, width=64, height=128)[0]
        return self.add("MaskComposite", destination=whole, source=half, x=0 if left else 64, y=0, operation="add")[0]

    def draw(self, model: Ref | None = None, prompt: str = "", cfg: float = 3.0, **references: Any) -> Node:
        text, empty = (self.add("CLIPTextEncode", clip=self.models[1], text=words)[0] for words in (prompt, ""))
        node = self.add(
            "USO_Apply",
            model=model or self.models[0],
            positive=text,
            negative=empty,
            **{"content_on_negative": False, **references},
        )
        sampled = self.add(
            "KSampler",
            model=node[0],
            positive=node[1],
            negative=node[2],
            latent_image=self.add("EmptySD3LatentImage", width=128, height=128, batch_size=BATCH)[0],
            seed=11,
            steps=STEPS,
            cfg=cfg,
            sampler_name="euler",
            scheduler="simple",
            denoise=1.0,
        )[0]
        return self.add("SaveLatent", samples=sampled, filename_prefix="latents/dials")


def rises(values: list[float]) -> bool:
    """Whether values rise, small dips apart, and the last is clearly above the first."""
    dips = [a - b for a, b in pairwise(values)]
    return max(dips) < 0.03 and values[-1] - values[0] > 0.05
