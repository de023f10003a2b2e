"""Rows go through the steps with all workers busy, few rows in memory, and nothing done twice or forgotten."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from comfyui_uso.trainer.curate.entry import DRAWN
from comfyui_uso.trainer.curate.ledger import Journal, Ledger
from comfyui_uso.trainer.curate.pictures import Pictures
from comfyui_uso.trainer.curate.pipeline import Pipeline
from comfyui_uso.trainer.curate.run.driver import Driver
from comfyui_uso.trainer.curate.run.local import run_local
from comfyui_uso.trainer.curate.run.place import Threads
from comfyui_uso.trainer.curate.run.worker import Worker, do
from comfyui_uso.trainer.curate.steps import Again, Rejected, Result, Row, StepPlan, Task
from comfyui_uso.uso_model.errors import UserError
from PIL import Image


def rows(count: int) -> list[Row]:
    return [Row(Row.id_of(str(number), "preserved", 0), str(number), "", "preserved") for number in range(count)]


class Step:
    """Calls what it is given."""

    def __init__(self, name: str, call: Any = None, needs: tuple[str, ...] = (), workers: int = 1, expert: str = ""):
        self.plan = StepPlan(name, needs, (), {}, expert or name, workers)
        self.call = call or (lambda task: Result(values={}))
        self.seen: list[Task] = []
        self.drawn = {name: Image.new("RGB", (1, 1)) for name in {name} & set(DRAWN)}

    def __call__(self, task: Task, pictures: Pictures) -> Result:
        self.seen.append(task)
        result = self.call(task)
        return result if result.state != "done" or result.pictures else replace(result, pictures=self.drawn)


def run(folder: Path, steps: list[Step], source: Any, **options: Any) -> tuple[Driver, Ledger]:
    ledger = Ledger(folder)
    return run_local(Pipeline([step.plan for step in steps]), steps, source, ledger, **options), ledger


def test_all_workers_of_an_expert_are_busy(tmp_path: Path) -> None:
    slow = Step("style", lambda task: Result(notes={"slept": time.sleep(0.1)}), ("target",), workers=2)
    began = time.monotonic()
    run(tmp_path, [Step("target"), slow], rows(20))
    assert time.monotonic() - began < 1.3  # ideal: 1 s


def test_a_step_that_needs_another_waits_for_it_and_one_that_does_not_is_done_meanwhile(tmp_path: Path) -> None:
    meet = threading.Barrier(2, timeout=5)
    style = Step("style", lambda task: Result(notes={"met": meet.wait()}), ("target",))
    content = Step("content", lambda task: Result(notes={"met": meet.wait()}), ("target",))
    look = Step("look", needs=("style", "content"))
    run(tmp_path, [Step("target"), style, content, look], rows(3))
    assert len(look.seen) == 3 and all(set(task.inputs) == {"style", "content"} for task in look.seen)


def test_a_long_source_is_read_as_rows_end(tmp_path: Path) -> None:
    taken, most = 0, 0
    last = Step("style", needs=("target",))

    def source() -> Iterator[Row]:
        nonlocal taken, most
        for row in rows(600):
            taken += 1
            most = max(most, taken - len(last.seen))
            yield row

    run(tmp_path, [Step("target"), last], source())
    assert len(last.seen) == 600
    assert most <= 64 + 16 + 2 * 2 + 2 * 2, "rows that were taken and had not ended"


def test_a_second_run_does_what_is_new(tmp_path: Path) -> None:
    step = Step("target")
    run(tmp_path, [step], rows(3))
    run(tmp_path, [step], rows(5))
    assert sorted(task.row.key for task in step.seen) == ["0", "1", "2", "3", "4"]


def test_an_attempt_that_fails_is_followed_by_another_with_another_seed(tmp_path: Path) -> None:
    def fail(task: Task) -> Result:
        raise Again("a bad hand")

    step = Step("target", fail)
    driver, _ = run(tmp_path, [step], rows(1))
    assert [task.attempt for task in step.seen] == [0, 1, 2]
    assert len({task.seed for task in step.seen}) == 3
    assert driver.counts.again == 2 and driver.counts.standings == {"failed": 1}

    run(tmp_path, [step], rows(1))
    assert len(step.seen) == 3, "its attempts are used up"
    run(tmp_path, [step], rows(1), retry_failed=True)
    assert len(step.seen) == 4, "once more for each run that asks for it"


def test_what_a_judge_left_unanswered_is_asked_once_in_each_run(tmp_path: Path) -> None:
    judge = Step("vlm", lambda task: Result(state="unjudged", reason="prose"))
    for asked in (1, 2, 3):
        driver, _ = run(tmp_path, [judge], rows(1))
        assert len(judge.seen) == asked
        assert driver.counts.standings == {"unjudged": 1}
    judge.call = lambda task: Result(values={"vlm_style": 4})
    for _ in range(2):
        driver, _ = run(tmp_path, [judge], rows(1))
        assert driver.counts.standings == {"complete": 1} and len(judge.seen) == 4


def test_what_a_machine_with_a_fast_clock_has_left_is_tried_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(task: Task) -> Result:
        raise Again("a bad hand")

    broken, judge = Step("style", fail), Step("vlm", lambda task: Result(state="unjudged", reason="prose"))
    with monkeypatch.context() as patch:
        patch.setattr("comfyui_uso.trainer.curate.run.worker.now", lambda: time.time() + 3600)
        run(tmp_path, [broken, judge], rows(1))
    assert len(broken.seen) == 3 and len(judge.seen) == 1
    run(tmp_path, [broken, judge], rows(1), retry_failed=True)
    assert len(broken.seen) == 4 and len(judge.seen) == 2


def test_a_rejected_row_costs_nothing_more(tmp_path: Path) -> None:
    def reject(task: Task) -> Result:
        raise Rejected("black", {"target_width": 1})

    later = Step("style", needs=("target",))
    driver, ledger = run(tmp_path, [Step("target", reject), later], rows(2))
    assert driver.counts.standings == {"rejected": 2} and not later.seen
    assert {(one.state, one.reason) for one in ledger.entries()} == {("rejected", "black")}


def test_a_row_that_was_rejected_meanwhile_leaves_the_queue(tmp_path: Path) -> None:
    waiting = threading.Event()

    def slow(task: Task) -> Result:
        waiting.set()
        while sum(one.state == "rejected" for one in Ledger(tmp_path).entries()) < 2:
            time.sleep(0.01)
        time.sleep(0.3)  # until the driver has heard of it
        return Result()

    def reject(task: Task) -> Result:
        assert waiting.wait(5)
        raise Rejected("no subject")

    style = Step("style", slow, ("target",))
    content = Step("content", reject, ("target",))
    run(tmp_path, [Step("target", workers=2), style, content], rows(2))
    assert len(content.seen) == 2 and len(style.seen) == 1, "the other one was still waiting for its worker"


@pytest.mark.parametrize("problem", [UserError("no such model; put it there"), OSError("no room"), ZeroDivisionError()])
def test_what_cannot_go_on_stops_the_run_and_loses_nothing(tmp_path: Path, problem: Exception) -> None:
    def call(task: Task) -> Result:
        if len(step.seen) == 5:
            raise problem
        time.sleep(0.01)
        return Result()

    step = Step("target", call, workers=2)
    with pytest.raises(type(problem)):
        run(tmp_path, [step], rows(300))
    assert len(step.seen) < 10, "nothing more is begun"
    assert len(Ledger(tmp_path)) == len(step.seen) - 1


def test_two_drivers_of_one_run_come_to_one_result(tmp_path: Path) -> None:
    """As on a drive that hides one from the other: each draws its own picture, and one of them counts for both."""

    def draw(task: Task) -> Result:
        colour = hash((task.id, threading.get_ident())) % 256
        time.sleep(0.001)
        return Result({task.plan.name: Image.new("RGB", (2, 2), (colour, 0, 0))})

    source = rows(30)
    names = [("target", ()), ("style", ("target",)), ("content", ("target",))]
    both = [[Step(name, draw, needs, 2) for name, needs in names] for _ in range(2)]
    threads = [threading.Thread(target=drive, args=(tmp_path, steps, source)) for steps in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pipeline = Pipeline([step.plan for step in both[0]])
    results = []
    for _ in range(2):
        ledger = Ledger(tmp_path)
        found = [pipeline.progress(row, ledger) for row in source]
        assert [one.standing for one in found] == ["complete"] * 30
        results.append([one.pictures for one in found])
        assert all(ledger.pictures.proves(stored) for one in found for stored in one.pictures.values())
    assert results[0] == results[1]


def drive(folder: Path, steps: list[Step], source: list[Row]) -> None:
    ledger = Ledger(folder)
    worker = Worker(folder, {step.plan.name: step for step in steps})
    places = {step.plan.name: Threads(worker, 2, step.plan.name) for step in steps}
    asyncio.run(Driver(Pipeline([step.plan for step in steps]), ledger, places).run(source))


def test_a_picture_that_is_made_again_otherwise_counts(tmp_path: Path) -> None:
    """The first line names a picture that is gone, and nothing draws it a second time."""
    step = Step("target", lambda task: Result({"target": Image.new("RGB", (2, 2), (len(step.seen), 0, 0))}))
    _, ledger = run(tmp_path, [step], rows(1))
    (entry,) = ledger.entries()
    ledger.pictures.path(entry.pictures["target"].sha256).unlink()
    for _ in range(2):
        _, ledger = run(tmp_path, [step], rows(1))
        found = ledger.get(entry.id)
        assert found is not None and found.pictures != entry.pictures
        assert len(step.seen) == 2


def test_lines_of_one_step_count_in_their_order_whoever_reads_them(tmp_path: Path) -> None:
    step, (row,) = Step("target"), rows(1)
    pipeline = Pipeline([step.plan])
    (task,) = pipeline.progress(row, Ledger(tmp_path)).tasks
    journals = [Journal(tmp_path) for _ in range(3)]
    for journal in journals:
        step.call = lambda task, name=journal.path.stem: Result(values={"by": name})
        journal.add(do(step, task, Pictures(tmp_path)))
    found = Ledger(tmp_path).get(task.id)
    assert found is not None and found.values["by"] == journals[0].path.stem
