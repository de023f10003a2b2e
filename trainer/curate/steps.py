"""What a step is: a pure function of a row and of other steps' results, with an id of all that decides it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol, get_args, runtime_checkable

from PIL import Image
from pydantic import TypeAdapter

from ..data.manifest import Layout
from .entry import DRAWN, Entry
from .pictures import Pictures

__all__ = [
    "LAYOUTS",
    "NAMES",
    "Again",
    "Checked",
    "Choosy",
    "Expert",
    "Rejected",
    "Request",
    "Result",
    "Row",
    "Step",
    "StepPlan",
    "Task",
    "step_id",
]

TARGET, STYLE, CONTENT = DRAWN
LOOK, MEASURES, LIKENESS, CAPTION, VLM = "look", "measures", "likeness", "caption", "vlm"
NAMES = (*DRAWN, LOOK, MEASURES, LIKENESS, CAPTION, VLM)
"""Of the steps, in their order; the first three make the picture of their name. There is a step `likeness_JUDGE` for
each judge."""

LAYOUTS = "layouts"
"""Among a plan's settings: those that decide the rows of one layout alone, by layout."""


@dataclass(frozen=True)
class Row:
    """A triplet that is to be made of a source picture."""

    id: str
    """A hash of `key`, `layout` and `number`; ids and not names become paths."""
    key: str
    """Of the picture in its source, such as `b/1.png` or `0001.tar/17.jpg`."""
    fingerprint: str
    """Of the picture's file, cheap to tell, such as size and time; a changed one is read again."""
    layout: Layout
    number: int = 0
    """Among the rows of one picture and one layout."""
    subject: str = ""
    """What the style reference is to show."""
    about: Mapping[str, str] = field(default_factory=dict)
    """What the source says: `prompt`, `subject`, `style` (name of its group), `licence`, `split`."""

    @staticmethod
    def id_of(key: str, layout: Layout, number: int) -> str:
        """Return the id of a row."""
        return _digest([key, layout, number])

    def told(self) -> dict[str, Any]:
        """Return it as JSON; see `listing`."""
        return {**vars(self), "about": dict(self.about)}

    @classmethod
    def read(cls, told: Any) -> Row | None:
        """Return the row that `told` has told of, None where a stranger's journal holds something else."""
        try:
            row = cls(**told)
            texts = [row.id, row.key, row.fingerprint, row.subject, *row.about, *row.about.values()]
        except (TypeError, AttributeError):
            return None
        plain = all(isinstance(text, str) for text in texts) and type(row.number) is int
        return row if plain and row.layout in get_args(Layout) else None


@dataclass(frozen=True)
class StepPlan:
    """All that must be known of a step to tell whether it was done; kept in `run.yaml`."""

    name: str
    needs: tuple[str, ...] = ()
    """Steps whose pictures and values it reads."""
    reads: tuple[str, ...] = ()
    """What it reads of a row: names of fields, `about.NAME` of what the source says."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What else decides its result, with hashes of files; no thresholds, addresses or numbers of workers. Under
    `layouts` stands what decides rows of one layout alone."""
    expert: str = ""
    """Who does it: steps of one expert share its workers. Empty: any thread."""
    workers: int = 1
    """Of the expert, at once. Decides nothing."""
    scores: tuple[str, ...] = ()
    """Names of the numbers that it gives, so that expressions can be checked before the first row. Decides nothing."""
    waits: bool = False
    """Whether it comes only when no step before it is left to do, whatever they gave: dear steps come last. Decides
    nothing."""
    by_layout: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """Expert and workers of each layout, where layouts have experts of their own."""

    @staticmethod
    def read(told: Any) -> StepPlan:
        """Return the plan that `run.yaml` tells of.

        Raises:
            ValueError: a field of it is missing or of another kind.
        """
        return TypeAdapter(StepPlan).validate_python(told)

    @cached_property
    def _settings_hashes(self) -> dict[str, str]:
        return {}

    def settings_hash(self, layout: str) -> str:
        """Return a hash of the settings as rows of a layout have them, made once for all of these."""
        if layout not in self._settings_hashes:
            settings = dict(self.settings)
            if LAYOUTS in settings:
                settings[LAYOUTS] = settings[LAYOUTS].get(layout)
            self._settings_hashes[layout] = _digest(settings)
        return self._settings_hashes[layout]

    def places(self) -> dict[str, int]:
        """Return the experts that do it, with their workers."""
        return dict(self.by_layout.values()) if self.by_layout else {self.expert: self.workers}

    def place(self, layout: str) -> str:
        """Return the expert that does it for rows of a layout."""
        return self.by_layout[layout][0] if self.by_layout else self.expert


