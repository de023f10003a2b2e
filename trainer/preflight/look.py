"""All questions to a recipe, answered together."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from ...uso_model.errors import UserError
from ..data.findings import long_captions
from ..data.lazy_rows import chosen
from ..data.manifest import Row
from ..data.masks import Masks
from ..data.sources import TRAIN
from ..engine.launch import require_loggers
from ..engine.optimizer import require_usable
from ..engine.shard import require_shardable
from ..engine.shares import shares
from ..export.run import require_own_files
from ..family import token_counter
from ..monitor.prompts import require_references
from ..problems import Problems
from ..recipe import TrainConfig
from ..settings.data import DataConfig
from .files import examine, no_paths
from .judges import examine_judges
from .memory import short_of_memory
from .places import room, writable
from .rows import captions, read_rows, references

__all__ = ["Findings", "look", "require_ready"]

logger = logging.getLogger(__name__)


class Findings(NamedTuple):
    """What was found."""

    problems: list[str]
    """What would end the run."""
    notes: list[str]
    """What may be as intended."""


def look(config: TrainConfig, encoders: bool = True) -> Findings:
    """Ask everything that can be answered without encoding a picture or reading a network.

    Args:
        config: the recipe.
        encoders: look at the encoders' files too; False where others are given.
    """
    problems = no_paths(config)
    if problems:  # nothing else can be asked of such
        return Findings(problems, [])
    sizes = examine(config, problems, encoders)
    every = read_rows(config, problems)
    rows = chosen(every, lambda row: row.split == TRAIN and config.data.layout in (None, row.layout))
    wrong, notes = references(config, rows)
    examine_judges(config, rows, problems, notes, encoders)
    unwritable = list(writable(config))
    problems += [*wrong, *(unwritable or room(config, every, sizes))]
    processes = int(os.environ.get("WORLD_SIZE") or 1)
    if config.conditions.isolated and sizes.lora is not None and not sizes.lora.isolated:
        notes.append(
            "models.lora was trained with joint references; this run isolates them from its first step on, whose loss "
            "will be higher"
        )
    questions: list[Callable[[], object]] = [
        lambda: require_loggers(config.loop),
        # Some take steps on GPUs alone; where there is one, `train` tries it there.
        lambda: require_usable(config.loop, torch.device("cpu"), step=not torch.cuda.is_available()),
        lambda: notes.extend(_masks(config.data, every)),
        lambda: shares(config.loop, processes, 0),
        lambda: require_shardable(config.loop, processes, config.memory.in_ram),
        lambda: require_own_files(config),
        lambda: require_references(config.monitor),
    ]
    for ask in questions:
        try:
            ask()
        except UserError as error:
            problems.append(str(error))
    count = token_counter(config) if encoders and rows else None
    cut = [] if count is None else list(long_captions(rows, count))
    return Findings(problems, [*notes, *captions(rows), *cut, *_memory(config)])


def _memory(config: TrainConfig) -> list[str]:
    try:
        return list(short_of_memory(config))
    except UserError:  # a plan needs a recipe that can be followed; what is wrong with it stands in the problems
        return []


def _masks(settings: DataConfig, rows: Sequence[Row]) -> list[str]:
    """Return a note where targets have no mask."""
    note = Masks(settings, [row.target for row in rows]).note() if rows and settings.masks else None
    return [] if note is None else [note]


def require_ready(config: TrainConfig, encoders: bool = True, tell: bool = True) -> None:
    """Refuse a run that cannot end well, before anything is encoded.

    Args:
        config: the recipe.
        encoders: see `look`.
        tell: put the notes into the log; for the main process.

    Raises:
        Problems: there are some.
    """
    problems, notes = look(config, encoders)
    if problems:
        raise Problems(problems)
    for note in notes if tell else []:
        logger.warning("note: %s", note)
