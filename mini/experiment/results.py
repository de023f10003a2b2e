"""Files of measured runs: one JSON object a line, appended to as runs end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...uso_model.checkpoints.files import atomic_write
from ...uso_model.untrusted import json_objects

__all__ = ["CURVES", "RESULTS", "append_line", "of_plan", "read_lines"]

RESULTS, CURVES = "results.jsonl", "curves.jsonl"
"""Measured rows; and how the judges saw a run with the reward on its way."""


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the records of a file, none where it does not exist."""
    return json_objects(path) if path.is_file() else []


def of_plan(hashed: str | None, records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the records that a plan has made, by its hash; None: records of the first versions, which have no hash."""
    return [record for record in records if record.get("plan") == hashed]


def append_line(path: Path, record: dict[str, Any]) -> None:
    """Add a record to a file, which a crash leaves with the record or without it: no line is ever torn."""
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    text = f"{before}{json.dumps(record)}\n"
    atomic_write(path, lambda temporary: Path(temporary).write_text(text, encoding="utf-8"))