@dataclass(frozen=True)
class Task:
    """A step to do for a row."""

    row: Row
    plan: StepPlan
    id: str
    attempt: int
    inputs: Mapping[str, Entry]
    """Results of the steps that it needs."""

    @property
    def seed(self) -> int:
        """For noise, 48 bits."""
        return int(self.id[:12], 16)

    def open(self, pictures: Pictures, step: str) -> Image.Image:
        """Return the picture that a step of the same name has made.

        Raises:
            UserError: it is damaged.
        """
        return pictures.open(self.inputs[step].pictures[step])


@dataclass(frozen=True)
class Result:
    """What a step gives; see `Entry`."""

    pictures: Mapping[str, Image.Image] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    state: Literal["done", "unjudged"] = "done"
    reason: str = ""


class Rejected(Exception):
    """A row is no good, whoever tries; says why in words for a person."""

    def __init__(self, reason: str, values: Mapping[str, Any] | None = None, notes: Mapping[str, Any] | None = None):
        """Reject with what was measured until then."""
        super().__init__(reason)
        self.values, self.notes = dict(values or {}), dict(notes or {})


class Again(Exception):
    """An attempt went wrong and another one, with another seed, may do better. A UserError stops the run instead."""


@runtime_checkable
class Step(Protocol):
    """Does one step. What is loaded for it (weights, connections) is loaded at the first call."""

    plan: StepPlan

    def __call__(self, task: Task, pictures: Pictures) -> Result:
        """Do it; called by several threads at once where `plan.workers` says so.

        Raises:
            Rejected: the row is no good.
            Again: this attempt failed.
            UserError: nothing can go on until a person mends something.
        """
        ...


@runtime_checkable
class Checked(Protocol):
    """A step that can tell before the first row whether what it asks is there; the driver of a run asks it once."""

    def check(self) -> None:
        """Look.

        Raises:
            UserError: it is not.
        """
        ...


@dataclass(frozen=True)
class Request:
    """What an expert is asked for."""

    prompt: str
    seed: int
    width: int
    height: int
    style: Image.Image | None = None
    content: Image.Image | None = None


@runtime_checkable
class Expert(Protocol):
    """Draws a picture of references and a prompt."""

    workers: int
    """Calls at once that make sense."""

    def describe(self) -> dict[str, Any]:
        """Return all that decides a picture besides the request: kind, hashes of graphs and weights, settings."""
        ...

    def __call__(self, request: Request) -> Image.Image:
        """Draw.

        Raises:
            Again: this picture failed, another try may not.
            UserError: nothing can go on until a person mends something.
        """
        ...


@runtime_checkable
class Choosy(Protocol):
    """An expert that can tell before the first row whether it takes what it will be given."""

    def check(self, inputs: Collection[str]) -> None:
        """Make sure of it; `inputs` are of `style`, `content` and `prompt`.

        Raises:
            UserError: it does not.
        """
        ...


def step_id(plan: StepPlan, row: Row, inputs: Mapping[str, Entry], attempt: int) -> str:
    """Return the id of a step: a hash of row, step, settings, inputs and attempt."""
    settings = plan.settings_hash(row.layout)
    return _digest([row.id, plan.name, settings, _read(plan.reads, row), _hashes(plan.needs, inputs), attempt])


def _read(reads: Sequence[str], row: Row) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in reads:
        head, _, rest = name.partition(".")
        found[name] = row.about.get(rest, "") if head == "about" else getattr(row, name)
    return found


def _hashes(needs: Sequence[str], inputs: Mapping[str, Entry]) -> dict[str, Any]:
    return {
        name: [{key: stored.sha256 for key, stored in inputs[name].pictures.items()}, inputs[name].values]
        for name in needs
    }


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=dict)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
