"""Which rows of a run become the data set, and why the others do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ....uso_model.errors import UserError
from ...data.manifest import Row as Triplet
from ..decisions import Decision, decided
from ..pictures import FOLDER as PICTURES
from ..pictures import Stored
from ..pipeline import Pipeline, Progress
from ..steps import CONTENT, LOOK, STYLE, TARGET, Row
from ..where import Where
from .duplicates import BITS, hash_vectors, leaders
from .splits import Groups, assign

__all__ = ["Choice", "Chosen", "choose", "drop_duplicates", "split", "triplets"]


@dataclass
class Chosen:
    """A row that is accepted."""

    row: Row
    pictures: Mapping[str, Stored]
    prompt: str
    scores: Mapping[str, float | str]
    by_person: bool
    phash: str
    split: str = ""


@dataclass
class Choice:
    """The accepted rows, and how many of the others have each reason."""

    rows: list[Chosen] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    groups: Groups = field(default_factory=Groups)
    """Keys of pictures that are near duplicates."""


def choose(found: Iterable[Progress], pipeline: Pipeline, where: Where, decisions: Mapping[str, Decision]) -> Choice:
    """Return the rows that a person accepted, and those without a decision of which the expression holds."""
    choice = Choice()
    for progress in found:
        decision = decided(progress, decisions)
        reason = ""
        if pipeline.pictures - progress.pictures.keys():
            reason = f"{progress.standing}: {progress.reason}" if progress.reason else progress.standing
        elif decision is False:
            reason = "rejected by a person"
        elif decision is None and progress.standing != "complete":
            reason = f"{progress.standing}: {progress.reason}" if progress.reason else progress.standing
        elif decision is None and (part := where.failing(progress.scores)):
            reason = f"not {part}"
        if reason:
            choice.reasons[reason] += 1
            continue
        looks = progress.entries[LOOK].values.get("phash") if LOOK in progress.entries else None
        phash = looks.get(TARGET) if isinstance(looks, dict) else None
        choice.rows.append(
            Chosen(
                progress.row,
                progress.pictures,
                progress.prompt,
                progress.scores,
                decision is True,
                phash if isinstance(phash, str) else "",
            )
        )
    return choice


def drop_duplicates(
    choice: Choice, bits: int | None, vectors: Mapping[str, tuple[float, Mapping[str, np.ndarray]]]
) -> None:
    """Drop rows whose target is alike to that of a row of another picture before it, unless a person accepted them.

    Rows that people accepted come first and stay, then those of the source's order. Each is in one group with all that
    stay and are alike to it.

    Args:
        choice: of which rows are dropped.
        bits: of 64 in which the perceptual hashes of targets may differ; None: they are not compared.
        vectors: a cosine from which targets are alike and their vectors by SHA-256, for each judge by name.
    """
    first: dict[str, Chosen] = {}
    for one in sorted(choice.rows, key=lambda one: not one.by_person):
        first.setdefault(one.row.key, one)
    dropped: dict[str, str] = {}
    if bits is not None:
        seen = [one for one in first.values() if _is_hash(one.phash)]
        hashes = hash_vectors([one.phash for one in seen])
        reason = f"near duplicate: at most {bits} bits of pHash differ"
        dropped = _found(seen, hashes, 1 - 2 * bits / BITS, reason, choice)
    for judge, (least, kept) in vectors.items():
        staying = [one for one in first.values() if one.by_person or one.row.key not in dropped]
        seen = [one for one in staying if one.pictures[TARGET].sha256 in kept]
        if seen:
            stacked = np.stack([kept[one.pictures[TARGET].sha256] for one in seen]).astype(np.float32)
            reason = f"near duplicate: {judge} of two targets is {least:g} or more"
            dropped = _found(seen, stacked, least, reason, choice) | dropped
    for one in choice.rows:
        if one.row.key in dropped and not one.by_person:
            choice.reasons[dropped[one.row.key]] += 1
    choice.rows = [one for one in choice.rows if one.by_person or one.row.key not in dropped]


def _found(seen: list[Chosen], vectors: np.ndarray, least: float, reason: str, choice: Choice) -> dict[str, str]:
    """Return the keys that are alike to one that stays, each with the reason, and join their groups."""
    keys = [one.row.key for one in seen]
    leader = leaders(vectors, least, sum(one.by_person for one in seen))
    alike = np.flatnonzero(leader != np.arange(len(keys)))
    for place in alike:
        choice.groups.join([("picture", keys[place]), ("picture", keys[leader[place]])])
    return {keys[place]: reason for place in alike}


def _is_hash(text: str) -> bool:
    try:
        return 0 <= int(text, 16) < 1 << BITS
    except ValueError:
        return False


def split(choice: Choice, by: Iterable[str], name: str, share: float) -> None:
    """Give each row its split; see `assign`.

    Args:
        choice: whose rows get it.
        by: what keeps rows together beside their pictures: `style` and `subject` of what the source says.
        name: of the split that is taken out.
        share: of the groups that are to go there.
    """
    kinds = list(by)
    labels = []
    for one in choice.rows:
        told = [(kind, _plain(one.row.about.get(kind, ""))) for kind in kinds]
        joined = [(kind, name) for kind, name in told if name]
        joined.append(("picture", one.row.key))
        choice.groups.join(joined)
        labels.append(" ".join(joined[0]))
    groups = [choice.groups.of(("picture", one.row.key)) for one in choice.rows]
    stated = [str(one.row.about.get("split", "")) for one in choice.rows]
    found = assign(groups, labels, stated, name, share)
    choice.rows = [replace(one, split=into) for one, into in zip(choice.rows, found, strict=True)]


def _plain(name: object) -> str:
    """Return a name so that `A cat` and `a  cat` are one."""
    return " ".join(str(name).casefold().split())


def triplets(rows: Iterable[Chosen]) -> Iterator[Triplet]:
    """Yield rows as the trainer's manifest has them, with paths relative to the run.

    Raises:
        UserError: a row that the manifest's format does not allow.
    """
    for one in rows:
        path = {name: _path(stored) for name, stored in one.pictures.items()}
        try:
            yield Triplet(
                id=one.row.id,
                target=path[TARGET],
                style=[path[STYLE]] if STYLE in path else [],
                content=path.get(CONTENT),
                prompt=one.prompt,
                layout=one.row.layout,
                scores={name: value for name, value in one.scores.items() if isinstance(value, float)},
                split=one.split,
            )
        except ValueError as error:
            raise UserError(f"the row {one.row.id} is no triplet ({error}); make it again") from error


def _path(stored: Stored) -> Path:
    return Path(PICTURES, stored.sha256[:2], f"{stored.sha256}.png")
