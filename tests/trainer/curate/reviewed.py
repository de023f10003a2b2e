"""A finished run of any size, written without drawing: what the tests of the review page look at."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from comfyui_uso.trainer.curate.ledger import FOLDER, Entry, Ledger
from comfyui_uso.trainer.curate.pictures import Pictures, Stored
from comfyui_uso.trainer.curate.pipeline import Pipeline
from comfyui_uso.trainer.curate.recipe import CurateConfig
from comfyui_uso.trainer.curate.run_folder import candidates, pipeline_of, read_run, write_run
from comfyui_uso.trainer.curate.steps import CONTENT, LIKENESS, STYLE, TARGET, VLM, Layout, Row, StepPlan, step_id
from PIL import Image

__all__ = ["Say", "made_run", "row_ids"]

Say = Callable[[int], dict[str, Any]]
"""What is special about a row: `key`, `about`, `reason` with which its style is rejected, `answer` of the VLM."""

PLANS = [
    StepPlan(TARGET, (), ("key", "fingerprint")),
    StepPlan(STYLE, (TARGET,), ("subject",), {"expert": {"kind": "painter"}}, "painter"),
    StepPlan(CONTENT, (TARGET,), ("layout",), {"expert": {"kind": "painter"}}, "painter"),
    StepPlan(LIKENESS, (TARGET, STYLE, CONTENT), (), {"judges": ["csd", "dino"]}, scores=("csd", "dino")),
    StepPlan(VLM, (TARGET, STYLE, CONTENT), (), {"model": "seer"}, "vlm", scores=("vlm_style", "vlm_subject")),
]


def row_ids(run: Path) -> list[str]:
    """Return the ids of a run's rows in their order."""
    return [one.row.id for one in candidates(read_run(run)[1], Ledger(run))]


def made_run(run: Path, count: int, say: Say = lambda number: {}, size: int = 96, pool: int = 12) -> Pipeline:
    """Write a run of so many rows, whose pictures come out of a small pool."""
    rng = random.Random(0)
    config = CurateConfig.model_validate({"source": {"path": "source"}, "experts": {}})
    pipeline = pipeline_of(config, PLANS)
    write_run(run, config, pipeline, (_row(number, say(number)) for number in range(count)))
    pictures = Pictures(run)
    drawn = [pictures.add(_picture(rng, size)) for _ in range(pool)]
    (run / FOLDER).mkdir(exist_ok=True)
    with (run / FOLDER / f"{'0' * 32}.jsonl").open("wb") as file:
        for number in range(count):
            file.writelines(entry.line() for entry in _entries(number, drawn, rng, say(number)))
    return pipeline


def _picture(rng: random.Random, size: int) -> Image.Image:
    picture = Image.new("RGB", (4, 4))
    picture.putdata([(rng.randrange(256), rng.randrange(256), rng.randrange(256)) for _ in range(16)])
    return picture.resize((size, size), Image.Resampling.BICUBIC)


def _row(number: int, special: dict[str, Any]) -> Row:
    layout: Layout = ("preserved", "shifted")[number % 2]  # type: ignore[assignment]
    key = special.get("key", f"woodcut/{number // 2:05}.png")
    about = {"style": f"style {number // 2 % 7}", "prompt": f"a fox, {number}"} | special.get("about", {})
    return Row(Row.id_of(key, layout, 0), key, "1-1", layout, 0, "a tin boat", about)


def _entries(number: int, drawn: list[Stored], rng: random.Random, special: dict[str, Any]) -> list[Entry]:
    row = _row(number, special)
    found: dict[str, Entry] = {}

    def add(place: int, pictures: dict[str, Stored], values: dict[str, Any], notes: dict[str, Any], **told: Any):
        plan = PLANS[place]
        inputs = {name: found[name] for name in plan.needs}
        found[plan.name] = Entry(
            row=row.id,
            step=plan.name,
            id=step_id(plan, row, inputs, 0),
            attempt=0,
            time=1.0 + number,
            pictures=pictures,
            values=values,
            notes=notes,
            seconds=1.25,
            **{"state": "done"} | told,
        )

    def one() -> Stored:
        return rng.choice(drawn)

    add(0, {TARGET: one()}, {"target_width": 96, "target_height": 96}, {})
    if "reason" in special:
        add(1, {}, {}, {}, state="rejected", reason=special["reason"])
        return list(found.values())
    add(1, {STYLE: one()}, {}, {"instruction": "Draw {subject} in this style."})
    add(2, {CONTENT: one()}, {"prompt": f"a photo of a fox, {number}"}, {})
    likeness = {"csd": round(rng.random(), 4), "dino": round(rng.gauss(0.6, 0.1), 4)}
    add(3, {}, likeness, {})
    answer = {"raw": {"answer": special.get("answer", "{}")}}
    add(4, {}, {"vlm_style": rng.randrange(5), "vlm_subject": rng.randrange(5)}, answer)
    return list(found.values())
