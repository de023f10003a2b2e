"""Recipes, overrides and what lies in the folder of a run, damaged and hostile."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from comfyui_uso.trainer.engine import checkpoint
from comfyui_uso.trainer.engine.prune import prune
from comfyui_uso.trainer.reading.recipe_files import RECIPES, load_recipe, make_recipe
from comfyui_uso.trainer.reading.values import read_yaml, typed
from comfyui_uso.trainer.recipe import TrainConfig
from comfyui_uso.trainer.run_folder import read_data, read_run, run_id, write_run
from comfyui_uso.uso_model.checkpoints.files import sha256_of

from ..machine import at_most
from .mutations import HOSTILE, Tally, changed_bytes, changed_json, json_text

TEXTS = [
    "", "none", "[1", "{", "*x", "\t", "\0", "&a [*a]", "!!python/object/apply:os.system [id]", ".inf", ".nan", "1e999",
    "9" * 5000, "[" * 5000, "-1", "2026-11-29", "a: b", "#", "\ud800", "[]", "{}", "[none]", "{a: 1}", "yes", "0x10",
]  # fmt: skip

DOCUMENTS = [
    "[" * 5000, "{" * 5000, "a: &a [*a]", "? [a]\n: b", "1: 2", "null", "- a", "a: !!python/name:os.system", "\t a",
    "%",
    "a: 2026-13-45", "a: 0o9", "stage: [triplet]\nloop: 5", "loop: null\ndata: null", "<<: [a]", "a: !!binary x",
    "? {a: b}\n: c", "family: [x]", "family: a.b", "family: ':'", "family: 'os:system'", "family: '..:x'", "~: ~",
    "models: {mini: [true]}", "preserve: 3", "memory: {stream_blocks: x}", "flow: 5", "a: " + "9" * 5000,
    "--- a\n--- b",
    "!!set {a}", "a: !!timestamp x", "a: !!int x", "a: !!float x", "a: 1:2:3:4", "a: !!omap [b]", "a: !!pairs [b]",
]  # fmt: skip


def test_recipes(tmp_path: Path, rng: random.Random, rounds: int, tally: Tally) -> None:
    path = tmp_path / "recipe.yaml"
    for number, text in enumerate(DOCUMENTS):
        path.write_text(text)
        tally(f"document {number} {text[:30]!r}", load_recipe, path)
    for name in ("toy", "my_style"):
        whole = read_yaml(RECIPES / f"{name}.yaml")
        for number in range(40 * rounds):
            values = changed_json(whole, rng)
            if isinstance(values, dict):
                tally(f"{name} {number} {str(values)[-100:]}", make_recipe, values)
            path.write_bytes(json_text(values))  # every JSON text is YAML
            tally(f"{name} {number} as a file", load_recipe, path)
            path.write_bytes(changed_bytes((RECIPES / f"{name}.yaml").read_bytes(), rng))
            tally(f"{name} {number} bytes", load_recipe, path)


@pytest.mark.parametrize("part", ["[", "{", "- ", "? ", "[a,", "[[],", "{a: ", "[\n"])
def test_depth_costs_no_time(part: str, tmp_path: Path, tally: Tally) -> None:
    (tmp_path / "recipe.yaml").write_text(part * 20_000)
    with at_most(2):  # PyYAML's own time grows with the square of it
        tally(f"20,000 times {part!r}", read_yaml, tmp_path / "recipe.yaml")
        tally(f"20,000 times {part!r}", typed, TrainConfig, [f"data={part * 20_000}"])
    assert tally.refused >= 1


def test_overrides(rng: random.Random, rounds: int, tally: Tally) -> None:
    whole = read_yaml(RECIPES / "toy.yaml")
    names = [
        "loop.steps", "loop.precision", "loop.betas", "loop.loggers", "loop.run_dir", "loop.seed", "loop.ema",
        "loop.keep",
        "data.manifests", "data.cache_memory", "data.size", "data", "reward", "models.csd", "lora.rank",
        "flow.guidance",
        "family", "models.mini", "", ".", "a.b.c", "loop.", "preserve", "conditions.style_levels", "stage", "out", "\0",
    ]  # fmt: skip
    pairs = [(name, text) for name in names for text in TEXTS]
    for name, text in pairs:
        tally(f"{name}={text[:30]!r}", typed, TrainConfig, [f"{name}={text}"])
    for name, text in rng.sample(pairs, min(60 * rounds, len(pairs))):
        tally(f"{name}={text[:30]!r}", make_recipe, whole, None, [f"{name}={text}"])
    for number in range(20 * rounds):
        name = f"{rng.choice(names)}={rng.choice(TEXTS)}{rng.choice(HOSTILE)}"
        tally(f"override {number} {name[:50]!r}", make_recipe, whole, None, [name])


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    config = make_recipe(read_yaml(RECIPES / "toy.yaml"), {"loop.run_dir": folder})
    write_run(config, 8, "0" * 64)
    run_id(folder)
    for step in (1, 2):
        weight = torch.full((2, 2), float(step))
        optimizer = torch.optim.AdamW([torch.nn.Parameter(weight)]).state_dict()
        checkpoint.save(folder, step, {"w": weight}, None, optimizer)
    return folder


@pytest.mark.parametrize("name", ["config.yaml", "data.json", "run.json"])
def test_files_of_a_run(name: str, run_dir: Path, rng: random.Random, rounds: int, tally: Tally) -> None:
    path = run_dir / name
    whole = path.read_bytes()
    values = yaml.safe_load(whole)
    read: Callable[..., Any] = {"config.yaml": read_run, "data.json": read_data, "run.json": run_id}[name]
    for number in range(40 * rounds):
        path.write_bytes(changed_bytes(whole, rng) if number % 2 else json_text(changed_json(values, rng)))
        tally(f"{name} {number}", read, run_dir)
    path.write_bytes(b"[" * 5000)
    tally("deep", read, run_dir)


@pytest.mark.filterwarnings("ignore")
def test_checkpoints(run_dir: Path, rng: random.Random, rounds: int, tally: Tally) -> None:
    folder = run_dir / "checkpoint-0000002"
    complete, state = (folder / "COMPLETE").read_bytes(), (folder / "optimizer.pt").read_bytes()
    for number in range(60 * rounds):
        values = json.loads(complete)
        changed = changed_bytes(complete, rng) if number % 2 else json_text(changed_json(values, rng))
        (folder / "COMPLETE").write_bytes(changed)
        found = tally(f"COMPLETE {number}", checkpoint.latest, run_dir)
        assert found is not None
        if found.step == 2:  # whether a person asked for it is no part of what is in it
            told = json.loads(changed)
            assert (told["step"], told["sha256"]) == (values["step"], values["sha256"]), (told, values)
        tally(f"COMPLETE {number}", prune, run_dir, 5, None, 5, 2)
    told = json.loads(complete)
    for number in range(40 * rounds):
        (folder / "optimizer.pt").write_bytes(changed_bytes(state, rng))
        told["sha256"]["optimizer.pt"] = sha256_of(folder / "optimizer.pt")
        (folder / "COMPLETE").write_text(json.dumps(told))
        found = tally(f"optimizer {number}", checkpoint.latest, run_dir)
        tally(f"optimizer {number}", found.optimizer)
