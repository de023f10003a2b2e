"""What the numbers of a model stand between: real pictures in the drawings' place, and references of others."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .bench import TASKS, Row

__all__ = ["Real", "real_pictures", "shuffled_references"]

_SEED = 0
_NOTHING: dict[str, object] = {"prompt": "", "content": None, "style": None, "against_subject": [], "against_style": []}


class Real(NamedTuple):
    """A real picture in the place of a drawing."""

    row: Row
    """What it is compared with: the row without the picture itself."""
    key: str
    """Of the picture, in `Bench.pictures`."""
    number: int
    what: str
    """Of what it is: `subject`, `style`, or `target` for one that is just what the row asks for."""


def real_pictures(rows: Sequence[Row]) -> Iterator[Real]:
    """Yield for each task each picture of a subject against the others of it, and each other picture of a style.

    A row with a target has that and nothing else.
    Prompts do not matter here, so a subject and a style come once for each task.
    """
    seen: set[tuple[str, str, str | None]] = set()
    for row in rows:
        if row.target is not None:
            yield Real(row, row.target, 0, "target")
            continue
        for what, name, keys in (
            ("subject", row.subject, row.against_subject),
            ("style", row.style_name, row.against_style),
        ):
            if name is None or (row.task, what, name) in seen:
                continue
            seen.add((row.task, what, name))
            for number, key in enumerate(keys):
                left = [other for other in keys if other != key]
                # The fed picture of a style is what the others are compared with: each pair comes once.
                if not left or (what == "style" and key == row.style):
                    continue
                change: dict[str, object] = {"prompt": "", "prompt_id": ""}
                if what == "subject":
                    # The fed picture is compared with another: with itself it would be a perfect copy.
                    change |= {"against_subject": left, "content": row.content if key != row.content else left[0]}
                else:
                    change |= {"against_style": left}
                yield Real(row.model_copy(update=change), key, number, what)


def shuffled_references(rows: Sequence[Row], seed: int = _SEED) -> dict[str, Row]:
    """Return each row's id with the row as if it had references of another subject and of another style.

    Within a task, subjects are exchanged by a seeded permutation that leaves none in its place, and so are styles.
    A task with one of them has no others: its rows are left out. The rows of all shards are needed, so that each shard
    exchanges alike.
    """
    found: dict[str, Row] = {}
    for task in TASKS:
        own = [row for row in rows if row.task == task]
        subjects = {row.subject: row for row in reversed(own) if row.subject is not None}
        styles = {row.style_name: row for row in reversed(own) if row.style_name is not None}
        rng = random.Random(f"{seed}/{task}")
        of_subject, of_style = _exchanged(sorted(subjects), rng), _exchanged(sorted(styles), rng)
        for row in own:
            # Nothing of the row's own stays, or the least that can be had would be more than that.
            change: dict[str, object] = dict(_NOTHING)
            facts = dict(row.facts)
            if row.subject is not None and of_subject:
                other = subjects[of_subject[row.subject]]
                change |= {
                    "content": other.content,
                    "against_subject": other.against_subject,
                    "strangers": other.strangers,
                }
                facts["subject"] = other.facts.get("subject")
            if row.style_name is not None and of_style:
                other = styles[of_style[row.style_name]]
                change |= {"style": other.style, "against_style": other.against_style, "style_name": other.style_name}
                facts["style"] = other.facts.get("style")
            if change != _NOTHING:
                found[row.id] = row.model_copy(update={**change, "facts": facts})
    return found


def _exchanged(names: Sequence[str], rng: random.Random) -> dict[str, str]:
    """Return each name's other name; empty where there is but one.

    Source: Sattolo 1986, "An algorithm to generate a random cyclic permutation"; a cycle leaves nothing in its place.
    """
    if len(names) < 2:
        return {}
    mixed = list(names)
    for last in range(len(mixed) - 1, 0, -1):
        other = rng.randrange(last)
        mixed[last], mixed[other] = mixed[other], mixed[last]
    return dict(zip(names, mixed, strict=True))
