"""Manifest rows to encoded samples, from the cache or from the encoders on the first time."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from functools import cached_property, partial
from itertools import chain
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ...uso_model.errors import UserError
from ...uso_model.packing import PIXELS_PER_LATENT
from ...uso_model.style import StyleFeatures
from ..encoders import Encoders, Gaussian
from ..encoders.judges import rewarding
from ..engine.randomness import StepRandom
from ..recipe import Against, TrainConfig
from ..settings.monitor import PromptConfig
from .absent import Absent
from .batch import Sample
from .cache import Cache
from .encodings import Encoding, encodings
from .lazy_rows import chosen
from .manifest import Row
from .masks import Masks
from .order import BatchOrder, drawn, layout_groups

__all__ = ["TripletDataset"]

logger = logging.getLogger(__name__)


class TripletDataset:
    """The rows of a stage and their encodings."""

    def __init__(
        self,
        rows: Sequence[Row],
        encoders: Encoders,
        cache: Cache,
        config: TrainConfig,
    ):
        """Keep the rows that have what the stage needs: a style reference or, where content is carried, either one.

        Args:
            rows: of one or several manifests.
            encoders: frozen encoders.
            cache: where their outputs are kept.
            config: says what samples carry: style references in every stage but `base`, content references in stage
                `triplet`, what a reward compares with. Of `loop` the batch, the micro-batch (rows that should have one
                shape) and the seed of the order count. `monitor.prompts` are encoded too.

        Raises:
            UserError: no row is left, with what removed how many; `preserved_share` asks for rows of a layout that is
                not there; or a judge of the reward is not among the encoders.
        """
        settings = config.data
        self._cache, self._settings, self._loop = cache, settings, config.loop
        self._style, self._content = config.stage != "base", config.stage == "triplet"
        self._style_path = config.conditions.style_path
        self._against = {name: judge.against for name, judge in rewarding(config, encoders).items()}
        self._prompts = config.monitor.prompts if config.monitor.samples_every else []
        self._run = config.loop.micro_batch or config.loop.batch_size
        self._encodings = encodings(encoders, settings)
        of_layout = chosen(rows, lambda row: settings.layout in (None, row.layout))
        self.rows = chosen(of_layout, self._has_what_is_needed)
        if not self.rows:
            needed = "style or content reference" if self._content else "style reference"
            raise UserError(
                f"no row is left of {len(rows)}: {len(rows) - len(of_layout)} are not of layout {settings.layout}, "
                f"{len(of_layout)} have no {needed}, which this stage needs; check the manifest with `uso check`"
            )
        self._absent = Absent(logger, "the row goes on without it")
        self._groups, self._shares = layout_groups([row.layout for row in self.rows], settings.preserved_share)
        self._masks = None if settings.masks is None else Masks(settings, [row.target for row in self.rows])

    def _has_what_is_needed(self, row: Row) -> bool:
        return not self._style or bool(row.style) or (self._content and bool(row.contents))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def epoch(self) -> int:
        """Samples of an epoch; the rows must have been encoded."""
        return len(self._order)

    def batch(self, random: StepRandom) -> list[Sample]:
        """Return the samples of a micro-batch."""
        return [self.sample(row, random, place) for place, row in enumerate(self._chosen(random))]

    def names(self, random: StepRandom) -> list[str]:
        """Return the ids of the rows of a micro-batch."""
        return [row.id for row in self._chosen(random)]

    def sample(self, row: Row, random: StepRandom, place: int) -> Sample:
        """Return one row, encoded; what is random about it comes from row `place` of `random`."""
        draw = torch.rand((), generator=random.row(place, "text")).item()
        txt, vec = self.text("" if draw < self._settings.text_dropout else row.prompt)
        other = random.row(place, "pooled text")
        if torch.rand((), generator=other).item() < self._settings.pooled_shuffle:
            _, vec = self.text(self.rows[int(torch.randint(len(self.rows), (), generator=other))].prompt)
        styles = self._there(drawn(row.style, self._settings.styles, random.row(place, "styles")))
        contents = self._contents(row, random, place)
        mirrored = torch.rand((), generator=random.row(place, "flip")).item() < self._settings.flip
        target = self._latent(self._encodings.target[self._size(random, place), mirrored], row.target)
        noise = random.row(place, "content")
        height, width = target.mean.shape[1:]
        return Sample(
            id=row.id,
            latent=target.sample(random.row(place, "target")),
            weight=None if self._masks is None else self._masks.weight(row.target, width, height, mirrored),
            txt=txt,
            vec=vec,
            styles=tuple(self._features(path) for path in styles) if self._style_path == "siglip" else (),
            style_latents=self._style_latents(styles, random.row(place, "style latents")),
            contents=tuple(self._latent(self._encodings.content[mirrored], p).sample(noise) for p in contents),
            descriptors=self._descriptors({"style": styles, "content": contents}),
            style_paths=tuple(styles),
            content_paths=tuple(contents),
        )

    def plain(self) -> TripletDataset:
        """Return the rows as they are, for looking at them: with their prompts, not mirrored, at the largest size."""
        found = copy(self)
        found._settings = self._settings.plain()
        return found

    def prompted(self, asked: PromptConfig) -> Sample:
        """Return a prompt of one's own, encoded, with all of its references; its latent `c h w` is empty."""
        txt, vec = self.text(asked.prompt)
        generator = torch.Generator().manual_seed(asked.seed)
        size = self._settings.sizes[-1]
        channels = self._latent(self._encodings.target[size, False], self.rows[0].target).mean.shape[0]
        width, height = (side // PIXELS_PER_LATENT for side in asked.size or (size, size))
        styles, contents = self._there(asked.style), asked.contents if self._content else []
        return Sample(
            id=asked.prompt,
            latent=torch.zeros(channels, height, width),
            txt=txt,
            vec=vec,
            styles=tuple(self._features(path) for path in styles) if self._style_path == "siglip" else (),
            style_latents=self._style_latents(styles, generator),
            contents=tuple(self._latent(self._encodings.content[False], p).sample(generator) for p in contents),
            style_paths=tuple(styles),
            content_paths=tuple(contents),
        )

    def text(self, prompt: str) -> tuple[Tensor, Tensor]:
        """Return the text tokens `L D` and the pooled text `D` of a prompt."""
        found = self._encoded(self._encodings.text, prompt)
        return found["txt"].float(), found["vec"].float()

    def prepare(self, progress: Callable[[int, int], None] | None = None, begin: float = 0.0) -> None:
        """Encode all that the cache lacks, one encoder after the other, so that only one need be loaded at a time.

        Args:
            progress: called with how many of the lacking inputs are done, and how many there are.
            begin: share of the lacking inputs after which to begin; those before it come last, and what another
                process has made in the meantime is skipped.

        Raises:
            UserError: a picture is absent or damaged.
        """
        lacking = {}
        for encoding, what in self._jobs():
            entry = self._cache.entry(what, encoding.recipe)
            if entry not in lacking and not entry.is_file():
                lacking[entry] = encoding, what
        jobs = list(lacking.items())
        first = int(begin * len(jobs))
        for done, (entry, (encoding, what)) in enumerate(jobs[first:] + jobs[:first], start=1):
            if not entry.is_file():
                self._encoded(encoding, what)
            if progress is not None:
                progress(done, len(lacking))

    def entries(self) -> set[Path]:
        """Return the files of the cache that belong to these rows; `Cache.prune` removes the others."""
        return {self._cache.entry(what, encoding.recipe) for encoding, what in self._jobs()}

    def fingerprint(self) -> str:
        """Return the SHA-256 of the rows and of the bytes of their pictures."""
        digest = self._cache.digest
        parts = hashlib.sha256()
        for row in self.rows:
            contents = [digest(path) for path in row.contents]
            content = contents if len(contents) > 1 else contents[0] if contents else None
            pictures = [digest(row.target), [digest(path) for path in row.style], content]
            weight = [] if row.weight == 1 else [row.weight]
            parts.update(json.dumps([row.id, row.prompt, row.layout, *pictures, *weight]).encode())
        for mask in () if self._masks is None else self._masks.files:
            parts.update(digest(mask).encode())
        return parts.hexdigest()

    def _jobs(self) -> Iterator[tuple[Encoding, str | Path]]:
        """Yield all that is encoded, grouped by encoder."""
        kinds = self._encodings
        prompts, own = [one.prompt for one in self._prompts], [one.style for one in self._prompts]
        yield kinds.text, ""
        yield from ((kinds.text, prompt) for prompt in chain((row.prompt for row in self.rows), prompts))
        asked = chain((row.style for row in self.rows), own)
        styles = [path for paths in asked for path in paths] if self._style else []
        if self._style_path == "vae":
            yield from ((kinds.content[False], path) for path in styles)
        elif self._settings.style_features == "cached":
            yield from ((kinds.style, path) for path in styles)
        contents = [path for row in self.rows for path in row.contents] if self._content else []
        for name, against in self._against.items():
            yield from ((kinds.judges[name], path) for path in (styles if against == "style" else contents))
        for kind in kinds.target.values():
            yield from ((kind, row.target) for row in self.rows)
        for kind in kinds.content.values():
            yield from ((kind, path) for path in contents)
        if self._content:
            yield from ((kinds.content[False], path) for one in self._prompts for path in one.contents)

    def _chosen(self, random: StepRandom) -> list[Row]:
        numbers = self._order.rows(random.step)[random.first : random.first + random.rows]
        return [self.rows[number] for number in numbers]

    @cached_property
    def _order(self) -> BatchOrder:
        # Shapes are read from the cache, so this waits until `prepare` has filled it.
        shapes = [self._shape(row) if self._run > 1 else None for row in self.rows]
        weights = [row.weight for row in self.rows]
        loop = self._loop
        return BatchOrder(self._groups, self._shares, shapes, loop.batch_size, self._run, loop.seed, weights)

    def _shape(self, row: Row) -> tuple[object, ...]:
        """Return what must be equal for rows to go through the network together."""

        def latent(encoding: Encoding, path: Path) -> tuple[int, ...]:
            return self._cache.shapes(path, encoding.recipe, partial(encoding.encode, path))["mean"]

        # Mirrored pictures have the shape of those that they mirror.
        targets = [latent(self._encodings.target[size, False], row.target) for size in self._settings.sizes]
        contents = [latent(self._encodings.content[False], path) for path in row.contents] if self._content else []
        return *targets, min(len(row.style), self._settings.styles) if self._style else 0, *contents

    def _contents(self, row: Row, random: StepRandom, place: int) -> list[Path]:
        return drawn(row.contents, self._settings.contents, random.row(place, "contents")) if self._content else []

    def _size(self, random: StepRandom, place: int) -> int:
        """Return the size of a sample; rows that should go through the network together have the same."""
        sizes = self._settings.sizes
        if len(sizes) == 1:
            return sizes[0]
        first = (random.first + place) // self._run * self._run
        return sizes[int(torch.randint(len(sizes), (), generator=random.row(first - random.first, "size")))]

    def _style_latents(self, styles: Sequence[Path], generator: torch.Generator) -> tuple[Tensor, ...]:
        if self._style_path != "vae":
            return ()
        return tuple(self._latent(self._encodings.content[False], path).sample(generator) for path in styles)

    def _there(self, styles: Sequence[Path]) -> list[Path]:
        """Return the style references that are fed: of those that are encoded anew each time, what can be opened."""
        online = self._settings.style_features == "online" and self._style_path == "siglip"
        return self._absent.there(styles) if self._style and online else list(styles) if self._style else []

    def _latent(self, encoding: Encoding, path: Path) -> Gaussian:
        found = self._encoded(encoding, path)
        logvar = found.get("logvar")
        return Gaussian(found["mean"].float(), None if logvar is None else logvar.float())

    def _features(self, path: Path) -> StyleFeatures:
        online = self._settings.style_features == "online"
        kind = self._encodings.style
        found = kind.encode(path) if online else self._encoded(kind, path)
        return StyleFeatures(*(found[name].float() for name in StyleFeatures._fields))

    def _descriptors(self, references: Mapping[Against, Sequence[Path]]) -> dict[str, Tensor]:
        """Return the middle of the references that each judge compares with; a mirrored row has those of the files."""
        found = {}
        for name, against in self._against.items():
            kind = self._encodings.judges[name]
            descriptors = [self._encoded(kind, path)["descriptor"] for path in references[against]]
            if descriptors:
                found[name] = F.normalize(torch.stack(descriptors).mean(dim=0), dim=0)
        return found

    def _encoded(self, encoding: Encoding, what: str | Path) -> dict[str, Tensor]:
        return self._cache.get(what, encoding.recipe, partial(encoding.encode, what))
