"""The bundled network is measured by one command."""

from __future__ import annotations

import pytest
from comfyui_uso.cli import main
from comfyui_uso.mini.bench.cases import CASES_SEED
from comfyui_uso.mini.experiment.measure_bundled import measure_bundled


@pytest.mark.long
def test_the_command_prints_what_the_judges_see(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mini", "measure", "--cases", "4"]) == 0
    head, *lines = [[part.strip() for part in line.split("|")] for line in capsys.readouterr().out.splitlines()]
    rows = {name: dict(zip(head[1:], map(float, numbers), strict=True)) for name, *numbers in lines}
    assert {"true", "none", "style", "subject", "joint", "joint/preserved", "joint/shifted"} <= set(rows)
    assert rows["subject/preserved"]["resemblance"] > 0.9 > rows["none"]["resemblance"]
    assert rows["style"]["likeness"] > rows["subject"]["likeness"] + 0.2


@pytest.mark.long
def test_another_seed_gives_other_cases() -> None:
    same, again, other = (measure_bundled(2, seed, ["none"])["true"] for seed in (CASES_SEED, CASES_SEED, 1))
    assert same == again != other


def test_too_few_cases_and_negative_seeds_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mini", "measure", "--cases", "1"]) == 2
    assert "--cases 1" in capsys.readouterr().err
    assert main(["mini", "measure", "--seed", "-1"]) == 2
    assert "--seed -1" in capsys.readouterr().err
