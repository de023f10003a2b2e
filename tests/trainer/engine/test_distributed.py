"""Two processes on gloo end in the weights of one that computes the same batches, replicated and sharded."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
import yaml
from comfyui_uso.trainer.engine.checkpoint import latest
from comfyui_uso.trainer.engine.shard import shard
from comfyui_uso.trainer.settings.loop import LoopConfig

TOLERANCE = 1e-6
"""Only the order of sums differs; measured: 3e-7."""

LAUNCH = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "comfyui_uso.trainer"]


def settings(tmp_path, manifest, name):
    """A run of USO-mini on pictures of 32 pixels, with references dropped at random and every row on its own."""
    return {
        "stage": "triplet",
        "data": {"manifests": [str(manifest)], "cache": str(tmp_path / "cache"), "size": 32, "content_size": 32},
        "models": {"mini": True},
        "lora": {"rank": 4},
        "train_projector": True,
        "conditions": {"dropout": 0.5},
        "memory": {"base": "fp32"},
        "out": str(tmp_path / f"out-{name}"),
        "loop": {
            "run_dir": str(tmp_path / name),
            "steps": 3,
            "batch_size": 4,
            "micro_batch": 1,
            "learning_rate": 1e-3,
            "loggers": [],
            "log_every": 1,
            "ema": 0.9,
        },
    }


def train(tmp_path, manifest, name, launch=("-m", "comfyui_uso.trainer"), values=None, **variables):
    recipe = tmp_path / f"{name}.yaml"
    recipe.write_text(yaml.safe_dump(values or settings(tmp_path, manifest, name)), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, *launch, "train", str(recipe)],
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", **variables},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return latest(tmp_path / name), done.stderr


SLOW = """
import os, sys, time
import comfyui_uso.trainer.train as module

def slow(call):
    def called(*args, **named):
        if os.environ["RANK"] == "0":
            time.sleep(25)
        return call(*args, **named)
    return called

module.encode, module.export = slow(module.encode), slow(module.export)
from comfyui_uso.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.long
def test_no_process_fails_for_waiting_while_another_encodes_or_exports(tmp_path, manifest):
    """The limit is 15 seconds, and the first process takes 25 each time."""
    script = tmp_path / "slow.py"
    script.write_text(SLOW, encoding="utf-8")
    launch = [*LAUNCH[: LAUNCH.index("-m", 1)], str(script)]
    recipe = settings(tmp_path, manifest, "slow")
    recipe["loop"] |= {"process_timeout": 0.25, "steps": 1}
    found, _ = train(tmp_path, manifest, "slow", launch, recipe)
    assert found.step == 1 and (tmp_path / "out-slow" / "slow-0000001.safetensors").is_file()


def largest_difference(a, b):
    assert a.keys() == b.keys()
    return max((a[name] - b[name]).abs().max().item() for name in a)


@pytest.mark.long
def test_two_processes_are_one(tmp_path, manifest):
    one, _ = train(tmp_path, manifest, "one")
    start = settings(tmp_path, manifest, "one")["loop"]["learning_rate"]
    for name, variables in (("replicated", {}), ("sharded", {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"})):
        two, told = train(tmp_path, manifest, name, LAUNCH, **variables)
        assert json.loads((tmp_path / name / "env.json").read_text())["processes"] == "2"
        assert ("blocks are spread over 2 processes" in told) == (name == "sharded")
        assert largest_difference(one.trained(), two.trained()) <= TOLERANCE
        assert largest_difference(one.ema(), two.ema()) <= TOLERANCE
        lines = [[json.loads(line)["loss"] for line in (tmp_path / n / "log.jsonl").open()] for n in ("one", name)]
        assert torch.allclose(torch.tensor(lines[0]), torch.tensor(lines[1]), rtol=1e-4), "the log is of all processes"
    ups = [value.abs().max() for key, value in one.trained().items() if "lora_B" in key]
    assert all(value >= 0.5 * start for value in ups), "the runs must have moved for the comparison to mean anything"


def test_sharding_says_what_it_cannot_do(monkeypatch):
    class Two:
        num_processes = 2

    def asked(**changes):
        config = LoopConfig(**{"run_dir": "x", "steps": 1, "batch_size": 4, "learning_rate": 1.0, **changes})
        return lambda in_ram: shard(Two(), None, config, in_ram)

    monkeypatch.delenv("ACCELERATE_USE_FSDP", raising=False)
    asked()(in_ram=True)  # nobody asked for FSDP
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ValueError, match=r"set memory.blocks_to_swap=0 and memory.modulation=resident"):
        asked(micro_batch=1)(in_ram=True)
    with pytest.raises(ValueError, match=r"needs loop.micro_batch=1, got 2 rows"):
        asked()(in_ram=False)
