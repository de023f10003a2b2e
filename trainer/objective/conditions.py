"""The conditions of a batch: which references stay, and what the network gets of them."""

from __future__ import annotations

import torch
from torch import Tensor

from ...uso_model.errors import UserError
from ...uso_model.projector import HierarchicalProjector
from ...uso_model.sampling import Conditioning
from ...uso_model.style import StyleFeatures
from ..data.batch import Batch, Sample
from ..recipe import DropMode

__all__ = ["conditioning_of", "drop_conditions", "unconditional"]


def drop_conditions(sample: Sample, probability: float, mode: DropMode, generator: torch.Generator) -> Sample:
    """Leave out a reference of a row, as USO's CVPR version does in training with probability 0.25.

    The paper's sentence has two readings. `one_of`: with the given probability exactly one reference, style or content,
    is dropped. `independent`: each is dropped with the given probability, so both may be. Several content references
    are dropped together.

    Raises:
        UserError: an unknown mode.
    """
    first, second = torch.rand(2, generator=generator).tolist()
    if mode == "one_of":
        no_style, no_content = first < probability and second < 0.5, first < probability and second >= 0.5
    elif mode == "independent":
        no_style, no_content = first < probability, second < probability
    else:
        raise UserError(f"unknown dropout mode {mode!r}; use one_of or independent")
    return sample._replace(
        styles=() if no_style else sample.styles,
        style_latents=() if no_style else sample.style_latents,
        contents=() if no_content else sample.contents,
    )


def conditioning_of(
    batch: Batch,
    projector: HierarchicalProjector | None,
    guidance: Tensor,
    device: torch.device,
    isolated: bool = False,
) -> Conditioning:
    """Return the network's conditions of a batch on a device; several style references follow one another.

    Content references follow one another in the row's order, each placed behind the one before, as
    `uso_model.positions.reference_ids` does; latents of style references, where there are any, come last.

    Args:
        batch: rows of one shape, on the CPU.
        projector: style features to tokens; None where no batch has a style reference.
        guidance: distilled guidance, `B`.
        device: of the network.
        isolated: references see only themselves.
    """
    tokens = []
    latents = [*batch.contents, *batch.style_latents]
    if projector is not None:
        tokens = [projector(StyleFeatures(*(level.to(device) for level in style))) for style in batch.styles]
    return Conditioning(
        txt=batch.txt.to(device),
        vec=batch.vec.to(device),
        style=torch.cat(tokens, dim=1) if tokens else None,
        content=[latent.to(device) for latent in latents],
        guidance=guidance.to(device),
        isolated=isolated,
    )


def unconditional(empty: tuple[Tensor, Tensor], guidance: Tensor, device: torch.device) -> Conditioning:
    """Return the conditions that classifier-free guidance leads away from: the empty prompt and no reference.

    Args:
        empty: text tokens `L D` and pooled text `D` of the empty prompt.
        guidance: distilled guidance, `B`; gives the number of rows.
        device: of the network.
    """
    txt, vec = (part.to(device).expand(len(guidance), *part.shape) for part in empty)
    return Conditioning(txt=txt, vec=vec, guidance=guidance.to(device))
