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
from .isolation import ISOLATED_GUIDANCE, ISOLATED_TIME, Isolation
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
        isolated: bool = False,
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
            isolated: references see only themselves and know neither time nor prompt; see `isolation`.

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
        isolation = None
        if isolated and (style is not None or refs):
            isolation = Isolation(
                0 if style is None else style.shape[1], txt.shape[1], img.shape[1], tuple(ref.shape[1] for ref in refs)
            )
            vec = torch.cat([vec, self._isolated_vec(vec)])
        if style is not None:
            txt = torch.cat([style, txt], dim=1)
            ids = [text_ids(style.shape[1]).to(img_ids), *ids]
        length = img.shape[1]
        img = torch.cat([self.img_in(tokens) for tokens in (img, *refs)], dim=1)
        pe = self._positions(ids, batch=img.shape[0], expected=txt.shape[1] + img.shape[1])
        read = (txt.shape[1], txt.shape[1] + length)
        x = self._blocks(img, txt, vec, pe, isolation, read)
        return self.final_layer(x, vec if isolation is None else vec[:-1])

    @torch.no_grad()
    def reference_keys(
        self, style: Tensor | None = None, refs: Sequence[Tensor] = (), ref_ids: Sequence[Tensor] = ()
    ) -> list[tuple[Tensor, Tensor]]:
        """Return all that others can see of isolated references, in every block, the double ones first.

        Args:
            style: as in `forward`.
            refs: as in `forward`.
            ref_ids: as in `forward`; where the grids begin does not matter.

        Returns:
            Keys before rotary, and values, each `B H L D`, of the tokens `[style, refs]`.

        Raises:
            UserError: no reference, or positions that do not match the tokens.
        """
        given = [part for part in (style, *refs) if part is not None]
        if not given:
            raise UserError("got no reference, expected style tokens or content tokens; pass one of them")
        nothing = given[0].new_zeros(len(given[0]), 0, self.config.hidden_size)
        txt = nothing if style is None else style
        img = torch.cat([self.img_in(tokens) for tokens in refs], dim=1) if refs else nothing
        pe = self._positions(
            [text_ids(txt.shape[1]).to(img.device), *ref_ids], len(img), expected=txt.shape[1] + img.shape[1]
        )
        found: list[tuple[Tensor, Tensor]] = []
        isolation = Isolation(
            txt.shape[1], 0, 0, tuple(ref.shape[1] for ref in refs), lambda k, v: found.append((k, v))
        )
        self._blocks(img, txt, self._isolated_vec(nothing), pe, isolation, read=(0, 0))
        return found

    def _isolated_vec(self, like: Tensor) -> Tensor:
        """Return the vector `1 D` that modulates isolated references, in the dtype of `like`."""

        def features(value: float) -> Tensor:
            return timestep_embedding(torch.full((1,), value, device=like.device), TIME_FEATURES).to(like.dtype)

        vec = self.time_in(features(ISOLATED_TIME))
        if self.config.guidance_embed:
            vec = vec + self.guidance_in(features(ISOLATED_GUIDANCE))
        return vec + self.vector_in(like.new_zeros(1, self.config.vec_in_dim))

    def _blocks(
        self,
        img: Tensor,
        txt: Tensor,
        vec: Tensor,
        pe: Tensor,
        isolation: Isolation | None,
        read: tuple[int, int],
    ) -> Tensor:
        """Return the tokens from the first to the second of `read` in the joint sequence after all blocks."""
        for block in self.double_blocks:
            img, txt = block(img, txt, vec, pe, isolation)
        x = torch.cat([txt, img], dim=1)
        *blocks, last = self.single_blocks
        for block in blocks:
            x = block(x, vec, pe, isolation)
        if isolation is None and torch.is_grad_enabled():
            # Weights' gradients would be summed in another order, and runs could not be repeated to the digit.
            return last(x, vec, pe)[:, slice(*read)]
        return last(x, vec, pe, isolation, read)

    def _positions(self, ids: Sequence[Tensor], batch: int, expected: int) -> Tensor:
        joint = torch.cat([part if part.ndim == 3 else part.expand(batch, -1, -1) for part in ids], dim=1)
        if joint.shape[1] != expected:
            raise UserError(
                f"got {joint.shape[1]} positions for {expected} tokens; every token needs one (index, row, column)"
            )
        return rotary_table(joint, self.config.axes_dim, self.config.theta)
