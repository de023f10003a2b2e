"""What judges see in pictures and texts: computed once, and kept under the hash of the picture and of the judge."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...uso_model.judging.judge import Card, Judge, TextJudge
from ...uso_model.writing import sha256_of
from ..ahead import ahead
from .looks import Look, Problem, look_at, opened
from .store import Store

__all__ = ["Describer", "Features", "TextDescriber", "digest_of", "text_key", "texts", "whole"]

_VERSION = "1"
"""Raised when the same judge is given pictures in another way."""


@dataclass(frozen=True)
class Describer:
    """One way in which a judge looks at a picture, such as whole or in crops."""

    name: str
    digest: str
    """Of all that decides its numbers."""
    prepare: Callable[[Image.Image], Tensor]
    """A picture to what goes into a batch; runs on a thread."""
    embed: Callable[[Tensor], Tensor]
    """A batch of these to features, `b ...`; on the judge's device."""
    batch: int = 16


@dataclass(frozen=True)
class TextDescriber:
    """A judge that reads texts."""

    name: str
    digest: str
    embed: Callable[[Sequence[str]], Tensor]


def digest_of(card: Card, way: str) -> str:
    """Return the hash of a judge, told by its card, and of the way in which it looks at pictures."""
    parts = (_VERSION, way, card.name, card.sha256 or "", card.revision, card.preprocessing)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def whole(judge: Judge, device: torch.device | str) -> Describer:
    """Return how a judge looks at whole pictures."""
    return Describer(
        judge.card.name, digest_of(judge.card, "whole"), judge.prepare, lambda batch: judge.embed(batch.to(device))
    )


def texts(judge: TextJudge) -> TextDescriber:
    """Return how a judge reads texts."""
    return TextDescriber(f"{judge.card.name} text", digest_of(judge.card, "text"), judge.embed_texts)


class Features:
    """Features of all pictures and texts that were asked for, by describer and hash."""

    def __init__(self, cache: Path):
        self.cache = cache
        self.not_finite: set[str] = set()
        """Hashes of the pictures of which a judge gave numbers that are none."""
        self._looks = Store(cache / "looks")
        self._arrays: dict[str, dict[str, np.ndarray]] = {}
        self._stores: dict[str, Store] = {}

    def of(self, describer: str, sha256: str) -> np.ndarray:
        """Return the features of a picture or a text.

        Raises:
            KeyError: the describer has none of it.
        """
        return self._arrays[describer][sha256]

    def has(self, describer: str, sha256: str) -> bool:
        """Say whether there are features of a picture."""
        return sha256 in self._arrays.get(describer, {})

    def add_pictures(self, paths: Sequence[Path], describers: Sequence[Describer]) -> list[Look | Problem]:
        """Describe pictures, those that are new by reading ahead on threads; return for each what it is.

        Raises:
            OSError: the cache cannot be written.
        """
        with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
            hashes = list(ahead(pool, _hash, paths))
            kept = {k: Look.unpacked(a) for k, a in self._looks.read(h for h in hashes if h).items()}
            for describer in describers:
                store = self._stores.setdefault(describer.name, Store(self.cache / describer.digest))
                known = self._arrays.setdefault(describer.name, {})
                known |= store.read({look.sha256 for look in kept.values()} - known.keys())

            def read(place: int) -> tuple[int, Look | Problem, dict[str, Tensor]]:
                look = kept.get(hashes[place] or "")
                if look is not None and not self._missing(look, describers):
                    return place, look, {}
                picture = opened(paths[place])
                if isinstance(picture, str):
                    return place, picture, {}
                look = look or look_at(picture)
                return place, look, {d.name: d.prepare(picture) for d in self._missing(look, describers)}

            found: list[Look | Problem] = ["missing"] * len(paths)
            waiting = {describer.name: _Batch(describer) for describer in describers}
            for place, look, prepared in ahead(pool, read, range(len(paths))):
                found[place] = look
                if isinstance(look, str):
                    continue
                if hashes[place] not in kept:
                    self._looks.add(hashes[place] or "", look.packed())
                for name, tensor in prepared.items():
                    self._keep(name, waiting[name].add(look.sha256, tensor))
            for name, batch in waiting.items():
                self._keep(name, batch.embedded())
        for store in (self._looks, *self._stores.values()):
            store.flush()
        return found

    def add_texts(self, given: Iterable[str], describer: TextDescriber, batch: int = 64) -> None:
        """Describe texts.

        Raises:
            OSError: the cache cannot be written.
        """
        by_key = {text_key(text): text for text in given}
        store = self._stores.setdefault(describer.name, Store(self.cache / describer.digest))
        self._arrays.setdefault(describer.name, {}).update(store.read(by_key))
        missing = [key for key in by_key if key not in self._arrays[describer.name]]
        for start in range(0, len(missing), batch):
            keys = missing[start : start + batch]
            with torch.no_grad():
                vectors = describer.embed([by_key[key] for key in keys]).float().cpu().numpy()
            self._keep(describer.name, zip(keys, vectors, strict=True))
        store.flush()

    def _missing(self, look: Look, describers: Sequence[Describer]) -> list[Describer]:
        return [describer for describer in describers if look.sha256 not in self._arrays[describer.name]]

    def _keep(self, name: str, described: Iterable[tuple[str, np.ndarray]]) -> None:
        for key, array in described:
            if np.isfinite(array).all():
                self._arrays[name][key] = array
                self._stores[name].add(key, array)
            else:
                self.not_finite.add(key)


def text_key(text: str) -> str:
    """Return the hash of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


class _Batch:
    """Pictures that wait until there are enough of them."""

    def __init__(self, describer: Describer):
        self.describer = describer
        self.waiting: dict[str, Tensor] = {}

    def add(self, key: str, prepared: Tensor) -> list[tuple[str, np.ndarray]]:
        """Take a picture, and return the features of a batch that it has filled."""
        self.waiting[key] = prepared
        return self.embedded() if len(self.waiting) == self.describer.batch else []

    @torch.no_grad()
    def embedded(self) -> list[tuple[str, np.ndarray]]:
        """Return the features of all that wait."""
        if not self.waiting:
            return []
        keys, stacked = list(self.waiting), torch.stack(list(self.waiting.values()))
        self.waiting = {}
        return list(zip(keys, self.describer.embed(stacked).float().cpu().numpy(), strict=True))


def _hash(path: Path) -> str | None:
    """Return the hash of a file, None where it cannot be read."""
    try:
        return sha256_of(path) if path.is_file() else None
    except OSError:
        return None
