"""Manifest rows to batches of encoded tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from ..uso_model.style import StyleFeatures
from .cache import Cache
from .encoders import Encoders
from .manifest import Row

__all__ = ["Batch", "DropMode", "TripletDataset", "drop_conditions"]

DropMode = Literal["one_of", "independent"]
"""How condition dropout is read; see `drop_conditions`."""


class Batch(NamedTuple):
    """Encoded rows of one shape. A condition that is absent is None: its tokens are left out of the sequence."""

    latent: Tensor
    """Target, `b c h w`."""
    txt: Tensor
    """Text tokens, `B L D`."""
    vec: Tensor
    """Pooled text, `B D`."""
    style: StyleFeatures | None
    """Features of the style reference, each `B N C`."""
    content: Tensor | None
    """Latent of the content reference, `b c h w`."""


class TripletDataset:
    """Rows whose encodings come from the cache, or from the encoders on the first time."""

    def __init__(
        self,
        rows: Sequence[Row],
        encoders: Encoders,
        cache: Cache,
        style: bool = True,
        content: bool = True,
        preserved_share: float | None = None,
    ):
        """Keep the rows that have what is asked for.

        Args:
            rows: of one or several manifests.
            encoders: frozen encoders.
            cache: where their outputs are kept.
            style: the batches carry style references.
            content: the batches carry content references.
            preserved_share: share of layout-preserved rows in the batches; None takes the rows as they come.

        Raises:
            ValueError: no row has the references asked for.
        """
        self.rows = [row for row in rows if (row.style or not style) and (row.content or not content)]
        if not self.rows:
            raise ValueError(
                f"none of {len(rows)} rows has the references of this stage; needs style: {style}, content: {content}"
            )
        self._groups, self._weights = self._grouped(preserved_share)
        self._encoders, self._cache, self._style, self._content = encoders, cache, style, content

    def __len__(self) -> int:
        return len(self.rows)

    def draw(self, generator: torch.Generator, count: int, text_dropout: float = 0.0) -> Batch:
        """Return `count` random rows as a batch; `text_dropout` is the share of prompts that are emptied."""
        groups = torch.multinomial(self._weights, count, replacement=True, generator=generator).tolist()
        index = [self._groups[g][int(torch.randint(len(self._groups[g]), (), generator=generator))] for g in groups]
        emptied = (torch.rand(count, generator=generator) < text_dropout).tolist()
        rows = [self.rows[i] for i in index]
        texts = [self._text("" if empty else row.prompt) for row, empty in zip(rows, emptied, strict=True)]
        picks = [int(torch.randint(max(1, len(row.style)), (), generator=generator)) for row in rows]
        return Batch(
            latent=torch.stack([self._latent(row.target) for row in rows]),
            txt=torch.stack([txt for txt, _ in texts]),
            vec=torch.stack([vec for _, vec in texts]),
            style=self._stack_styles([row.style[pick] for row, pick in zip(rows, picks, strict=True)])
            if self._style
            else None,
            content=torch.stack([self._latent(row.content) for row in rows]) if self._content else None,
        )

    def _grouped(self, preserved_share: float | None) -> tuple[list[list[int]], Tensor]:
        """Return groups of row numbers and how often each group is drawn from."""
        if preserved_share is None:
            return [list(range(len(self.rows)))], torch.ones(1)
        kinds = {"preserved": preserved_share, "shifted": 1 - preserved_share}
        groups = [[i for i, row in enumerate(self.rows) if row.layout == kind] for kind in kinds]
        for kind, group in zip(kinds, groups, strict=True):
            if kinds[kind] > 0 and not group:
                raise ValueError(f"preserved_share is {preserved_share}, but no row has the layout {kind!r}")
        return groups, torch.tensor(list(kinds.values()))

    def _stack_styles(self, paths: Sequence) -> StyleFeatures:
        features = [self._features(path) for path in paths]
        return StyleFeatures(*(torch.stack(level) for level in zip(*features, strict=True)))

    def _latent(self, path) -> Tensor:
        def encode() -> dict[str, Tensor]:
            with Image.open(path) as picture:
                return {"latent": self._encoders.latent(picture).half()}

        return self._cache.get(path.read_bytes(), self._encoders.names["latent"], encode)["latent"].float()

    def _features(self, path) -> StyleFeatures:
        def encode() -> dict[str, Tensor]:
            with Image.open(path) as picture:
                return {name: level.half() for name, level in self._encoders.style(picture)._asdict().items()}

        found = self._cache.get(path.read_bytes(), self._encoders.names["style"], encode)
        return StyleFeatures(*(found[name].float() for name in StyleFeatures._fields))

    def _text(self, prompt: str) -> tuple[Tensor, Tensor]:
        def encode() -> dict[str, Tensor]:
            txt, vec = self._encoders.text(prompt)
            return {"txt": txt.half(), "vec": vec.half()}

        found = self._cache.get(prompt.encode(), self._encoders.names["text"], encode)
        return found["txt"].float(), found["vec"].float()


def drop_conditions(batch: Batch, probability: float, mode: DropMode, generator: torch.Generator) -> Batch:
    """Leave out a reference of the whole batch, as USO does in training with probability 0.25.

    The paper's sentence has two readings. `one_of`: with the given probability exactly one reference, style or content,
    is dropped. `independent`: each is dropped with the given probability, so both may be.

    Raises:
        ValueError: an unknown mode.
    """
    draw = torch.rand(2, generator=generator)
    if mode == "one_of":
        dropped = bool(draw[0] < probability)
        no_style, no_content = dropped and bool(draw[1] < 0.5), dropped and bool(draw[1] >= 0.5)
    elif mode == "independent":
        no_style, no_content = bool(draw[0] < probability), bool(draw[1] < probability)
    else:
        raise ValueError(f"unknown dropout mode {mode!r}; use one_of or independent")
    return batch._replace(style=None if no_style else batch.style, content=None if no_content else batch.content)
