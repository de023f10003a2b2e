"""Rows by loss: what the noise makes of a loss does not count, and a kill's torn line is left out."""

from __future__ import annotations

import random

import pytest
from comfyui_uso.cli import main
from comfyui_uso.trainer.data.by_loss import standings
from comfyui_uso.trainer.engine.row_losses import RowLoss, read_row_losses
from comfyui_uso.trainer.train import train
from comfyui_uso.uso_model.errors import UserError


def test_a_row_stands_by_its_loss_at_equal_noise():
    dice = random.Random(1)
    losses = []
    for step in range(400):
        for name, factor in (("good", 1.0), ("bad", 1.5), ("noisy", 1.0)):
            t = dice.random() ** (3 if name == "noisy" else 1)  # always near the picture, where losses are high
            losses.append(RowLoss(step, name, t, factor * (0.1 + 2 * (1 - t) ** 2) * dice.uniform(0.8, 1.2)))
    first, *others = standings(losses)
    assert first.id == "bad" and first.n == 400 and first.ratio > 1.2
    assert all(0.8 < row.ratio < 1.0 for row in others) and others[0].loss != others[1].loss
    plain = {row.id: row.loss for row in standings(losses)}
    assert plain["noisy"] > plain["bad"], "by the plain loss the noise would have decided"


def test_the_command_lists_rows_with_their_targets(recipe, tiny_encoders, capsys):
    config = recipe(data={"flip": 0.0}, loop={"steps": 0, "epochs": 1.5, "log_every": 4, "save_every": 3})
    assert train(config, tiny_encoders) == 6, "one and a half times eight rows, two a step"
    losses = read_row_losses(config.loop.run_dir)
    assert len(losses) == 12 and {entry.id for entry in losses} <= {str(n) for n in range(8)}
    with (config.loop.run_dir / "rows.jsonl").open("a") as file:
        file.write('[7, "0", 0.3')
    assert main(["check", "--by-loss", str(config.loop.run_dir)]) == 0
    told = capsys.readouterr().out
    assert "ratio" in told and f"{losses[0].id}t.png" in told and len(told.splitlines()) == 1 + 8 + 3
    assert main(["check"]) != 0 and "name one or several" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"holds no losses of rows \(rows.jsonl\); train with loop.row_losses true"):
        read_row_losses(config.loop.run_dir / "elsewhere")
