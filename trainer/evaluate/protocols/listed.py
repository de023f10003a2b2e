"""USO-Bench's layout from a list of contents, styles and prompts.

Source: arXiv 2508.18966, sections 4.1 and F.1.2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ....uso_model.errors import UserError
from ....uso_model.untrusted import named, quoted
from ...settings.base import Settings
from ..bench import Row, Task
from .list_file import Content, Listing, Placed, Style, SubjectPrompt, read_list
from .protocol import Asked, Built, ProblemList
from .settings import ProtocolFile, drawn_by
from .store import Store

__all__ = ["Counts", "Listed"]

SUBJECT = "{subject}"
EMPTY = "empty"
"""Id of the empty prompt, which keeps the layout."""
_LISTS = ("list.jsonl", "list.yaml", "list.yml")


class Counts(Settings):
    """How many entries of each kind a protocol has."""

    person: int
    object: int
    style: int
    subject_prompt: int
    style_prompt: int


class _Known(NamedTuple):
    """An entry with the keys of its pictures; the first in `fed` order is the reference."""

    entry: Content | Style
    keys: list[str]
    fed: str


class Listed(ProtocolFile):
    """The protocol."""

    counts: Counts
    exact: bool
    """Refuse other counts."""
    licences: bool
    """Refuse pictures without a licence."""
    photos: int
    """Least pictures of a content."""

    def build(self, source: Path | None, store: Store, asked: Asked, problems: ProblemList) -> Built:
        """Return rows of the four tasks.

        Raises:
            UserError: the source is no list, or has other counts than a protocol that is exact.
        """
        path = self._list(source)
        listing = read_list(path, problems)
        notes = self._counted(path, listing)
        cut: Listing = {kind: entries[: asked.limit] for kind, entries in listing.items()}
        owners: dict[str, tuple[str, str]] = {}
        contents = list(self._known(path.parent, cut["content"], self.photos, store, owners, problems))
        styles = list(self._known(path.parent, cut["style"], 1, store, owners, problems))
        prompts = [placed.entry for placed in cut["subject_prompt"] if _names_subject(placed, problems)]
        rows = [*self._rows(contents, styles, prompts, cut["style_prompt"], asked)]
        return self.built(rows, asked, notes)

    def _list(self, source: Path | None) -> Path:
        if source is None:
            raise UserError(f"{self.name} needs a list of pictures and prompts; name its file")
        if not source.is_dir():
            return source
        there = [source / name for name in _LISTS if (source / name).is_file()]
        if len(there) != 1:
            found = "several lists" if there else "no list"
            raise UserError(f"{named(source)} holds {found} ({', '.join(_LISTS)}); name the list's file")
        return there[0]

    def _counted(self, path: Path, listing: Listing) -> list[str]:
        """Return a note on each count that is not the protocol's."""
        types = [placed.entry.type for placed in listing["content"]]
        got = {"person": types.count("person"), "object": types.count("object")}
        got |= {kind: len(entries) for kind, entries in listing.items() if kind != "content"}
        wanted = self.counts.model_dump()
        other = [
            f"{got[kind]} of {wanted[kind]} {kind.replace('_', ' ')}s" for kind in wanted if got[kind] != wanted[kind]
        ]
        if other and self.exact:
            raise UserError(
                f"{quoted(path.name)} has {', '.join(other)}: {self.name} has its paper's counts; complete the list, "
                "or build it as openstyle"
            )
        return [f"the list has {', '.join(other)}"] if other else []

    def _known(
        self,
        folder: Path,
        entries: Iterable[Placed],
        least: int,
        store: Store,
        owners: dict[str, tuple[str, str]],
        problems: ProblemList,
    ) -> Iterator[_Known]:
        """Yield entries with their pictures, without those that have too few."""
        for place, entry in entries:
            keys = []
            for photo in entry.pictures:
                if self.licences and not photo.licence.strip():
                    problems.add(place, f"{quoted(photo.path)} has no licence; state it, or use another picture")
                    continue
                try:
                    key = store.add(folder / photo.path, photo.source, photo.licence, photo.sha256)
                except (UserError, OSError) as error:
                    problems.add(place, error)
                    continue
                kind = "style" if isinstance(entry, Style) else "content"
                mine = (f"{kind} {quoted(entry.id)}", place)
                whose, where = owners.setdefault(store.pixels(key), mine)
                if (whose, where) != mine:
                    told = f"{quoted(photo.path)} of {mine[0]} is a picture of {whose}, too ({where}); use another one"
                    problems.add(place, told)
                elif key not in keys:
                    keys.append(key)
            if len(keys) < least:
                told = f"{quoted(entry.id)} has {len(keys)} pictures that can be used, expected {least} or more"
                problems.add(place, f"{told}; add others, or take it out")
                continue
            yield _Known(entry, keys, keys[drawn_by(f"{self.name}/{entry.id}", len(keys))])

    def _rows(
        self,
        contents: list[_Known],
        styles: list[_Known],
        prompts: list[SubjectPrompt],
        style_prompts: list[Placed],
        asked: Asked,
    ) -> Iterator[Row]:
        for content in contents:
            for prompt in _for(content, prompts):
                yield self._row("subject", asked, prompt.id, _put(prompt.text, content), content=content)
        for style in styles:
            for _, prompt in style_prompts:
                yield self._row("style", asked, prompt.id, prompt.text, style=style)
        for content in contents:
            for style in styles:
                yield self._row("joint_kept", asked, EMPTY, "", content, style)
        shifted = [prompt for prompt in prompts if prompt.form == "descriptive"]
        for content in contents:
            for style in styles:
                for prompt in _for(content, shifted):
                    yield self._row("joint_shifted", asked, prompt.id, _put(prompt.text, content), content, style)

    def _row(
        self,
        task: Task,
        asked: Asked,
        prompt_id: str,
        prompt: str,
        content: _Known | None = None,
        style: _Known | None = None,
    ) -> Row:
        names = [known.entry.id if known is not None else "" for known in (content, style)]
        digest = hashlib.sha256("\0".join([*names, prompt_id]).encode("utf-8", "replace")).hexdigest()
        return Row(
            id=f"{task.replace('_', '-')}-{digest[:20]}",
            task=task,
            prompt=prompt,
            prompt_id=prompt_id,
            style=style.fed if style else None,
            content=content.fed if content else None,
            subject=names[0] or None,
            style_name=names[1] or None,
            against_subject=content.keys if content else [],
            against_style=style.keys if style else [],
            samples=self.samples_of(task, asked),
        )


def _names_subject(placed: Placed, problems: ProblemList) -> bool:
    if placed.entry.form == "instructive" or SUBJECT in placed.entry.text:
        return True
    problems.add(placed.place, f"the prompt has no {SUBJECT}, for which the content's word is put; add it")
    return False


def _for(content: _Known, prompts: Iterable[SubjectPrompt]) -> Iterator[SubjectPrompt]:
    assert isinstance(content.entry, Content)
    return (prompt for prompt in prompts if prompt.of in ("any", content.entry.type))


def _put(text: str, content: _Known) -> str:
    assert isinstance(content.entry, Content)
    return text.replace(SUBJECT, content.entry.name)
