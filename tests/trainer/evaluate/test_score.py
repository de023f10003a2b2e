"""Scoring: the numbers, what is wrong with pictures, real pictures and shuffled references, and shards."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from comfyui_uso.trainer.evaluate.baselines import shuffled_references
from comfyui_uso.trainer.evaluate.bench import read_bench
from comfyui_uso.trainer.evaluate.measures import standard_measures
from comfyui_uso.trainer.evaluate.score import Scored, score_run
from comfyui_uso.trainer.evaluate.scores import Header, read_scores, write_scores
from comfyui_uso.uso_model.errors import UserError
from PIL import Image

from .judged import Projection, draw, judges, write_judged_bench


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    return write_judged_bench(tmp_path / "bench")


@pytest.fixture
def run(bench: Path, tmp_path: Path) -> Path:
    return draw(bench, tmp_path / "run")


def scored(bench: Path, run: Path, **settings) -> Scored:
    found = judges()
    return score_run(bench, run, standard_measures(found), [judge.card for judge in found], **settings)


def test_numbers_are_those_of_a_plain_loop(bench: Path, run: Path):
    header, scores = (done := scored(bench, run)).header, done.scores
    assert (header.expected, header.problems) == (27, {})
    assert [card.name for card in header.measures] == ["clip_i", "clip_t", "leak", "csd"]
    clip, csd = judges()
    _, rows, _ = read_bench(bench)
    by_id = {row.id: row for row in rows}

    def seen(judge: Projection, path: Path) -> torch.Tensor:
        return judge.embed(judge.prepare(Image.open(path))[None])[0]

    bench_pictures = read_bench(bench)[0].pictures
    for score in (one for one in scores if one.whose == "model"):
        row, drawn = by_id[score.row], run / "pictures" / f"{score.row}_{score.sample}.png"
        against = [float(seen(clip, drawn) @ seen(clip, bench / bench_pictures[k].path)) for k in row.against_subject]
        assert (score.values["clip_i"] is None) == (not against)
        assert not against or score.values["clip_i"] == pytest.approx(np.mean(against), abs=1e-5)
        if row.style:
            assert score.values["csd"] == pytest.approx(
                float(seen(csd, drawn) @ seen(csd, bench / bench_pictures[row.style].path)), abs=1e-5
            )
        if row.prompt:
            text = float(clip.embed_texts([row.prompt])[0] @ seen(clip, drawn))
            assert score.values["clip_t"] == pytest.approx(max(0, text), abs=1e-5)
        else:
            assert score.values["clip_t"] is None


def test_the_second_time_nothing_is_judged_again(bench: Path, run: Path):
    first = scored(bench, run).path.read_bytes()
    found = judges()
    done = score_run(bench, run, standard_measures(found), [judge.card for judge in found])
    assert done.path.read_bytes() == first and [judge.embedded for judge in found] == [0, 0]
    for path in (run.parent / "features").rglob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    assert scored(bench, run).path.read_bytes() == first
    found = judges()
    score_run(bench, run, standard_measures(found), [judge.card for judge in found])
    assert found[0].embedded == 0, "what was damaged is there again"


def test_real_pictures_are_more_and_shuffled_references_less(bench: Path, run: Path):
    scores = scored(bench, run).scores

    def mean(whose: str, column: str, task: str) -> float:
        found = [s.values.get(column) for s in scores if s.whose == whose and s.task == task]
        return float(np.mean([value for value in found if value is not None]))

    for column, task in (("clip_i", "subject"), ("csd", "style"), ("csd", "joint_kept")):
        assert mean("chance", column, task) < mean("model", column, task) < 1
        assert mean("chance", column, task) < mean("oracle", column, task) < 1
    assert not any(s.values.get("clip_t") for s in scores if s.whose != "model")
    _, rows, _ = read_bench(bench)
    for row_id, row in shuffled_references(rows).items():
        was = next(one for one in rows if one.id == row_id)
        assert row.content is None or row.content != was.content
        assert row.style is None or row.style != was.style
    assert shuffled_references(rows) == shuffled_references(rows)


def bomb(path: Path, side: int) -> None:
    """Write a small PNG whose header says that it is huge."""
    Image.new("RGB", (8, 8), "red").save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", side, side)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)


def test_what_is_wrong_is_named_and_the_rest_is_scored(bench: Path, run: Path):
    pictures = run / "pictures"
    (pictures / "subject-0-0_0.png").unlink()
    (pictures / "subject-0-0_1.png").write_text("no picture")
    bomb(pictures / "subject-0-1_0.png", 30_000)
    bomb(pictures / "subject-0-1_1.png", 9_000)
    Image.new("RGB", (32, 32)).save(pictures / "style-ink-0_0.png")
    Image.new("RGB", (32, 32), "red").save(pictures / "style-ink-1_0.png")
    Image.open(pictures / "kept-0-ink_0.png").resize((48, 32)).save(pictures / "kept-0-ink_0.png")
    (pictures / "kept-0-oil_0.png").write_bytes((pictures / "kept-0-oil_0.png").read_bytes()[:200])
    (pictures / "kept-1-oil_0.png").unlink()
    (pictures / "kept-1-oil_0.png").mkdir()
    done = scored(bench, run)
    assert done.header.problems == {
        "missing": 2, "unreadable": 3, "too large": 1, "black": 1, "one colour": 1, "wrong size": 1,
    }  # fmt: skip
    header, scores = read_scores(run)
    assert header == done.header and scores == done.scores
    by_name = {f"{s.row}_{s.sample}": s for s in scores if s.whose == "model"}
    assert len(by_name) == 27
    assert by_name["subject-0-1_0"].problem == "too large" and by_name["subject-0-1_0"].values["clip_i"] is None
    for name in ("style-ink-0_0", "style-ink-1_0", "kept-0-ink_0"):
        assert by_name[name].values["csd"] is not None, "no outlier is dropped"
    assert by_name["subject-1-0_0"].problem is None


class Broken(Projection):
    """A judge that has no numbers for bright pictures."""

    def embed(self, prepared: torch.Tensor) -> torch.Tensor:
        bright = prepared.mean((1, 2, 3)) > 0.9
        return super().embed(prepared).masked_fill(bright[:, None], torch.nan)


def test_numbers_that_are_none_are_counted_and_not_kept(bench: Path, run: Path):
    Image.fromarray(np.random.default_rng(0).integers(240, 255, (32, 32, 3), np.uint8)).save(
        run / "pictures" / "style-ink-0_0.png"
    )
    for _ in range(2):
        done = score_run(bench, run, standard_measures([Broken("csd", ("style",)), judges()[0]]))
        assert done.header.problems == {"not finite": 1}
        score = next(s for s in done.scores if s.problem)
        assert score.values["csd"] is None and score.values["clip_t"] is not None


def test_shards_make_what_one_scoring_makes(bench: Path, run: Path):
    scored(bench, run, shard=(2, 2))
    whole = scored(bench, run)
    assert [path.name for path in run.glob("scores*")] == ["scores.jsonl"], "those of another division are gone"
    for number in (1, 2, 3):
        scored(bench, run, shard=(number, 3))
    assert len(list(run.glob("scores*"))) == 3
    header, scores = read_scores(run)
    assert header == whole.header

    def order(score) -> tuple:
        return score.whose, score.row, score.sample, score.sha256

    assert sorted(scores, key=order) == sorted(whole.scores, key=order)


def test_what_cannot_be_scored_is_one_sentence(bench: Path, run: Path, tmp_path: Path):
    with pytest.raises(UserError, match="is no folder; draw the bench"):
        scored(bench, tmp_path / "nowhere")
    with pytest.raises(UserError, match="name a judge with --judge"):
        score_run(bench, run, [])
    with pytest.raises(UserError, match="two judges give a column csd"):
        score_run(bench, run, standard_measures([Projection("csd", ("style",))] * 2))
    (run / "run.json").write_text('{"bench": "other", "drawer": {}}')
    with pytest.raises(UserError, match="drawn of another bench"):
        scored(bench, run)
    next((bench / "pictures").iterdir()).unlink()
    with pytest.raises(UserError, match="is not there; build the bench again"):
        scored(bench, tmp_path)


def test_references_that_were_changed_are_not_scored_with(bench: Path, run: Path):
    path = next(iter(read_bench(bench)[0].pictures.values())).path
    Image.new("RGB", (32, 32), "red").save(bench / path)
    with pytest.raises(UserError, match="holds something else than its name says"):
        scored(bench, run)
    assert not (run / "scores.jsonl").exists()


@pytest.mark.parametrize("wrong", [{"row": "/etc/secret"}, {"row": "../../secret"}, {"sample": -1}])
def test_scores_of_a_stranger_name_no_file_outside(wrong: dict[str, object], tmp_path: Path):
    write_scores(tmp_path / "scores.jsonl", Header(protocol="p", bench="b"), [])
    with (tmp_path / "scores.jsonl").open("a") as file:
        file.write(json.dumps({"row": "a", "sample": 0, "task": "style", **wrong}) + "\n")
    with pytest.raises(UserError, match=r"line 2.*score the run again"):
        read_scores(tmp_path)


def test_any_folder_of_pictures_can_be_scored(bench: Path, run: Path):
    done = scored(bench, run / "pictures")
    assert done.header.problems == {} and done.header.model == {"name": "pictures"}
