"""The miniature's bench: the whole engine on a world that knows what is right, and the numbers it always had."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from comfyui_uso.cli import main
from comfyui_uso.mini.bench import mini_bench
from comfyui_uso.mini.bench.cases import cases
from comfyui_uso.mini.bench.drawer import MiniDrawer
from comfyui_uso.mini.bench.measures import mini_measures
from comfyui_uso.mini.bench.protocol import CASES, STEPS, MiniBench
from comfyui_uso.mini.experiment.measure import measure
from comfyui_uso.mini.experiment.plan import load_plan
from comfyui_uso.mini.judges.networks import TRAITS
from comfyui_uso.mini.judges.vectors import as_judges, judge_files, read_judges
from comfyui_uso.mini.model.generate import CFG
from comfyui_uso.trainer.evaluate.bench import Row, read_bench
from comfyui_uso.trainer.evaluate.build import build_bench
from comfyui_uso.trainer.evaluate.protocols.protocol import Asked
from comfyui_uso.trainer.evaluate.run import draw_bench
from comfyui_uso.uso_model.errors import UserError
from comfyui_uso.uso_model.images import picture_tensor
from PIL import Image

NUMBERS = ("style", "likeness", "identity", "resemblance", "text", "leak", "copied")
BEFORE = {
    "true": (0.833333313, 0.865721762, 0.805555582, 0.892191410, 0.416666657, 0.0, 0.106204100),
    "true/preserved": (1.0, 0.810987711, 0.444444448, 0.847111940, 0.416666657, 0.0, 0.008595452),
    "true/shifted": (0.666666687, 0.920455933, 1.0, 0.937270820, 0.416666657, 0.0, 0.203812763),
    "joint": (1.0, 1.0, 0.444444448, 0.660073221, 0.125, 1.0, 1.0),
    "joint/preserved": (1.0, 1.0, 0.444444448, 0.732868373, 0.166666672, 1.0, 1.0),
    "joint/shifted": (1.0, 1.0, 0.444444448, 0.587278068, 0.083333336, 1.0, 1.0),
}
"""Of six cases whose style references stand for drawings, by the code that measured before there was a bench."""


def test_the_numbers_are_those_of_before_the_bench() -> None:
    found = measure(lambda prompts, styles, contents, seed: list(styles), read_judges(), cases(6, seed=1), ["joint"])
    assert list(found) == list(BEFORE)
    for mode, numbers in BEFORE.items():
        assert found[mode] == pytest.approx(dict(zip(NUMBERS, numbers, strict=True)), abs=1e-5), mode


def test_build_run_score_report_and_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench, run, base = (str(tmp_path / name) for name in ("bench", "run", "base"))

    def uso(*words: str) -> None:
        assert main(["eval", *words]) == 0, capsys.readouterr().err

    uso("build", "mini_bench", "--out", bench, "--limit", "2")
    uso("run", bench, run, "--drawer", "mini", "steps=1")
    pictures = {path.name: path.read_bytes() for path in Path(run, "pictures").glob("*.png")}
    assert len(pictures) == 2 * 4
    for name in ("joint-0001_0.png", "none-0000_0.png"):
        Path(run, "pictures", name).unlink()
    uso("run", bench, run, "--drawer", "mini", "steps=1")
    assert pictures == {path.name: path.read_bytes() for path in Path(run, "pictures").glob("*.png")}
    uso("score", bench, run)
    uso("report", run)
    report = json.loads(Path(run, "report", "report.json").read_text(encoding="utf-8"))
    tasks = {part["task"]: {row["whose"]: row["numbers"] for row in part["rows"]} for part in report["tasks"]}
    assert set(tasks) == {"subject", "style", "joint_kept", "joint_shifted", "control"}
    for rows in tasks.values():
        assert set(rows["model"]) == set(NUMBERS)
        assert rows["oracle"]["resemblance"]["mean"] > 0.8 > tasks["subject"]["chance"]["resemblance"]["mean"]

    uso("run", bench, base, "--drawer", "mini", "steps=1", "lora_strength=0")
    uso("score", bench, base)
    capsys.readouterr()
    uso("compare", run, base)
    assert "resemblance" in capsys.readouterr().out
    # Half a bench is another one than the command for all of it writes.
    shutil.copytree(bench, tmp_path / "all" / "bench")
    assert main(["mini", "bench", str(tmp_path / "all")]) == 2
    assert "another bench, of 8 rows" in capsys.readouterr().err


def test_every_mode_is_drawn_in_the_groups_that_decide_its_noise(tmp_path: Path) -> None:
    (one,) = cases(1, seed=3)
    build_bench(MiniBench("repeated", lambda count: [one] * count, 26), None, tmp_path / "bench")
    _, rows, _ = read_bench(tmp_path / "bench")
    asked: list[tuple[int, bool, bool, int]] = []

    def draw(
        prompts: Sequence[str], styles: list[Image.Image] | None, contents: list[Image.Image] | None, seed: int
    ) -> list[Image.Image]:
        asked.append((len(prompts), styles is not None, contents is not None, seed))
        return [one.target] * len(prompts)

    drawer = MiniDrawer(draw, lambda key: one.style, {})
    draw_bench(tmp_path / "bench", tmp_path / "run", drawer)
    fed = [(False, False), (True, False), (False, True), (True, True)]
    assert asked == [(count, *both, seed) for both in fed for count, seed in ((24, 0), (2, 24))]
    (tmp_path / "run" / "pictures" / "style-0025_0.png").unlink()
    asked.clear()
    draw_bench(tmp_path / "bench", tmp_path / "run", drawer)
    assert asked == [(2, True, False, 24)]
    for facts in ({}, {"noise": "7"}, {"noise": -1}, {"noise": 2**70}):
        with pytest.raises(UserError, match="mini_bench alone"):
            drawer([rows[0].model_copy(update={"facts": facts})], [0], [0])


def test_the_bench_is_drawn_as_the_shipped_network_was_measured() -> None:
    plan = load_plan("mini")
    assert (plan.cases, plan.sample_steps, plan.cfg) == (CASES, STEPS, CFG)


@pytest.mark.parametrize(
    ("asked", "source", "named"),
    [(Asked(samples=2), None, "2 samples"), (Asked(size=(256, 256)), None, "a size"), (Asked(), Path("x"), "source x")],
)
def test_what_the_bench_cannot_do_is_refused(tmp_path: Path, asked: Asked, source: Path | None, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        build_bench(mini_bench, source, tmp_path / "bench", asked)
    assert not (tmp_path / "bench").exists()


@pytest.mark.parametrize(
    ("measure_", "facts", "told"),
    [
        ("style", {}, "has None for the name of its style, expected int; build the bench mini_bench again"),
        ("leak", {"style": 3}, "has None for the shows of its style, expected str"),
        ("text", {"subject": {"traits": "red"}}, "has red for the traits of its subject, expected list"),
        ("text", {"subject": {"traits": [1]}}, "names 1 traits, expected 5"),
    ],
)
def test_rows_that_do_not_say_what_is_right_are_refused(measure_: str, facts: dict[str, object], told: str) -> None:
    row = Row(id="a", task="style", prompt="", prompt_id="a", against_style=["style"], facts=facts)
    view = SimpleNamespace(row=row, drawn=lambda name: np.zeros(sum(TRAITS)))
    found = {one.card.name: one for one in mini_measures(as_judges(read_judges(), judge_files()))}
    with pytest.raises(UserError, match=told):
        found[measure_].of(view)


def test_vectors_of_judges_name_what_the_networks_name() -> None:
    networks = read_judges()
    judges = {judge.card.name: judge for judge in as_judges(networks, judge_files())}
    (case,) = cases(1, seed=4)
    pixels = picture_tensor(case.target)
    for judge in judges.values():
        vector = judge.embed(judge.prepare(case.target)[None])
        assert vector.norm(dim=1) == pytest.approx(1, abs=1e-5) and judge.card.sha256
        assert torch.allclose(vector, judge.embed_pixels(pixels), atol=1e-5)
    assert judges["mini_style"].embed(pixels).argmax() == networks.style(pixels).argmax()
    logits = torch.cat(networks.identity(pixels)[1], 1)
    parts = zip(logits.split(TRAITS, 1), judges["mini_traits"].embed(pixels).split(TRAITS, 1), strict=True)
    assert all(a.argmax() == b.argmax() for a, b in parts)
