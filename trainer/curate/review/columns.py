"""What the review page is told of the rows: a column for each thing that is filtered by or shown in the list.

Columns are lists, since a name such as `__proto__` in an object would be more than a name to a browser.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from ....uso_model.errors import UserError
from ..decisions import Decision, decided, seen
from ..pictures import Pictures
from ..pipeline import Progress
from ..steps import CONTENT, STYLE, TARGET, StepPlan
from ..where import Where
from .texts import pasteable, shown

__all__ = ["SHOWN", "choose_rows", "columns", "hashes"]

SHOWN = (TARGET, STYLE, CONTENT)
"""Pictures of a row, in the order of the page."""
_SHORT = 300
"""Letters of a text in the list; the details have more."""
_LONGEST = 1000
"""Letters of a text in an expression, which has to fit into a command line."""


def choose_rows(
    candidates: Iterable[Progress], where: Where, most: int, scores: Collection[str] = ()
) -> tuple[list[Progress], int]:
    """Return the rows to show in their order, and how many there are of which `where` holds.

    Where there are more than `most`, those with the smallest ids are shown: ids are hashes, so that this is a fair
    sample, and a run that grows keeps most of it.

    Args:
        candidates: the rows of a run.
        where: an expression over their scores.
        most: rows.
        scores: that `where` may ask for besides those that rows have.

    Raises:
        UserError: `where` asks for another score.
    """
    names = set(scores)
    count = 0

    def wanted() -> Iterable[tuple[int, Progress]]:
        nonlocal count
        for progress in candidates:
            own = progress.scores
            names.update(own)
            if where.holds(own):
                count += 1
                yield count, progress

    chosen = heapq.nsmallest(most, wanted(), key=lambda pair: pair[1].row.id)
    where.check(names)
    return [progress for _, progress in sorted(chosen, key=lambda pair: pair[0])], count


def columns(
    rows: Sequence[Progress], plans: Sequence[StepPlan], pictures: Pictures, decisions: Mapping[str, Decision]
) -> dict[str, Any]:
    """Return the columns of the rows, as the page reads them, and which of the pictures the steps make."""
    scores = [progress.scores for progress in rows]
    found = {name for row in scores for name, value in row.items() if not isinstance(value, str)}
    numbers = [name for plan in reversed(plans) for name in plan.scores if name in found]  # what says most first
    numbers += sorted(found - set(numbers))
    said = [(place, progress.row.id) for place, progress in enumerate(rows) if decided(progress, decisions) is not None]
    steps = {plan.name for plan in plans}
    layouts = _coded([str(progress.row.layout) for progress in rows])
    groups = _coded([str(row.get("group", "")) for row in scores])
    return {
        "needs": [place for place, name in enumerate(SHOWN) if name in steps],
        "ids": [progress.row.id for progress in rows],
        "keys": [shown(progress.row.key, _SHORT) for progress in rows],
        "subjects": [shown(progress.row.subject, _SHORT) for progress in rows],
        "prompts": [shown(progress.prompt, _SHORT) for progress in rows],
        "layouts": layouts,
        "groups": [[shown(text, _SHORT) for text in groups[0]], groups[1]],
        "wheres": {
            "layout": [_where("layout", text) for text in layouts[0]],
            "group": [_where("group", text) for text in groups[0]],
        },
        "standings": _coded([progress.standing for progress in rows]),
        "reasons": _coded([shown(progress.reason, _SHORT) for progress in rows]),
        "pictures": [hashes(progress, pictures) for progress in rows],
        "seen": [seen(progress.pictures) for progress in rows],
        "scores": [[name, [_finite(row.get(name)) for row in scores]] for name in numbers],
        "decisions": [[place, decisions[row].accept, decisions[row].time] for place, row in said],
    }


def hashes(progress: Progress, pictures: Pictures) -> list[str]:
    """Return the hash of each picture of `SHOWN`; empty where there is none, or a journal has something else."""
    found = []
    for name in SHOWN:
        stored = progress.pictures.get(name)
        try:
            found.append(pictures.path(stored.sha256).stem if stored else "")
        except UserError:
            found.append("")
    return found


def _where(name: str, text: str) -> str:
    """Return the expression of rows that have a text, empty where no command line can hold it."""
    return f"{name}='{text}'" if len(text) <= _LONGEST and "'" not in text and pasteable(text) else ""


def _finite(value: float | str | None) -> float | None:
    return value if isinstance(value, float) and math.isfinite(value) else None


def _coded(texts: Sequence[str]) -> list[Any]:
    """Return the texts that there are, and the place of each row's among them."""
    places: dict[str, int] = {}
    codes = [places.setdefault(text, len(places)) for text in texts]
    return [list(places), codes]
