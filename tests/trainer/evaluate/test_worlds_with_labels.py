"""What a world with labels adds to a bench: targets, strangers, facts, and measures and judges of its protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_uso.cli import main
from comfyui_uso.trainer.evaluate.baselines import real_pictures, shuffled_references
from comfyui_uso.trainer.evaluate.bench import Row, read_bench
from comfyui_uso.trainer.evaluate.find_measures import find_measures, own_protocol, usual_judges
from comfyui_uso.trainer.evaluate.short_names import spelt_out
from comfyui_uso.uso_model.errors import UserError

from .judged import draw, judges, write_judged_bench


def row(number: int, subject: str, style: str, **changed: Any) -> Row:
    return Row(
        id=f"row-{number}",
        task="joint_kept",
        prompt="",
        prompt_id="kept",
        content=f"{subject}-photo",
        subject=subject,
        style=f"{style}-picture",
        style_name=style,
        against_subject=[f"{subject}-photo"],
        against_style=[f"{style}-picture"],
        target=f"{subject}-{style}",
        strangers=[f"{subject}-stranger"],
        facts={"subject": subject, "style": style, "layout": "kept"},
    ).model_copy(update=changed)


ROWS = [row(0, "cat", "ink"), row(1, "cup", "oil"), row(2, "cat", "oil")]


def test_a_target_stands_for_each_row_that_has_one() -> None:
    untold = row(3, "dog", "ink", target=None, against_subject=["dog-photo", "dog-other"])
    found = list(real_pictures([*ROWS, untold]))
    assert [(real.row.id, real.key) for real in found if real.what == "target"] == [
        ("row-0", "cat-ink"),
        ("row-1", "cup-oil"),
        ("row-2", "cat-oil"),
    ]
    assert {real.key for real in found if real.row.id == "row-3"} == {"dog-photo", "dog-other"}


def test_what_belongs_to_a_reference_is_exchanged_with_it() -> None:
    for name, changed in shuffled_references(ROWS).items():
        own = next(one for one in ROWS if one.id == name)
        assert changed.facts["layout"] == "kept"
        other_subject, other_style = changed.facts["subject"], changed.facts["style"]
        assert other_subject != own.subject and changed.strangers == [f"{other_subject}-stranger"]
        assert changed.against_subject == [f"{other_subject}-photo"]
        assert other_style != own.style_name and changed.against_style == [f"{other_style}-picture"]


def test_a_row_may_name_no_picture_that_the_bench_lacks(tmp_path: Path) -> None:
    bench = write_judged_bench(tmp_path / "bench")
    lines = (bench / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    lines[0] = lines[0][:-1] + ',"strangers":["nobody"]}'
    (bench / "rows.jsonl").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ValueError, match="nobody"):
        read_bench(bench)


class Labelled:
    """A protocol that brings judges and measures, and whose name is no import path."""

    name = "judged"

    @staticmethod
    def judges(device: torch.device | str) -> list[Any]:
        return judges()

    @staticmethod
    def measures(given: list[Any], device: torch.device | str) -> list[Any]:
        return [measure for measure in find_measures(None, given, device=device) if measure.card.judge == "csd"]


def test_a_protocol_brings_its_judges_and_their_measures(tmp_path: Path) -> None:
    bench = write_judged_bench(tmp_path / "bench")
    assert usual_judges(own_protocol(bench)) == []
    protocol = own_protocol(bench, named=f"{__name__}:Labelled")
    found = usual_judges(protocol)
    names = [measure.card.name for measure in find_measures(protocol, found)]
    assert names[0] == "csd" and len(names) == len(set(names)) and "clip_i" in names
    header = (bench / "bench.json").read_text(encoding="utf-8")
    (bench / "bench.json").write_text(header.replace('"judged"', '"other"'), encoding="utf-8")
    with pytest.raises(UserError, match=r"is the protocol judged, but the bench was made by other; correct --protocol"):
        own_protocol(bench, named=f"{__name__}:Labelled")


def test_code_that_a_bench_names_runs_only_if_it_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "brought_by_a_stranger.py").write_text("raise SystemExit('ran')")
    monkeypatch.syspath_prepend(tmp_path)
    bench = write_judged_bench(tmp_path / "bench")
    run = draw(bench, tmp_path / "run")
    header = (bench / "bench.json").read_text(encoding="utf-8")
    evil = "brought_by_a_stranger:protocol"
    (bench / "bench.json").write_text(header.replace('"judged"', f'"{evil}"'), encoding="utf-8")
    assert main(["eval", "score", str(bench), str(run)]) == 0
    assert "is none of this pack" in caplog.text
    with pytest.raises(SystemExit, match="ran"):
        own_protocol(bench, known=(evil,))


def test_short_names_are_spelt_out_and_files_stay() -> None:
    read = spelt_out({"own": "package.module:judge"})
    assert [read(text) for text in ("own", "own=a=b", "clip=own")] == [
        "package.module:judge",
        "package.module:judge=a=b",
        "clip=own",
    ]
