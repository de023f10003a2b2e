"""The pass in which isolated references are computed: they see themselves, and nothing else is there.

ComfyUI's FLUX wants a text and a picture. The first content reference is the picture; one token of zeros stands for the
text, and for the picture where there are style tokens alone. They see themselves, too, and nobody reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ....uso_model.errors import UserError
from ....uso_model.isolation import ISOLATED_GUIDANCE, ISOLATED_TIME
from ...graph.keys import STYLE, UNO_METHOD
from ..insertion import insert_references
from .reading import Block, Blocks

__all__ = ["reference_pass"]


def reference_pass(network: Any, style: Tensor | None, contents: Sequence[Tensor], device: torch.device) -> Blocks:
    """Return the references' keys before rotary, and values, of every block: `1 heads L D`, style tokens first.

    Args:
        network: ComfyUI's FLUX.
        style: style tokens `1 L D`, in the dtype that the network computes in.
        contents: latents `1 c h w`, as the network reads them.
        device: where the keys and values are kept.

    Raises:
        UserError: something runs the network without ComfyUI's patches.
    """
    like, patch = contents[0] if style is None else style, network.patch_size
    own = 0 if style is None else style.shape[1]
    dummy = like.new_zeros(1, network.in_channels // patch**2, patch, patch)
    picture, *others = contents or [dummy]
    tokens = [-(-latent.shape[-2] // patch) * -(-latent.shape[-1] // patch) for latent in (picture, *others)]
    lengths = [own, 1, *tokens]
    first = own + 1 if contents else own + 2
    found: dict[Block, tuple[Tensor, Tensor]] = {}

    def record(q: Tensor, k: Tensor, v: Tensor, extra_options: dict[str, Any], **_: Any) -> dict[str, Any]:
        keys, values = (torch.cat([x[:, :, :own], x[:, :, first:]], dim=2).to(device) for x in (k, v))
        found[extra_options["block_type"], extra_options["block_index"]] = keys, values
        return {}

    def attend(attention: Any, q: Tensor, k: Tensor, v: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        parts = zip(*(x.split(lengths, dim=2) for x in (q, k, v)), strict=True)
        return torch.cat([attention(*part, *args, **kwargs) for part in parts if part[0].shape[2]], dim=1)

    options: dict[str, Any] = {
        "patches": {"post_input": [insert_references], "attn1_patch": [record]},
        "optimized_attention_override": attend,
    }
    if style is not None:
        options[STYLE] = style
    params = network.params
    network(
        picture,
        like.new_full((1,), ISOLATED_TIME, dtype=torch.float32),
        context=like.new_zeros(1, 1, params.context_in_dim),
        y=like.new_zeros(1, params.vec_in_dim),
        guidance=like.new_full((1,), ISOLATED_GUIDANCE),
        ref_latents=others or None,
        ref_latents_method=UNO_METHOD,
        transformer_options=options,
    )
    if len(found) != len(network.double_blocks) + len(network.single_blocks):
        raise UserError(
            "Got a network that something (such as Nunchaku, or another node that replaces FLUX's forward) runs "
            "without ComfyUI's patches, expected ComfyUI's own FLUX for a LoRA with isolated references: take that "
            "node out, or load the model with Load Diffusion Model."
        )
    return found
