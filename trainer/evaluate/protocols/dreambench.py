"""DreamBench: subjects in new places, from the folder of the DreamBooth data set.

Source: Ruiz et al. 2023, "DreamBooth"; github.com/google/dreambooth, dataset/prompts_and_classes.txt.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from ....uso_model.errors import UserError
from ....uso_model.picture_formats import PICTURE_SUFFIXES
from ....uso_model.untrusted import named
from ...settings.base import Settings
from ..bench import Row
from .protocol import Asked, Built, ProblemList
from .settings import ProtocolFile, drawn_by
from .store import Store

__all__ = ["DreamBench", "Subject"]

SUBJECT = "{subject}"
"""In a prompt, the word for the subject's class."""


class Subject(Settings):
    """A folder of the data set."""

    class_word: str
    live: bool = False
    """Which of the two lists of prompts it has."""


class DreamBench(ProtocolFile):
    """The protocol."""

    source: str
    """Of the data set."""
    licence: str
    subjects: dict[str, Subject]
    object_prompts: list[str] = Field(min_length=1)
    live_prompts: list[str] = Field(min_length=1)

    def build(self, source: Path | None, store: Store, asked: Asked, problems: ProblemList) -> Built:
        """Return a row for each subject and prompt; one reference is fed, all pictures are compared with.

        Raises:
            UserError: the source is no folder of the data set.
        """
        if source is None or not source.is_dir():
            raise UserError(f"got {source} as the source, expected a folder with the contents of {self.source}")
        folder = source / "dataset" if (source / "dataset").is_dir() else source
        if not any((folder / name).is_dir() for name in self.subjects):
            some = ", ".join(list(self.subjects)[:3])
            raise UserError(f"{named(folder)} has no folder {some} ...; get the contents of {self.source}")
        rows = []
        for name, subject in list(self.subjects.items())[: asked.limit]:
            keys = self._pictures(folder / name, store, problems)
            if not keys:
                continue
            fed = keys[drawn_by(f"{self.name}/{name}", len(keys))]
            prompts = self.live_prompts if subject.live else self.object_prompts
            for number, template in enumerate(prompts[: asked.limit], start=1):
                rows.append(
                    Row(
                        id=f"{name.replace('_', '-')}-{number:02d}",
                        task="subject",
                        prompt=template.replace(SUBJECT, subject.class_word),
                        prompt_id=template,
                        content=fed,
                        subject=name,
                        against_subject=keys,
                        samples=self.samples_of("subject", asked),
                    )
                )
        return self.built(rows, asked, [])

    def _pictures(self, folder: Path, store: Store, problems: ProblemList) -> list[str]:
        """Return the keys of a subject's pictures."""
        keys = []
        files = sorted(path for path in folder.glob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
        if not files:
            problems.append(f"{named(folder)} is not there or empty; get the whole of {self.source}")
        for path in files:
            try:
                keys.append(store.add(path, f"{self.source}, {folder.name}/{path.stem}", self.licence))
            except (UserError, OSError) as error:
                problems.append(str(error))
        return list(dict.fromkeys(keys))
