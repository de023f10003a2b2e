"""What a run keeps in its folder beside checkpoints: settings, data and name; and what may change when it goes on.

Paths inside the folder are kept relative to it, so that a run may be moved, copied and renamed: whoever is given the
folder acts on that folder.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from ..uso_model.checkpoints.files import atomic_write
from ..uso_model.errors import UserError
from ..uso_model.untrusted import argument, named
from .engine.checkpoint import checkpoints
from .export.names import OWN, PROJECTOR, newest
from .problems import ChangedError
from .reading.recipe_files import load_recipe, make_recipe, recipe_file
from .recipe import TrainConfig
from .same_files import fingerprints, only_moved

__all__ = [
    "CONFIG",
    "open_recipe",
    "read_data",
    "read_run",
    "require_same_data",
    "require_unchanged",
    "run_id",
    "shareable",
    "write_run",
]

CONFIG = "config.yaml"
"""Settings of a run, in its folder."""

DATA = "data.json"
"""What the run was trained on, in its folder."""

MODELS = "models.json"
"""Fingerprints of the files that the run started from, in its folder."""

IDENTITY = "run.json"
"""Which run the folder is of."""

_AGAIN = "`uso train` writes it again"
_AFTERWARDS = {
    DATA: f"{_AGAIN}, and takes the rows that it finds for those that the run began with",
    MODELS: f"{_AGAIN}, and takes the models that it finds for those that the run began with",
    IDENTITY: "it is made anew, and what the run has written to folders outside its own counts as another run's",
}
"""What follows when a damaged file is removed."""

ROWS, DATA_HASH = "uso.dataset_rows", "uso.dataset_sha256"

_FREE = (
    "data.cache",
    "loop.epochs",
    "loop.keep",
    "loop.log_every",
    "loop.loggers",
    "loop.prefetch",
    "loop.process_timeout",
    "loop.row_losses",
    "loop.run_dir",
    "loop.save_every",
    "loop.steps",
    "memory.blocks_to_swap",
    "memory.checkpointing",
    "monitor.",
    "needs",
    "out",
)
"""Settings that do not change what a step computes. `loop.steps` does under a cosine decay, but prolonging a run is
what people resume for."""


def require_unchanged(config: TrainConfig) -> None:
    """Compare settings with those that a run to be gone on with began with.

    Raises:
        UserError: the run's checkpoints were made with other settings, which are listed; it has lost them all; or what
            the folder says of itself is damaged.
    """
    folder = config.loop.run_dir
    if not (folder / CONFIG).is_file():
        return
    if (folder / IDENTITY).is_file():
        _json(folder / IDENTITY)  # every export will ask for it
    if not checkpoints(folder):
        if any(newest(config.folder, part) is not None for part in (OWN, PROJECTOR)):
            raise ChangedError(
                f"{named(folder)} has trained files and no checkpoint any more, so the run would begin anew and write "
                "over them: put a checkpoint back, use another name, or pass --allow-change"
            )
        return
    began, now = (dict(_flat(_plain(c))) for c in (read_run(folder), config))
    changed = {name for name in began.keys() | now.keys() if began.get(name) != now.get(name)}
    kept = _json(folder / MODELS) if (folder / MODELS).is_file() else {}
    found = fingerprints(config)
    changed = {name for name in changed if not only_moved(name, began.get(name), now.get(name), kept, found)}
    replaced = {name for name in kept if began.get(name) == now.get(name) and found.get(name) != kept[name]}
    rewards = set() if config.reward is None else config.reward.judges.keys()
    listed = sorted(name for name in changed if not _free(name, rewards))
    replaced = {name for name in replaced if not _free(name, rewards)}
    if listed or replaced:
        told = [f"{name} was {began.get(name)} and is now {now.get(name)}" for name in listed]
        changes = ", ".join([*told, *(f"{name} holds something else by now" for name in sorted(replaced))])
        raise ChangedError(
            f"{folder.name} began with other settings: {changes}; put them back, use another name, or pass "
            "--allow-change"
        )


def require_same_references(config: TrainConfig) -> None:
    """Make sure that a run to be gone on with isolates its references as before: its files are marked by its settings.

    Raises:
        UserError: it has checkpoints of the other way.
    """
    folder = config.loop.run_dir
    if not (folder / CONFIG).is_file() or not checkpoints(folder):
        return
    began, now = (str(one.conditions.isolated).lower() for one in (read_run(folder), config))
    if began != now:
        raise ChangedError(
            f"{folder.name} has checkpoints with conditions.isolated={began} and cannot go on with {now}, not even by "
            "--allow-change: put it back, or use another name"
        )


def _free(name: str, rewards: Collection[str]) -> bool:
    """Whether a setting may change while a run goes on; witnesses may come and go."""
    if name.startswith("models.judges."):
        return name.removeprefix("models.judges.") not in rewards
    return name.startswith(_FREE)


def require_same_data(config: TrainConfig, fingerprint: str) -> None:
    """Compare the hash of rows and pictures with the one that a run to be gone on with began with.

    Raises:
        UserError: rows or pictures have changed since.
    """
    folder = config.loop.run_dir
    if not (folder / DATA).is_file() or not checkpoints(folder):
        return
    if read_data(folder).get(DATA_HASH) != fingerprint:
        raise ChangedError(
            f"{folder.name} began with other data: rows or pictures have changed since; put them back, use another "
            "name, or pass --allow-change"
        )


def write_run(config: TrainConfig, rows: int, fingerprint: str) -> dict[str, str]:
    """Keep what a run is made of in its folder, and return what `read_data` will: number and hash of its rows."""
    folder = config.loop.run_dir
    folder.mkdir(parents=True, exist_ok=True)
    data = {ROWS: str(rows), DATA_HASH: fingerprint}
    _replace(folder / CONFIG, yaml.safe_dump(_plain(config), sort_keys=False))
    _replace(folder / DATA, json.dumps(data, indent=1))
    _replace(folder / MODELS, json.dumps(fingerprints(config), indent=1))
    return data


def run_id(folder: Path) -> str:
    """Return the name that tells a run from all others, made when it is first asked for.

    A copy of a folder becomes a run of its own: it notices by its place on the disk that it is not the folder in which
    the name was made. A folder that was renamed stays what it was.
    """
    stat = folder.stat()
    place = f"{stat.st_dev}:{stat.st_ino}"
    known = _json(folder / IDENTITY) if (folder / IDENTITY).is_file() else {}
    if known.get("place") == place and isinstance(known.get("id"), str):
        return known["id"]
    made = uuid.uuid4().hex
    with suppress(OSError):  # a run on read-only media can be exported all the same
        _replace(folder / IDENTITY, json.dumps({"id": made, "place": place}, indent=1))
    return made


def _replace(path: Path, text: str) -> None:
    atomic_write(path, lambda temporary: Path(temporary).write_text(text, encoding="utf-8"))


def read_run(folder: str | Path, texts: Sequence[str] = ()) -> TrainConfig:
    """Return the settings of a run, wherever its folder has been moved, with `name=value` texts of a command line.

    Raises:
        UserError: the folder holds no run.
    """
    folder = Path(folder)
    if not (folder / CONFIG).is_file():
        raise UserError(f"{folder} holds no {CONFIG}; give the folder of a run that `uso train` made")
    kept = load_recipe(folder / CONFIG)
    here = folder.absolute()

    def found(path: Path) -> Path:
        # The first versions kept absolute paths, in which the folder's old address stands.
        if path.is_absolute() and path.is_relative_to(kept.loop.run_dir):
            path = path.relative_to(kept.loop.run_dir)
        return path if path.is_absolute() else here / path

    values = _mapped(kept.model_dump(), found)
    return make_recipe(values, {"loop.run_dir": here}, texts, str(folder / CONFIG))


def open_recipe(name: str, texts: Sequence[str] = ()) -> TrainConfig:
    """Return the settings of a run's folder, a file, or a shipped recipe, with `name=value` texts of a command line.

    The file of settings in a run's folder stands for the run, whose paths are relative to that folder.

    Raises:
        UserError: there is no such recipe, or a setting is wrong.
    """
    file = Path(name)
    if (
        file.name == CONFIG
        and file.is_file()
        and (file.with_name(IDENTITY).is_file() or file.with_name(DATA).is_file())
    ):
        return read_run(file.parent, texts)
    if (Path(name) / CONFIG).is_file():
        return read_run(name, texts)
    return load_recipe(recipe_file(name), texts=texts)


def read_data(folder: Path) -> dict[str, str]:
    """Return the number of rows and the hash that `write_run` kept, as metadata.

    Raises:
        UserError: the run's file of it is absent or damaged.
    """
    found = _json(folder / DATA)
    if not all(isinstance(value, str) for value in found.values()):
        raise UserError(_damaged(folder / DATA))
    return found


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        again = f"uso train {argument(path.parent)}"
        raise UserError(f"{named(path)} is not there; go on with `{again}`, which writes it again") from error
    except (ValueError, RecursionError) as error:
        raise UserError(_damaged(path)) from error
    if not isinstance(found, dict):
        raise UserError(_damaged(path))
    return found


def _damaged(path: Path) -> str:
    return f"{named(path)} is damaged; remove it: {_AFTERWARDS[path.name]}"


def shareable(config: TrainConfig) -> str:
    """Return the settings as JSON for a published file: paths shortened to names, so that no folder leaks."""
    return json.dumps(_mapped(config.model_dump(exclude_defaults=True), lambda path: path.name))


def _plain(config: TrainConfig) -> dict[str, Any]:
    """Return settings as YAML can hold them: paths in the run's folder relative to it, all others absolute."""
    here = config.loop.run_dir.absolute()

    def plain(path: Path) -> str:
        path = path.absolute()
        return path.relative_to(here).as_posix() if path.is_relative_to(here) else str(path)

    return _mapped(config.model_dump(), plain)


def _mapped(value: Any, change: Callable[[Path], Any]) -> Any:
    """Return settings with every path changed, and lists in the place of tuples."""
    if isinstance(value, Mapping):
        return {name: _mapped(part, change) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_mapped(part, change) for part in value]
    return change(value) if isinstance(value, Path) else value


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
