"""The settings that a run keeps in its folder, and what may change when it goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..uso_model.checkpoints.files import atomic_write
from .config import load_config
from .engine.checkpoint import checkpoints
from .recipe import TrainConfig

__all__ = ["CONFIG", "read_data", "read_run", "require_unchanged", "shareable", "write_run"]

CONFIG = "config.yaml"
"""Settings of a run, in its folder."""

DATA = "data.json"
"""What the run was trained on, in its folder."""

_FREE = (
    "data.cache",
    "loop.keep",
    "loop.log_every",
    "loop.loggers",
    "loop.prefetch",
    "loop.run_dir",
    "loop.save_every",
    "loop.steps",
    "monitor.",
    "out",
)
"""Settings that do not change what a step computes. `loop.steps` does under a cosine decay, but prolonging a run is
what people resume for."""


def require_unchanged(config: TrainConfig) -> None:
    """Compare settings with those that a run to be gone on with began with.

    Raises:
        ValueError: the run's checkpoints were made with other settings; they are listed.
    """
    folder = config.loop.run_dir
    if not (folder / CONFIG).is_file() or not checkpoints(folder):
        return
    began, now = (dict(_flat(_plain(c))) for c in (read_run(folder), config))
    changed = [name for name in began.keys() | now.keys() if began.get(name) != now.get(name)]
    listed = sorted(name for name in changed if not name.startswith(_FREE))
    if listed:
        changes = ", ".join(f"{name} was {began.get(name)} and is now {now.get(name)}" for name in listed)
        raise ValueError(
            f"{folder.name} began with other settings: {changes}; put them back, use another run_dir, or pass "
            "--allow-change"
        )


def write_run(config: TrainConfig, rows: int, fingerprint: str) -> None:
    """Keep what a run is made of in its folder: settings, number of rows, hash of rows and pictures."""
    folder = config.loop.run_dir
    folder.mkdir(parents=True, exist_ok=True)
    data = {"uso.dataset_rows": str(rows), "uso.dataset_sha256": fingerprint}
    for name, text in ((CONFIG, yaml.safe_dump(_plain(config), sort_keys=False)), (DATA, json.dumps(data, indent=1))):
        _replace(folder / name, text)


def _replace(path: Path, text: str) -> None:
    atomic_write(path, lambda temporary: Path(temporary).write_text(text, encoding="utf-8"))


def read_run(folder: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Return the settings of a run, wherever its folder has been moved, with dotted overrides.

    Raises:
        ValueError: the folder holds no run.
    """
    folder = Path(folder)
    if not (folder / CONFIG).is_file():
        raise ValueError(f"{folder} holds no {CONFIG}; give the folder of a run that `uso train` made")
    return load_config(TrainConfig, folder / CONFIG, [f"loop.run_dir={folder.resolve()}", *overrides])


def read_data(folder: Path) -> dict[str, str]:
    """Return the number of rows and the hash that `write_run` kept, as metadata."""
    return json.loads((folder / DATA).read_text(encoding="utf-8"))


def shareable(config: TrainConfig) -> str:
    """Return the settings as JSON for a published file: paths shortened to names, so that no folder leaks."""

    def shortened(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: shortened(part) for name, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [shortened(part) for part in value]
        return value.name if isinstance(value, Path) else value

    return json.dumps(shortened(config.model_dump(exclude_defaults=True)))


def _plain(config: TrainConfig) -> dict[str, Any]:
    """Return settings as YAML can hold them, paths made absolute so that a run can go on from any folder."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(part) for name, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(part) for part in value]
        return str(value.absolute()) if isinstance(value, Path) else value

    return plain(config.model_dump())


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
