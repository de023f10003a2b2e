"""Splits without leaks: rows that share a picture, a style group or a subject go to one split together."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Sequence

__all__ = ["TRAIN", "Groups", "assign"]

TRAIN = "train"


class Groups:
    """Sets of rows that belong together, joined step by step."""

    def __init__(self) -> None:
        self._above: dict[Hashable, Hashable] = {}

    def join(self, labels: Iterable[Hashable]) -> None:
        """Put all labels into one group."""
        roots = [self.of(label) for label in labels]
        for root in roots[1:]:
            self._above[self.of(root)] = self.of(roots[0])

    def of(self, label: Hashable) -> Hashable:
        """Return the group of a label."""
        path = []
        while (above := self._above.get(label, label)) != label:
            path.append(label)
            label = above
        for passed in path:
            self._above[passed] = label
        return label


def assign(
    groups: Sequence[Hashable], labels: Sequence[str], stated: Sequence[str], name: str, share: float
) -> list[str]:
    """Return the split of each row.

    A split that the source states is taken over by the whole group, and one that is not `train` before `train`. Of
    the other groups those go to the split `name` whose hash is small, so that a set that grows moves no row, as long
    as no new row joins two groups. If none is, the one with the smallest hash goes there; a single group is `train`.

    Args:
        groups: of each row.
        labels: what a row is in its group by, such as its style; a group's hash is the least of its labels'.
        stated: split of each row, or "".
        name: of the split that is taken out.
        share: of the groups that are to go there, 0 to 1.
    """
    hashes: dict[Hashable, int] = {}
    states: dict[Hashable, set[str]] = {}
    for group, label, split in zip(groups, labels, stated, strict=True):
        hash_ = int(hashlib.sha256(label.encode("utf-8", "surrogatepass")).hexdigest()[:13], 16)
        hashes[group] = min(hashes.get(group, hash_), hash_)
        states.setdefault(group, set()).update({split} - {""})
    found = {group: min(sorted(told), key=lambda split: split == TRAIN) for group, told in states.items() if told}
    free = [group for group in hashes if group not in found]
    taken = {group for group in free if _uniform(hashes[group]) < share}
    if share > 0 and not taken and len(free) > 1 and name not in found.values():
        taken = {min(free, key=lambda group: hashes[group])}
    return [found.get(group) or (name if group in taken else TRAIN) for group in groups]


def _uniform(hash_: int) -> float:
    """Return a hash as a number of 0 to 1, made anew: the least of many hashes is small."""
    return int(hashlib.sha256(str(hash_).encode()).hexdigest()[:13], 16) / 16**13
