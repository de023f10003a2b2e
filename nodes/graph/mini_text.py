"""USO-mini's text encoder as a CLIP of ComfyUI: one small network in the place of FLUX.1's two."""

from __future__ import annotations

from functools import partial
from typing import Any

import comfy.model_management
import comfy.sd
import comfy.supported_models_base
import torch
from torch import Tensor, nn

from ...mini.model import MiniTokenizer, load_text

__all__ = ["mini_clip"]

POOLED, TOKENS = "l", "t5xxl"
"""Names of FLUX.1's text encoders in the token dictionary: CLIP gives the pooled vector, T5 the tokens."""


def mini_clip() -> Any:
    """Return the CLIP."""
    tokenizer, encoder = load_text()
    target = comfy.supported_models_base.ClipTarget(
        partial(MiniClipTokenizer, tokenizer), partial(MiniClipModel, encoder)
    )
    return comfy.sd.CLIP(target, model_options={"dtype": torch.float32})


class MiniClipTokenizer:
    """Turn a prompt into the token dictionary ComfyUI passes around."""

    def __init__(self, tokenizer: MiniTokenizer, embedding_directory: Any = None, tokenizer_data: Any = None):
        """Wrap a tokenizer; ComfyUI's own two arguments are for embeddings, which the mini has not."""
        self.tokenizer = tokenizer

    def tokenize_with_weights(
        self, text: str, return_word_ids: bool = False, **options: Any
    ) -> dict[str, list[list[tuple[Any, ...]]]]:
        """Return one row of (id, weight) pairs; prompt weights are not supported and stay 1."""
        row = [
            (number, 1.0, place) if return_word_ids else (number, 1.0)
            for place, number in enumerate(self.tokenizer(text))
        ]
        return {POOLED: [row], TOKENS: [list(row)]}

    def state_dict(self) -> dict[str, Tensor]:
        """Return nothing: there is nothing to save."""
        return {}


class MiniClipModel(nn.Module):
    """Wrap the text encoder of USO-mini in the interface ComfyUI's CLIP expects."""

    disable_offload = True  # plain torch layers cannot be streamed

    def __init__(self, encoder: nn.Module, device: Any = "cpu", dtype: Any = None, model_options: Any = None):
        """Put the encoder on a device, in float32 whatever dtype is asked for: it is tiny.

        T5 holds its table of words under two names. They get a tensor each, because ComfyUI writes no file with one
        tensor twice, and would add patches to it twice.
        """
        super().__init__()
        self.encoder = encoder.to(device, torch.float32)
        shared = self.encoder.get_submodule("t5.shared")
        shared.weight = nn.Parameter(shared.get_parameter("weight").detach().clone())
        self.dtypes = {torch.float32}
        self.execution_device: torch.device | None = None

    def set_clip_options(self, options: dict[str, Any]) -> None:
        """Take the device to run on; there are no layers to choose."""
        self.execution_device = options.get("execution_device", self.execution_device)

    def reset_clip_options(self) -> None:
        """Forget the device."""
        self.execution_device = None

    def encode_token_weights(self, tokens: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Return text tokens `B L C` of T5's tokens, and the pooled vector `B C` of CLIP's."""
        txt, vec = self._encoded(tokens[TOKENS])
        if tokens[POOLED] != tokens[TOKENS]:
            vec = self._encoded(tokens[POOLED])[1]
        out = comfy.model_management.intermediate_device()
        return txt.to(out), vec.to(out)

    def _encoded(self, rows: list[list[tuple[Any, ...]]]) -> tuple[Tensor, Tensor]:
        device = self.execution_device or next(self.encoder.parameters()).device
        return self.encoder(torch.tensor([[pair[0] for pair in row] for row in rows], device=device))
