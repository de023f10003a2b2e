"""Encoded rows, one by one and stacked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from ...uso_model.style import StyleFeatures

__all__ = ["Batch", "Sample", "in_order", "stack_by_shape"]


class Sample(NamedTuple):
    """One encoded row. A condition that is absent adds no tokens to the sequence."""

    id: str
    latent: Tensor
    """Target in model scale, `c h w`."""
    txt: Tensor
    """Text tokens, `L D`."""
    vec: Tensor
    """Pooled text, `D`."""
    styles: tuple[StyleFeatures, ...] = ()
    """Features of the style references, each level `N C`."""
    style_latents: tuple[Tensor, ...] = ()
    """Latents of the style references where these go the content's way, each `c h w`."""
    contents: tuple[Tensor, ...] = ()
    """Latents of the content references in model scale, each `c h w`."""
    descriptors: Mapping[str, Tensor] = MappingProxyType({})
    """Unit vectors `D` of the references, by the judges of a reward that have such a reference to compare with."""
    weight: Tensor | None = None
    """How much each place of the latent counts in the loss, `h w`; None: all alike."""
    style_paths: tuple[Path, ...] = ()
    """Pictures of the style references that were drawn."""
    content_paths: tuple[Path, ...] = ()
    """Pictures of the content references that were drawn."""


class Batch(NamedTuple):
    """Rows of one shape."""

    places: list[int]
    """Where each row stood in the list that was stacked."""
    latent: Tensor
    """`b c h w`."""
    txt: Tensor
    """`B L D`."""
    vec: Tensor
    """`B D`."""
    styles: tuple[StyleFeatures, ...]
    """One entry for each style reference, each level `B N C`."""
    style_latents: tuple[Tensor, ...]
    """One entry for each style reference, `b c h w`."""
    contents: tuple[Tensor, ...]
    """One entry for each content reference, `b c h w`."""
    descriptors: dict[str, Tensor]
    """`B D` by judge."""
    weight: Tensor | None
    """`b h w`; None where no row has one."""


def stack_by_shape(samples: Sequence[Sample]) -> list[Batch]:
    """Stack samples that can go through the network together; the order of first appearance is kept.

    Rows may differ in size and in the number and sizes of their references: each combination becomes a batch of its
    own.
    """
    alike: dict[tuple, list[int]] = {}
    for place, sample in enumerate(samples):
        alike.setdefault(_shape(sample), []).append(place)
    return [_stacked(samples, places) for places in alike.values()]


def in_order(batches: Sequence[Batch], values: Sequence[Tensor]) -> Tensor:
    """Return values of the rows of batches, each `b`, in the order that the rows had before they were stacked."""
    places = torch.tensor([place for batch in batches for place in batch.places])
    return torch.cat(tuple(values))[places.argsort()]


def _shape(sample: Sample) -> tuple:
    return (
        sample.latent.shape,
        sample.txt.shape,
        len(sample.styles),
        len(sample.style_latents),
        tuple(content.shape for content in sample.contents),
        tuple(sample.descriptors),
    )


def _stacked(samples: Sequence[Sample], places: list[int]) -> Batch:
    rows = [samples[place] for place in places]
    styles = zip(*(row.styles for row in rows), strict=True)
    return Batch(
        places,
        latent=torch.stack([row.latent for row in rows]),
        txt=torch.stack([row.txt for row in rows]),
        vec=torch.stack([row.vec for row in rows]),
        styles=tuple(StyleFeatures(*map(torch.stack, zip(*of_rows, strict=True))) for of_rows in styles),
        style_latents=tuple(map(torch.stack, zip(*(row.style_latents for row in rows), strict=True))),
        contents=tuple(map(torch.stack, zip(*(row.contents for row in rows), strict=True))),
        descriptors={name: torch.stack([row.descriptors[name] for row in rows]) for name in rows[0].descriptors},
        weight=_weights(rows),
    )


def _weights(rows: Sequence[Sample]) -> Tensor | None:
    if all(row.weight is None for row in rows):
        return None
    return torch.stack([torch.ones(row.latent.shape[1:]) if row.weight is None else row.weight for row in rows])
