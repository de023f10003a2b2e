"""A run whose accepted rows are exported."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from comfyui_uso.trainer.curate.ledger import Entry, Journal
from comfyui_uso.trainer.curate.pictures import Pictures
from comfyui_uso.trainer.curate.recipe import CurateConfig
from comfyui_uso.trainer.curate.run_folder import pipeline_of, write_run
from comfyui_uso.trainer.curate.steps import Row as CurateRow
from comfyui_uso.trainer.curate.steps import StepPlan, step_id
from comfyui_uso.trainer.data.manifest import Row, read_manifest, write_manifest
from PIL import Image

ROWS = 7


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return a run of nine candidates of which seven were accepted."""
    folder = tmp_path / "run"
    store, journal = Pictures(folder), Journal(folder)
    target = StepPlan("target", reads=("key", "fingerprint"), settings={"version": 1, "file": "/secret/x.json"})
    config = CurateConfig.model_validate({"source": {"path": "source"}, "experts": {}})
    rows, listed = [], []
    for number in range(ROWS + 2):
        key, layout = f"{number}.png", "preserved" if number % 2 else "shifted"
        about = {"style": f"ink | <b> {number % 2}", "licence": "CC-BY-4.0", "subject": "cat"}
        row = CurateRow(CurateRow.id_of(key, layout, 0), key, "1", layout, about=about)
        stored = [store.add(Image.new("RGB", (24, 16), (number, n, 7))) for n in range(3)]
        id_ = step_id(target, row, {}, 0)
        listed.append(row)
        journal.add(Entry(row.id, "target", id_, 0, "done", float(number), "", {"target": stored[0]}))
        paths = [store.path(one.sha256) for one in stored]
        if number < ROWS:
            scores = {"csd": number / 10, **({"vlm_style": 4.0} if number % 2 else {})}
            prompt = "" if number % 2 else f"a caf\u00e9 | \U0001f431 {number}"
            split = "train" if number < 5 else "held/out"
            content = paths[2] if number != 3 else None
            styles = paths[1:2] if number != 4 else paths[1:]
            rows.append(
                Row(id=row.id, target=paths[0], style=styles, content=content, prompt=prompt, layout=layout,
                    scores=scores, split=split, weight=2.0 if number == 2 else 1.0)
            )  # fmt: skip
    journal.close()
    write_run(folder, config, pipeline_of(config, [target]), listed)
    write_manifest(rows, folder / "manifest.jsonl")
    return folder


def told(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a manifest with hashes in the place of pictures."""
    rows = []
    for row in read_manifest(path, None):
        hashes = row.moved(lambda picture: Path(hashlib.sha256(picture.read_bytes()).hexdigest()))
        rows.append(hashes.model_dump(mode="json"))
    return rows
