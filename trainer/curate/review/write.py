"""The folder of the review page: opens from disk, asks for nothing else, and can be made anew while it is open."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jinja2

from ....uso_model.errors import UserError
from ....uso_model.untrusted import argument, named
from ....uso_model.writing import atomic_write
from ...ahead import ahead
from ...evaluate.gallery import small_jpeg
from ..decisions import Decision
from ..ledger import Ledger
from ..pictures import FOLDER
from ..pipeline import Pipeline, Progress
from ..raw_answers import with_raw
from .columns import columns, hashes
from .details import details, step_settings
from .texts import as_script, pasteable, shown

__all__ = ["PAGE", "write_page"]

PAGE = "index.html"
_HERE = Path(__file__).parent
_SCRIPTS = ("decisions.js", "filters.js", "details.js", "list.js")
_STYLE = "page.css"
_GENERATOR = "uso curate review"
_DATA, _ROWS = "data", "rows.js"
_DIGEST = re.compile(r"[0-9a-f]{16}")
_PER_FILE = 200
"""Rows whose details lie in one file."""
_SIDE = 384
"""Of the small pictures, where the folder may be given away without the run."""
_HEAD = 2000
"""Letters of a page that tell whose it is."""


def write_page(
    run: Path,
    out: Path,
    pipeline: Pipeline,
    ledger: Ledger,
    rows: Sequence[Progress],
    count: int,
    decisions: Mapping[str, Decision],
    where: str = "",
) -> Path:
    """Write the page and what it reads; return it.

    In the run's folder the page shows the run's own pictures. Elsewhere it gets small ones, so that its folder can be
    given to others.

    Args:
        run: folder of the run.
        out: folder to write.
        pipeline: of the run.
        ledger: of the run.
        rows: to show.
        count: of the rows of which these are some.
        decisions: that there are already.
        where: the expression by which `rows` were chosen.

    Raises:
        UserError: the folder has a page of something else.
        OSError: a file cannot be written.
    """
    before = _previous(out)
    inside = out.resolve().is_relative_to(run.resolve())
    ups = len(out.resolve().relative_to(run.resolve()).parts) if inside else 0
    if not inside:
        _write_small(out / FOLDER, ledger, rows)
    data = columns(rows, pipeline.plans, ledger.pictures, decisions)
    at = run.resolve().as_posix()
    data |= {
        "run": shown(run.resolve().name, 100),
        "place": argument(run),
        "store": hashlib.sha256(at.encode("utf-8", "backslashreplace")).hexdigest()[:16],
        "made": time.time(),
        "count": count,
        "where": where.strip(),
        "pasteable": pasteable(where.strip()),
        "perFile": _PER_FILE,
        "folder": "../" * ups + FOLDER,
        "ending": ".png" if inside else ".jpg",
        "settings": [step_settings(pipeline)],
    }
    files = _files(data, [details(row) for row in with_raw(ledger.run, rows)])
    digest = hashlib.sha256("".join(files.values()).encode()).hexdigest()[:16]
    folder = out / _DATA / digest
    for name, text in files.items():
        _put(folder / name, text)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string((_HERE / PAGE).read_text(encoding="utf-8"))
    _put(out / PAGE, template.render(data=f"{_DATA}/{digest}", scripts=_SCRIPTS, style=_STYLE, generator=_GENERATOR))
    _tidy(out / _DATA, {digest, before})
    return out / PAGE


def _files(data: dict[str, Any], parts: Sequence[Any]) -> dict[str, str]:
    """Return name and text of all files but the page, so that an open page never reads those of another one."""
    files = {name: (_HERE / name).read_text(encoding="utf-8") for name in (*_SCRIPTS, _STYLE)}
    files[_ROWS] = as_script("window.review", data)
    for first in range(0, len(parts), _PER_FILE):
        number = first // _PER_FILE
        files[f"details-{number}.js"] = as_script(f"window.review.details[{number}]", parts[first : first + _PER_FILE])
    return files


def _put(path: Path, text: str) -> None:
    atomic_write(path, lambda temporary: Path(temporary).write_bytes(text.encode()), durable=False)


def _previous(out: Path) -> str:
    """Return the name of the data of the page that is there, empty where there is none.

    Raises:
        UserError: a page of something else is there, or no folder.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{named(out)} is a file, expected a folder; name another one with --out")
    page = out / PAGE
    if not page.exists():
        return ""
    with page.open(encoding="utf-8", errors="replace") as file:
        head = file.read(_HEAD)
    if f'content="{_GENERATOR}"' not in head:
        raise UserError(f"{named(page)} is the page of something else; name another folder with --out")
    return head.partition(f'href="{_DATA}/')[2].partition("/")[0]


def _tidy(folder: Path, kept: set[str]) -> None:
    """Remove the data of older pages, and nothing else; the last one may still be open."""
    for path in folder.iterdir():
        if path.name not in kept and _DIGEST.fullmatch(path.name) and (path / _ROWS).is_file():
            shutil.rmtree(path, ignore_errors=True)


def _write_small(folder: Path, ledger: Ledger, rows: Sequence[Progress]) -> None:
    """Write a small copy of each picture that has none yet; a damaged one is left out, and the page says so."""
    wanted = {stored for row in rows for stored in row.pictures.values() if any(hashes(row, ledger.pictures))}
    paths = {stored: folder / stored.sha256[:2] / f"{stored.sha256}.jpg" for stored in wanted}
    missing = [stored for stored, path in paths.items() if not path.exists()]

    def write(stored: Any) -> None:
        try:
            data = small_jpeg(ledger.pictures.open(stored), _SIDE)
        except UserError:
            return
        atomic_write(paths[stored], lambda temporary: Path(temporary).write_bytes(data), durable=False)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for _ in ahead(pool, write, missing):
            pass
