"""The hierarchical projector: three depths of SigLIP to style tokens.

Shapes: B batch, N SigLIP tokens (729), C SigLIP width (1152), S style tokens of one level (64), D hidden size (3072).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .errors import UserError
from .style import StyleFeatures

__all__ = ["LEVELS", "PREFIX", "HierarchicalProjector"]

PREFIX = "feature_embedder."
"""Of the projector's weights in files (bytedance/USO, uso/flux/model.py)."""

LEVELS = StyleFeatures._fields
"""Levels in the order of their tokens: high, mid, low."""


class HierarchicalProjector(nn.Module):
    """Project each level by its own branch and join the tokens: high, mid, low.

    A branch mixes the N positions into S tokens by a linear layer over the *token* axis, then SiLU, LayerNorm and a
    linear layer over the channels. Source: bytedance/USO, uso/flux/modules/layers.py; arXiv 2508.18966, section 3.2.
    """

    def __init__(
        self,
        tokens_in: int,
        tokens_out: int,
        dim_in: int,
        dim_out: int,
        operations: Any = nn,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        levels: Collection[str] = LEVELS,
    ):
        """Make the branches of all levels.

        Args:
            tokens_in: N.
            tokens_out: S.
            dim_in: C.
            dim_out: D.
            operations: where the layers come from.
            dtype: of the parameters.
            device: of the parameters.
            levels: those that give tokens; fewer than three is an ablation.
        """
        super().__init__()
        self.tokens_in, self.tokens_out, self.dim_in, self.dim_out = tokens_in, tokens_out, dim_in, dim_out
        made = {"dtype": dtype, "device": device}
        for level in LEVELS:
            mix = operations.Linear(tokens_in, tokens_out, **made)
            self.add_module(f"{level}_embedding_linear", nn.Sequential(mix, nn.SiLU()))
            self.add_module(f"{level}_layer_norm", operations.LayerNorm(dim_in, **made))
            self.add_module(f"{level}_projection", operations.Linear(dim_in, dim_out, **made))
        self.levels = tuple(level for level in LEVELS if level in levels)
        """Levels that give tokens, in the order of LEVELS."""

    @staticmethod
    def sizes(state_dict: Mapping[str, Tensor]) -> dict[str, int]:
        """Return the constructor's sizes of projector weights (names without `feature_embedder.`).

        Raises:
            KeyError: the weights are no projector.
        """
        tokens_out, tokens_in = state_dict["high_embedding_linear.0.weight"].shape
        dim_out, dim_in = state_dict["high_projection.weight"].shape
        return {"tokens_in": tokens_in, "tokens_out": tokens_out, "dim_in": dim_in, "dim_out": dim_out}

    def forward(self, features: StyleFeatures) -> Tensor:
        """Return style tokens `B 3*S D` (`S` for each of `levels`) of SigLIP features, each level `B N C`.

        Raises:
            UserError: another token count or width than the projector was made for.
        """
        got = tuple(features.high.shape[1:])
        if got != (self.tokens_in, self.dim_in):
            raise UserError(
                f"the projector expects {self.tokens_in} SigLIP tokens of width {self.dim_in}, got {got[0]} of width "
                f"{got[1]}; use the vision model that the projector was trained with"
            )
        return torch.cat([self._branch(level, getattr(features, level)) for level in self.levels], dim=1)

    def _branch(self, level: str, x: Tensor) -> Tensor:
        branch = self.get_submodule
        x = branch(f"{level}_embedding_linear")(x.transpose(1, 2)).transpose(1, 2)  # B S C
        return branch(f"{level}_projection")(branch(f"{level}_layer_norm")(x))
