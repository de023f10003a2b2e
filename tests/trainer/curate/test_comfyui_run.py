"""Runs of curation on ComfyUI servers that misbehave: every row is drawn once, or the run stops with one sentence."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from comfyui_uso.trainer.curate.build import build_steps
from comfyui_uso.trainer.curate.experts import servers as pool
from comfyui_uso.trainer.curate.ledger import Ledger
from comfyui_uso.trainer.curate.recipe import CurateConfig
from comfyui_uso.trainer.curate.rows import rows_of
from comfyui_uso.trainer.curate.run import driver
from comfyui_uso.trainer.curate.run.local import run_local
from comfyui_uso.trainer.curate.run_folder import pipeline_of, write_run
from comfyui_uso.trainer.curate.sources.folder import folder_pictures
from comfyui_uso.uso_model.errors import UserError
from PIL import Image

from ..evaluate.fake_comfy import FakeComfy, fake_comfy
from . import cheap
from .test_comfy_titles import titled, write

ROWS = 16


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comfyui_uso.trainer.curate.experts.comfyui.PATIENCE", 0.0)
    monkeypatch.setattr(pool, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(pool, "LONGEST_PAUSE", 0.1)
    monkeypatch.setattr(driver, "GRACE", 0.2)


@pytest.fixture
def fakes() -> Iterator[list[FakeComfy]]:
    with ExitStack() as stack:
        yield [stack.enter_context(fake_comfy()) for _ in range(3)]


def run(folder: Path, experts: dict[str, list[FakeComfy]]) -> None:
    """Curate two rows of each picture; `style` and `content` have servers of their own."""
    source = folder / "source"
    source.mkdir(exist_ok=True)
    for number in range(ROWS // 2):
        Image.effect_noise((16, 16), 50 + number).save(source / f"{number}.png")
    graph = str(write(folder, titled()))
    told = {name: {"graph": graph, "servers": [fake.address for fake in own]} for name, own in experts.items()}
    content: dict[str, Any] = {"expert": "content"}
    settings = {
        "source": {"path": str(source)},
        "width": 16,
        "height": 16,
        "experts": told,
        "style": {"expert": "style"},
        "content_kept": content,
        "content_shifted": content,
        "reject": {},
    }
    config = CurateConfig.model_validate(settings)
    pictures = {picture.key: picture for picture in folder_pictures(source)}
    steps = build_steps(config, pictures)
    pipeline = pipeline_of(config, [step.plan for step in steps])
    rows = list(rows_of(pictures.values(), config, ["a cat"]))
    write_run(folder / "run", config, pipeline, rows)
    run_local(pipeline, steps, rows, Ledger(folder / "run"), config)


def test_every_row_is_drawn_once_whatever_the_servers_do(fakes: list[FakeComfy], tmp_path: Path) -> None:
    chance, over = random.Random(1), threading.Event()

    def misbehave() -> None:
        while not over.wait(0.05):
            fake = chance.choice(fakes)
            fault = chance.choice(["away", "code", "forgets", "interrupts", "loses", "restart"])
            if fault == "restart":
                fake.restart()
            else:
                was = getattr(fake, fault)
                setattr(fake, fault, {"away": True, "code": 503}.get(fault, 1))
                over.wait(0.03)
                setattr(fake, fault, was)

    for fake in fakes:
        fake.seconds = 0.02
    mischief = threading.Thread(target=misbehave)
    mischief.start()
    try:
        run(tmp_path, {"style": fakes[:2], "content": fakes[1:]})
    finally:
        over.set()
        mischief.join()
    cheap.whole(tmp_path, ROWS)
    assert all(fake.graphs for fake in fakes)


def test_a_wrong_graph_stops_the_run_while_other_servers_rest(fakes: list[FakeComfy], tmp_path: Path) -> None:
    fakes[0].away, fakes[1].refuses = True, "positive"
    with pytest.raises(UserError, match="refuses the graph"):
        run(tmp_path, {"style": fakes[:1], "content": fakes[1:2]})
    fakes[0].away, fakes[1].refuses = False, None
    run(tmp_path, {"style": fakes[:1], "content": fakes[1:2]})
    cheap.whole(tmp_path, ROWS)
