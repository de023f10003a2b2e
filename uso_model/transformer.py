"""The USO transformer: FLUX.1 with style tokens before the text and content tokens after the image.

Shapes: B batch, L tokens, S style tokens, D hidden size, C channels of a packed token.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .blocks import DoubleStreamBlock, LastLayer, MLPEmbedder, SingleStreamBlock
from .config import FluxConfig
from .errors import UserError
from .math import rotary_table, timestep_embedding
from .positions import text_ids

__all__ = ["TIME_FEATURES", "UsoTransformer"]

TIME_FEATURES = 256
"""Width of the sinusoidal features of time and guidance."""


class UsoTransformer(nn.Module):
    """Predict the velocity of the target tokens from one joint sequence `[style, txt, img, refs]`.

    Source: bytedance/USO, uso/flux/model.py; eq. (4) of arXiv 2508.18966. Parameter names are BFL's, except that
    `single_blocks.N.linear1` is the pair `linear1_qkv`, `linear1_mlp`.
    """

    def __init__(self, config: FluxConfig):
        super().__init__()
        self.config = config
        dim = config.hidden_size
        self.img_in = nn.Linear(config.in_channels, dim)
        self.time_in = MLPEmbedder(TIME_FEATURES, dim)
        self.vector_in = MLPEmbedder(config.vec_in_dim, dim)
        if config.guidance_embed:
            self.guidance_in = MLPEmbedder(TIME_FEATURES, dim)
        self.txt_in = nn.Linear(config.context_in_dim, dim)
        self.double_blocks = nn.ModuleList(
            DoubleStreamBlock(dim, config.num_heads, config.mlp_size, config.qkv_bias) for _ in range(config.depth)
        )
        self.single_blocks = nn.ModuleList(
            SingleStreamBlock(dim, config.num_heads, config.mlp_size) for _ in range(config.depth_single_blocks)
        )
        self.final_layer = LastLayer(dim, config.in_channels)

    def forward(
        self,
        img: Tensor,
        img_ids: Tensor,
        txt: Tensor,
        txt_ids: Tensor,
        timesteps: Tensor,
        y: Tensor,
        guidance: Tensor | None = None,
        style: Tensor | None = None,
        refs: Sequence[Tensor] = (),
        ref_ids: Sequence[Tensor] = (),
    ) -> Tensor:
        """Return the velocity of the target tokens, `B L C`.

        Args:
            img: noisy target tokens, `B L C`.
            img_ids: their positions, `L 3` or `B L 3`.
            txt: text tokens, `B L context_in_dim`.
            txt_ids: their positions, `L 3` or `B L 3`.
            timesteps: times in 0..1, `B`.
            y: pooled text, `B vec_in_dim`.
            guidance: distilled guidance, `B`; required exactly when the network has the embedding.
            style: projected style tokens, `B S D`; None where there is no style reference.
            refs: packed content references, each `B L C`.
            ref_ids: their positions, each `L 3` or `B L 3`.

        Raises:
            UserError: guidance missing, or positions that do not match the tokens.
        """
        vec = self.time_in(timestep_embedding(timesteps, TIME_FEATURES).to(img.dtype))
        if self.config.guidance_embed:
            if guidance is None:
                raise UserError(
                    "this FLUX has a guidance embedding, but no guidance was given; pass guidance, e.g. 4.0 per item"
                )
            vec = vec + self.guidance_in(timestep_embedding(guidance, TIME_FEATURES).to(img.dtype))
        vec = vec + self.vector_in(y)

        txt = self.txt_in(txt)
        ids = [txt_ids, img_ids, *ref_ids]
        if style is not None:
            txt = torch.cat([style, txt], dim=1)
            ids = [text_ids(style.shape[1]).to(img_ids), *ids]
        length = img.shape[1]
        img = torch.cat([self.img_in(tokens) for tokens in (img, *refs)], dim=1)
        pe = self._positions(ids, batch=img.shape[0], expected=txt.shape[1] + img.shape[1])

        for block in self.double_blocks:
            img, txt = block(img, txt, vec, pe)
        x = torch.cat([txt, img], dim=1)
        for block in self.single_blocks:
            x = block(x, vec, pe)
        start = txt.shape[1]
        return self.final_layer(x[:, start : start + length], vec)

    def _positions(self, ids: Sequence[Tensor], batch: int, expected: int) -> Tensor:
        joint = torch.cat([part if part.ndim == 3 else part.expand(batch, -1, -1) for part in ids], dim=1)
        if joint.shape[1] != expected:
            raise UserError(
                f"got {joint.shape[1]} positions for {expected} tokens; every token needs one (index, row, column)"
            )
        return rotary_table(joint, self.config.axes_dim, self.config.theta)
