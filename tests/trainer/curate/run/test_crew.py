"""Threads that do the steps are gone when a run is over; those that are not do not spoil the end of the process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from comfyui_uso.trainer.curate.run.place import Crew


class Slow:
    """Takes a while to be freed, as a network does."""

    def __del__(self) -> None:
        time.sleep(0.3)


def test_what_was_called_is_freed_before_the_run_ends() -> None:
    crew, before = Crew(2, "steps"), set(threading.enumerate())
    held = Slow()

    async def calls() -> list[str]:
        nonlocal held
        last, held = held, None  # type: ignore[assignment]
        return await asyncio.gather(crew.call(lambda: "first"), crew.call(lambda slow=last: "second"))

    assert asyncio.run(calls()) == ["first", "second"]
    assert set(threading.enumerate()) - before
    crew.close()
    assert not set(threading.enumerate()) - before


def test_a_call_that_nobody_waits_for_is_not_waited_for_and_none_is_begun() -> None:
    crew, began, go_on, calls = Crew(1, "steps"), threading.Event(), threading.Event(), list[int]()

    def call(number: int) -> None:
        calls.append(number)
        began.set()
        go_on.wait(30)

    async def dropped() -> None:
        waiting = [asyncio.create_task(crew.call(lambda number=number: call(number))) for number in range(3)]
        await asyncio.to_thread(began.wait)
        for task in waiting:
            task.cancel()

    asyncio.run(dropped())
    (thread,) = (thread for thread in threading.enumerate() if thread.name.startswith("steps-"))
    start = time.monotonic()
    crew.close()
    assert time.monotonic() - start < 5 and thread.is_alive()
    go_on.set()
    thread.join(10)
    assert calls == [0] and not thread.is_alive()


PROGRAM = """
import asyncio, threading, time
import torch
from comfyui_uso.trainer.curate.run.place import Crew
from comfyui_uso.trainer.engine.leftover import ENDING

at_work = threading.Event()

def compute():
    while True:
        torch.ones(200, 200) @ torch.ones(200, 200)
        at_work.set()

async def dropped():
    crew = Crew(1, "steps")
    asyncio.create_task(crew.call(compute))
    await asyncio.to_thread(at_work.wait)
    return crew

asyncio.run(dropped()).close()
raise SystemExit(ENDING.with_code(130))
"""


@pytest.mark.parametrize("again", range(3))
def test_the_process_ends_with_its_code_while_a_thread_computes(again: int, tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")
