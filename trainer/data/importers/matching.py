"""References that belong to targets by their names: `a.png` to `a.jpg`, or `a_0.png`, `a_1.png` to `a.jpg`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from ....uso_model.errors import UserError
from .found import Found

__all__ = ["matched"]

_NUMBERED = re.compile(r"(.+)_([0-9]{1,9})", re.DOTALL)
_LISTED = 5


def matched(
    targets: Sequence[Path], folder: Path, references: Sequence[Path], found: Found, base: Path | None = None
) -> dict[Path, list[Path]]:
    """Return the references of each target, those of a number in its order.

    Of several of one stem, `a.png` and `a.jpg`, the one with the target's whole name is taken. A target named `a_0` has
    the reference `a_0`, which then is none of `a`. References that belong to no target are counted; what targets of one
    stem share is remembered.

    Args:
        targets: pictures below `base`.
        folder: of the references.
        references: pictures below `folder`; sub-folders must be the same.
        found: where what belongs to nothing is counted.
        base: folder of the targets; None: names alone count.

    Raises:
        UserError: two references could be meant, with their names.
    """
    stems: dict[Path, list[Path]] = defaultdict(list)
    for target in targets:
        stems[_stem(target, base)].append(target)
    plain: dict[Path, list[Path]] = defaultdict(list)
    numbered: dict[Path, dict[int, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for reference in references:
        stem = _stem(reference, None if base is None else folder)
        number = _NUMBERED.fullmatch(stem.name)
        if stem in stems:
            plain[stem].append(reference)
        elif number and stem.with_name(number[1]) in stems:
            numbered[stem.with_name(number[1])][int(number[2])].append(reference)
        else:
            found.skipped["references without a target"] += 1
    pairs: dict[Path, list[Path]] = {}
    doubtful: list[str] = []
    for stem, owners in stems.items():
        for target in owners:
            chosen = _one(plain[stem], target, doubtful) if stem in plain else []
            of_numbers = numbered.get(stem, {})
            for place in sorted(of_numbers):
                chosen += _one(of_numbers[place], target, doubtful)
            pairs[target] = chosen
            for reference in chosen if len(owners) > 1 else ():
                found.share("reference", reference, target)
    if doubtful:
        more = f"; and {len(doubtful) - _LISTED} more" if len(doubtful) > _LISTED else ""
        raise UserError(
            f"in {folder} more than one picture could be meant: {'; '.join(doubtful[:_LISTED])}{more}. Remove or "
            "rename the others"
        )
    return pairs


def _stem(path: Path, base: Path | None) -> Path:
    return (Path(path.name) if base is None else path.relative_to(base)).with_suffix("")


def _one(candidates: list[Path], target: Path, doubtful: list[str]) -> list[Path]:
    if len(candidates) == 1:
        return candidates[:1]
    same = [candidate for candidate in candidates if candidate.name == target.name]
    if not same:
        doubtful.append(f"{' and '.join(candidate.name for candidate in candidates)} for {target.name}")
    return same
