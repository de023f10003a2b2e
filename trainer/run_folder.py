"""The settings that a run keeps in its folder, and what may change when it goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from .config import load_config
from .recipe import TrainConfig

__all__ = ["CONFIG", "open_run", "read_data", "read_run", "shareable", "write_data"]

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


def open_run(config: TrainConfig, allow_change: bool = False) -> None:
    """Write a run's settings to its folder, or compare them with those that are there.

    Args:
        config: settings of the run.
        allow_change: go on with other settings than the run began with.

    Raises:
        ValueError: the run began with other settings; they are listed.
    """
    folder = config.loop.run_dir
    if (folder / CONFIG).is_file() and not allow_change:
        began, now = (dict(_flat(_plain(c))) for c in (read_run(folder), config))
        changed = [name for name in began.keys() | now.keys() if began.get(name) != now.get(name)]
        listed = sorted(name for name in changed if not name.startswith(_FREE))
        if listed:
            changes = ", ".join(f"{name} was {began.get(name)} and is now {now.get(name)}" for name in listed)
            raise ValueError(
                f"{folder.name} began with other settings: {changes}; put them back, use another run_dir, or pass "
                "--allow-change"
            )
    folder.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(_plain(config), sort_keys=False)
    temporary = folder / f".{CONFIG}"
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(folder / CONFIG)


def read_run(folder: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Return the settings of a run, wherever its folder has been moved, with dotted overrides.

    Raises:
        ValueError: the folder holds no run.
    """
    folder = Path(folder)
    if not (folder / CONFIG).is_file():
        raise ValueError(f"{folder} holds no {CONFIG}; give the folder of a run that `uso train` made")
    return load_config(TrainConfig, folder / CONFIG, [f"loop.run_dir={folder.resolve()}", *overrides])


def write_data(folder: Path, rows: int, fingerprint: str) -> None:
    """Note what a run is trained on: the number of rows and the hash of rows and pictures."""
    text = json.dumps({"uso.dataset_rows": str(rows), "uso.dataset_sha256": fingerprint}, indent=1)
    (folder / DATA).write_text(text, encoding="utf-8")


def read_data(folder: Path) -> dict[str, str]:
    """Return what `write_data` noted."""
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
