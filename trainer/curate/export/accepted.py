"""The accepted rows of a run, or of any folder with a manifest, with what the source says of each."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ....uso_model.errors import UserError
from ....uso_model.untrusted import named, regular_file
from ...data.manifest import Row, read_manifest
from ...data.names import MANIFEST
from ...data.pictures import picture_ending
from ..ledger import Ledger
from ..made_of import require_own_pictures
from ..run_folder import RUN, candidates, read_run

__all__ = ["ABOUT", "Accepted", "Set", "accepted_set", "picture_bytes", "picture_size"]

ABOUT = ("licence", "subject", "group")
"""Texts that a row has besides those of the trainer's manifest; empty where the source does not say."""
_ABSENT = "put it back, or accept rows anew"
_HASH = re.compile(r"[0-9a-f]{64}")


class Accepted(NamedTuple):
    """A row to be exported."""

    row: Row
    """With absolute paths."""
    about: Mapping[str, str]
    """See `ABOUT`."""
    number: int
    """Place in the manifest, from 0: files of splits keep no order between rows of several."""

    def fields(self) -> dict[str, Any]:
        """Return all that is known of it but its pictures, by the names that every export uses."""
        row, about = self.row, {name: self.about.get(name, "") for name in ABOUT}
        told = {"id": row.id, "number": self.number, "prompt": row.prompt, "layout": row.layout, "split": row.split}
        return told | {"weight": row.weight, "scores": dict(row.scores)} | about


@dataclass(frozen=True)
class Set:
    """What is exported."""

    folder: Path
    rows: Sequence[Row]
    recipe: Mapping[str, Any] | None
    """How the pictures were made; None where a person put them together."""
    about: Mapping[str, Mapping[str, str]]
    """By the ids of rows."""
    made: int
    """Rows of the run, accepted or not."""

    def __iter__(self) -> Iterator[Accepted]:
        for number, row in enumerate(self.rows):
            yield Accepted(row, self.about.get(row.id, {}), number)


def accepted_set(folder: Path) -> Set:
    """Return the rows of `manifest.jsonl` in a folder, and of its run where it is one.

    Raises:
        UserError: there is no manifest, it is damaged, or rows were not accepted since other settings made them.
    """
    manifest = folder / MANIFEST
    if not folder.is_dir():
        raise UserError(f"{named(folder)} is not there; name the folder of a run of `uso curate run`")
    if not manifest.is_file():
        raise UserError(f"{named(folder)} has no accepted rows; choose them with `uso curate accept` first")
    rows = read_manifest(manifest, None)
    if not (folder / RUN).is_file():
        return Set(folder, rows, None, {}, len(rows))
    config, pipeline = read_run(folder)
    about, pictures = {}, {}
    for progress in candidates(pipeline, Ledger(folder)):
        pictures[progress.row.id] = progress.pictures
        said = progress.row.about
        about[progress.row.id] = {
            "licence": said.get("licence", ""),
            "subject": said.get("subject", ""),
            "group": said.get("style", ""),
        }
    require_own_pictures(folder, pipeline, rows, pictures)
    steps = {plan.name: dict(plan.settings) for plan in pipeline.plans}
    return Set(folder, rows, {"steps": steps, "reject": dict(config.reject)}, about, len(pictures))


def picture_size(path: Path) -> int:
    """Return how many bytes a picture's file has.

    Raises:
        UserError: it is not there.
    """
    return regular_file(path, _ABSENT).st_size


def picture_bytes(path: Path) -> tuple[bytes, str, str]:
    """Return a picture's bytes, their SHA-256, and the ending of their format, whatever the file is called.

    Raises:
        UserError: it cannot be read, is no picture, or is another one by now than its name, a hash, says.
    """
    regular_file(path, _ABSENT)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{named(path)} cannot be read ({error.strerror}); check its permissions") from error
    sha256 = hashlib.sha256(data).hexdigest()
    if _HASH.fullmatch(path.stem) and path.stem != sha256:
        raise UserError(f"{named(path)} is damaged; `uso curate verify` takes it out to be made again")
    ending = picture_ending(data, path.suffix)
    if ending is None:
        raise UserError(f"{named(path)} is no picture that can be read here; take its row out of the manifest")
    return data, sha256, ending
