"""The step `vlm`: three rounds about each pair, in both orders; what a server does wrong costs tries and no truth."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from comfyui_uso.trainer.curate.judging.vlm import pair_values
from comfyui_uso.trainer.curate.ledger import Entry, Journal, Ledger
from comfyui_uso.trainer.curate.pipeline import Progress
from comfyui_uso.trainer.curate.raw_answers import with_raw
from comfyui_uso.trainer.curate.steps import Row

from .fake_vlm import FAULTS, PARTS, FakeVlm, completion, fake_vlm
from .vlm_rows import KEY, judge_of, judged

ROWS = 6


def test_asks_three_rounds_of_each_pair_in_both_orders(tmp_path: Path) -> None:
    with fake_vlm() as server:
        step = judge_of(server.address, cost_in=2.0, cost_out=10.0)
        entry = judged(step, tmp_path, 1)
    assert entry.state == "done" and len(server.requests) == 2 * 2 * 3
    assert set(entry.values) == {"vlm_style", "vlm_style_unsure", "vlm_subject", "vlm_subject_unsure"}
    assert set(entry.values) == set(step.plan.scores)
    expected = [pair_values(pair, entry.notes["raw"]["parts"][pair]) for pair in ("style", "subject")]
    assert entry.values == expected[0] | expected[1]
    assert all(set(scores) == set(PARTS) for orders in entry.notes["raw"]["parts"].values() for scores in orders)
    assert entry.notes["raw"]["models"] == ["judge-1 (build 7)"] and entry.notes["raw"]["prompt_hashes"]["style"]
    assert entry.notes["tokens_in"] == 12_000 and entry.notes["tokens_out"] == 1_200
    assert entry.notes["cost"] == pytest.approx(0.036)
    assert [answer["place"] for answer in entry.notes["raw"]["answers"]][:4] == [
        *(f"style, order 1, round {number}" for number in (1, 2, 3)),
        "style, order 2, round 1",
    ]
    body = server.requests[0]
    assert body["temperature"] == 0 and body["response_format"]["type"] == "json_schema"
    first, second = (
        [part for part in body["messages"][0]["content"] if "image_url" in part]
        for body in (server.requests[0], server.requests[3])
    )
    assert first == second[::-1]


def test_two_orders_that_disagree_make_a_pair_unsure() -> None:
    assert pair_values("style", [{"a": 4, "b": 3}, {"a": 3, "b": 2}]) == {"vlm_style": 3.0, "vlm_style_unsure": 0}
    assert pair_values("style", [{"a": 4, "b": 4}, {"c": 2}]) == {"vlm_style": 3.0, "vlm_style_unsure": 1}


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "timeout"])
def test_what_no_try_answers_is_unjudged_with_the_raw_answer(tmp_path: Path, fault: str) -> None:
    with fake_vlm(chosen=FAULTS[fault]) as server:
        entry = judged(judge_of(server.address, tries=2), tmp_path, 1)
    assert entry.state == "unjudged" and not entry.values and entry.reason
    assert len(server.requests) == 2 == len(entry.notes["raw"]["faults"])
    assert fault in ("cut", "empty") or entry.notes["raw"]["faults"][-1]["raw"]
    line = entry.line()
    assert line.count(b"\n") == 1 and len(line) < 100_000
    assert json.loads(line)["reason"].isprintable() and Entry.read(line).notes["retries"] == 1


def test_what_a_model_said_stands_in_the_journal_and_not_in_memory(tmp_path: Path) -> None:
    with fake_vlm() as server:
        entry = judged(judge_of(server.address), tmp_path, 1)
    journal, ledger = Journal(tmp_path), Ledger(tmp_path)
    ledger.add(entry, journal)
    journal.close()
    for one in (ledger, Ledger(tmp_path)):
        held = one.get(entry.id)
        assert held and held.values == entry.values and "raw" not in held.notes
        assert held.notes["tokens_in"] == entry.notes["tokens_in"] and len(str(held.notes)) < 200
    row = Progress(Row("0" * 32, "a.png", "1", "shifted"), {"vlm": held})
    (told,) = with_raw(tmp_path, [row])
    assert told.entries["vlm"].notes == entry.notes == json.loads(journal.path.read_bytes())["notes"]


def test_an_answer_that_does_not_come_is_unjudged(tmp_path: Path) -> None:
    with fake_vlm(chosen=FAULTS["timeout"], share=1.0, faults=["timeout"]) as server:
        entry = judged(judge_of(server.address, tries=1, timeout=0.1), tmp_path, 1)
    assert entry.state == "unjudged" and "within 0.1 s" in entry.reason


def one_run(server: FakeVlm, run: Path, rows: list[int], attempt: int, timeout: float) -> dict[int, Entry]:
    """Ask about rows, several at once, and write what became of them into a journal."""
    step, journal = judge_of(server.address, tries=2, timeout=timeout), Journal(run)
    with ThreadPoolExecutor(4) as pool:
        found = dict(zip(rows, pool.map(lambda row: judged(step, run, row, attempt), rows), strict=True))
    for entry in found.values():
        journal.add(entry)
    journal.close()
    return found


def test_with_all_faults_every_row_is_judged_after_enough_runs_as_without(tmp_path: Path) -> None:
    rows = list(range(ROWS))
    with fake_vlm() as server:
        right = {row: entry.values for row, entry in one_run(server, tmp_path / "right", rows, 0, 10).items()}
    assert len({str(values) for values in right.values()}) > ROWS / 2
    done: dict[int, Any] = {}
    with fake_vlm(share=0.3) as server:
        for attempt in range(40):
            found = one_run(server, tmp_path / "run", [row for row in rows if row not in done], attempt, 0.4)
            assert all((entry.state == "done") == bool(entry.values) for entry in found.values())
            assert all(entry.state == "done" or entry.notes["raw"]["faults"] for entry in found.values())
            done |= {row: entry.values for row, entry in found.items() if entry.state == "done"}
            if len(done) == ROWS:
                break
    assert done == right and attempt > 0
    lines = [line for file in (tmp_path / "run/journal").iterdir() for line in file.read_bytes().splitlines(True)]
    assert all(Entry.read(line).step == "vlm" for line in lines)
    assert not [line for line in lines if KEY.encode() in line]


def test_many_rows_without_a_judgement_stop_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from comfyui_uso.trainer.curate.judging import vlm_streak
    from comfyui_uso.uso_model.errors import UserError

    monkeypatch.setattr(vlm_streak, "MOST_MISSED", 3)
    with fake_vlm(chosen=lambda body: FAULTS["prose"](body)) as server:
        step = judge_of(server.address, tries=1)
        assert [judged(step, tmp_path, number).state for number in range(2)] == ["unjudged"] * 2
        with pytest.raises(
            UserError, match=r"nothing that can be used for 3 rows one after the other .*it is not JSON"
        ):
            judged(step, tmp_path, 2)


def test_a_try_that_failed_leaves_no_trace_in_later_rounds(tmp_path: Path) -> None:
    wrong = iter([True, False])

    def once(body: dict[str, Any]) -> Any:
        return (200, {}, json.dumps(completion("no JSON")).encode()) if next(wrong, False) else None

    with fake_vlm(chosen=once) as server:
        assert judged(judge_of(server.address), tmp_path, 1).state == "done"
    assert "could not be used: it is not JSON" in server.requests[1]["messages"][0]["content"][-1]["text"]
    assert "could not be used" not in json.dumps(server.requests[2:])
