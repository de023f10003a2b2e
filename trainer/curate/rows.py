"""Rows of the pictures of a source: which layouts, how many, and what each style reference shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from ..evaluate.shards import WHOLE, Shard
from .making.subjects import Subjects, read_subjects
from .recipe import CurateConfig
from .sources.source import Picture
from .steps import Layout, Row

__all__ = ["Rows", "rows_of", "subjects_of"]


@dataclass(frozen=True)
class Rows:
    """Rows that can be read more than once."""

    read: Callable[[], Iterable[Row]]
    """Begins anew at each call."""
    shard: Shard = WHOLE
    """Which of them; it hangs on the row's id alone, so that a source that grows moves none to another machine."""
    first: int | None = None
    """No more than so many."""

    def __iter__(self) -> Iterator[Row]:
        number, of = self.shard
        own = (row for row in self.read() if of == 1 or int(row.id[:12], 16) % of == number - 1)
        return islice(own, self.first)


def rows_of(
    pictures: Iterable[Picture], config: CurateConfig, subjects: Subjects | Sequence[str] | None = None
) -> Iterator[Row]:
    """Return the rows of each picture, those that keep the layout first; lists are read at once, pictures by and by.

    What a row's style reference shows follows from the row alone, so that a source that grows, or more rows of each
    picture, change no row that was there.

    Args:
        pictures: of the source.
        config: of the run.
        subjects: in the place of those that the recipe names; none or an empty list: those.

    Raises:
        UserError: there is no list of subjects.
    """
    if not isinstance(subjects, Subjects):
        subjects = read_subjects(list(subjects)) if subjects else subjects_of(config)
    return _rows(pictures, config, subjects)


def _rows(pictures: Iterable[Picture], config: CurateConfig, subjects: Subjects) -> Iterator[Row]:
    wanted: tuple[tuple[Layout, int], ...] = (("preserved", config.kept), ("shifted", config.shifted))
    for picture in pictures:
        about = dict(picture.about)
        for which, (layout, count) in enumerate(wanted):
            for number in range(count):
                id_ = Row.id_of(picture.key, layout, number)
                subject = subjects.choose(picture.key, len(wanted) * number + which, id_, about)
                yield Row(id_, picture.key, picture.fingerprint, layout, number, subject, about)


def subjects_of(config: CurateConfig) -> Subjects:
    """Return what style references are to show.

    Raises:
        UserError: there is no list of subjects.
    """
    return read_subjects(config.style.subjects) if config.style else Subjects({})
