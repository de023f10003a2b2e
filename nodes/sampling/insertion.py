"""The patch that FLUX calls before its first block: style tokens go in, and references to where they belong."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..graph.keys import PLACES, READING, RUN, STYLE
from .placement import placed

__all__ = ["insert_references"]


@torch.compiler.disable
def insert_references(inputs: dict[str, Any]) -> dict[str, Any]:
    """Put the style tokens before the text tokens (`B L D`), with position ids of zero, and move references.

    Content tokens that are read and not computed leave the sequence again; their positions are kept for the reading.
    """
    options = inputs["transformer_options"]
    style, places, reading = options.get(STYLE), options.get(PLACES), options.get(READING)
    if style is not None:
        txt: Tensor = inputs["txt"]
        ids: Tensor = inputs["txt_ids"]
        style = style.to(txt).expand(txt.shape[0], -1, -1)
        inputs["txt"] = torch.cat([style, txt], dim=1)
        inputs["txt_ids"] = torch.cat([ids.new_zeros(ids.shape[0], style.shape[1], ids.shape[2]), ids], dim=1)
    if places is not None:
        inputs["img_ids"] = placed(inputs["img_ids"], options["reference_image_num_tokens"], places)
    if reading is not None and reading.content:
        own = inputs["img"].shape[1] - reading.content
        reading.place(inputs["img_ids"][:1, own:])
        inputs["img"], inputs["img_ids"] = inputs["img"][:, :own], inputs["img_ids"][:, :own]
    if RUN in options:
        options[RUN].inserted = True
    return inputs
