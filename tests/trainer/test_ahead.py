"""Work on threads ahead of what is taken: in order, and never much of it in memory."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from comfyui_uso.trainer.ahead import DEPTH, ahead
from comfyui_uso.trainer.curate.ledger import Ledger
from comfyui_uso.trainer.curate.pipeline import Pipeline
from comfyui_uso.trainer.curate.review.columns import choose_rows
from comfyui_uso.trainer.curate.review.write import write_page
from comfyui_uso.trainer.curate.run_folder import candidates
from comfyui_uso.trainer.curate.verify import verify
from comfyui_uso.trainer.curate.where import parse_where
from comfyui_uso.trainer.data.check import open_pictures

from .curate.reviewed import made_run

MANY = 4 * DEPTH


class Watched(ThreadPoolExecutor):
    """Counts the futures that somebody holds."""

    most = 0

    def __init__(self, *args: Any, **told: Any) -> None:
        super().__init__(*args, **told)
        self.held: weakref.WeakSet[Future[Any]] = weakref.WeakSet()

    def submit(self, *args: Any, **told: Any) -> Future[Any]:
        future = super().submit(*args, **told)
        self.held.add(future)
        Watched.most = max(Watched.most, len(self.held))
        return future


@pytest.fixture(autouse=True)
def _from_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watched, "most", 0)


def test_results_come_in_the_order_of_items_of_which_few_are_begun() -> None:
    begun: list[int] = []

    def call(item: int) -> int:
        begun.append(item)
        return item * item

    with ThreadPoolExecutor(3) as pool:
        results = ahead(pool, call, range(MANY), depth=5)
        assert next(results) == 0
        assert len(begun) <= 6
        assert list(results) == [item * item for item in range(1, MANY)]
    assert sorted(begun) == list(range(MANY))


def test_an_error_comes_where_its_item_is() -> None:
    with ThreadPoolExecutor(2) as pool:
        results = ahead(pool, lambda item: 6 // item, [3, 2, 0])
        assert [next(results), next(results)] == [2, 3]
        with pytest.raises(ZeroDivisionError):
            next(results)


def of_verify(run: Path, pipeline: Pipeline) -> int:
    return verify(run, pipeline).right


def of_a_page_elsewhere(run: Path, pipeline: Pipeline) -> int:
    ledger = Ledger(run)
    rows, count = choose_rows(candidates(pipeline, ledger), parse_where(""), MANY)
    page = write_page(run, run.parent / "page", pipeline, ledger, rows, count, {})
    return len(list(page.parent.glob("pictures/*/*.jpg")))


def of_check(run: Path, pipeline: Pipeline) -> int:
    return len(open_pictures(sorted(run.glob("pictures/*/*.png"))))


@pytest.mark.parametrize(
    ("module", "work"),
    [
        ("trainer.curate.verify", of_verify),
        ("trainer.curate.review.write", of_a_page_elsewhere),
        ("trainer.data.check", of_check),
    ],
)
def test_few_of_many_pictures_are_in_flight(
    module: str, work: Callable[[Path, Pipeline], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = made_run(tmp_path / "run", MANY, size=8, pool=MANY)
    monkeypatch.setattr(f"comfyui_uso.{module}.ThreadPoolExecutor", Watched)
    assert work(tmp_path / "run", pipeline) > 2 * DEPTH
    assert 0 < Watched.most <= DEPTH + 4
