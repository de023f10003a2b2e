"""A run goes on under the settings of now: they take effect, or the optimizer begins anew and it is said."""

from __future__ import annotations

import pytest
import torch
from comfyui_uso.trainer.engine import checkpoint
from comfyui_uso.trainer.engine.loop import run
from comfyui_uso.trainer.engine.loss import LossTerm

from .conftest import Toy, rows_of


def go(config):
    toy = Toy()
    run(config, toy, [LossTerm("fit", toy.losses)], rows_of)
    return toy.weight.detach(), checkpoint.latest(config.run_dir).optimizer()


@pytest.mark.parametrize("change", [{"weight_decay": 0.9}, {"betas": (0.1, 0.2)}, {"learning_rate": 0.5}, {}])
@pytest.mark.parametrize("optimizer", ["adamw", "prodigy"])
def test_changed_settings_take_effect_and_the_state_stays(change, optimizer, loop, tmp_path):
    if optimizer == "prodigy":
        pytest.importorskip("prodigyopt")
    go(loop(steps=4, optimizer=optimizer, run_dir=tmp_path / "kept"))
    kept, _ = go(loop(steps=6, optimizer=optimizer, run_dir=tmp_path / "kept"))
    go(loop(steps=4, optimizer=optimizer, run_dir=tmp_path / "other"))
    other, state = go(loop(steps=6, optimizer=optimizer, run_dir=tmp_path / "other", **change))
    assert torch.equal(kept, other) == (not change)
    group = state["param_groups"][0]
    assert all(group["lr" if name == "learning_rate" else name] == value for name, value in change.items())
    assert state["state"][0]["step"] == 6


@pytest.mark.parametrize(("first", "second"), [("adamw", "prodigy"), ("prodigy", "adamw")])
@pytest.mark.parametrize("old", [False, True])
def test_another_optimizer_begins_anew_and_says_so(first, second, old, loop, caplog):
    pytest.importorskip("prodigyopt")
    go(loop(steps=2, optimizer=first))
    if old:  # the first versions did not say which optimizer a state is of
        path = checkpoint.latest(loop().run_dir).folder / "optimizer.pt"
        state = torch.load(path, weights_only=True)
        assert state.pop("optimizer")
        torch.save(state, path)
        told = checkpoint.told_of(path.parent)
        told["sha256"]["optimizer.pt"] = checkpoint.sha256_of(path)
        checkpoint.tell(path.parent, told)
    _, state = go(loop(steps=4, optimizer=second))
    assert "the weights go on from step 2, the optimizer begins anew" in caplog.text
    assert ("d" in state["param_groups"][0]) == (second == "prodigy") and state["state"][0]["step"] == 2


def test_a_checkpoint_says_whether_a_person_asked_for_it(loop, toy, term):
    config = loop(keep=1, keep_weights=0)

    def asking(random):
        if random.step == 0:
            (config.run_dir / "SAVE").touch()
        return rows_of(random)

    run(config.model_copy(update={"prefetch": 0}), toy, [term], asking)
    assert [(found.step, found.is_asked) for found in checkpoint.checkpoints(config.run_dir)] == [(1, True), (6, False)]
