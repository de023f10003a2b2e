"""Isolated references under a LoRA whose strength changes along the sampling: no more at a time than planned."""

from __future__ import annotations

import weakref
from typing import Any

import comfy.hooks
import pytest
import torch
from comfyui_uso.nodes.apply import Apply
from comfyui_uso.nodes.sampling.isolated import hooks, run
from comfyui_uso.nodes.sampling.isolated.store import Store

import nodes as comfy_nodes

from .conftest import content
from .isolated import isolated_lora, stock_loaded
from .reused import sampled

STRENGTHS = 5


class Passes:
    """How often references were computed, and the most bytes of them that there were at a time."""

    def __init__(self) -> None:
        self.count, self.most, self.plan = 0, 0, 0
        self._made: list[weakref.ref[torch.Tensor]] = []

    def add(self, blocks: Any) -> None:
        self.count += 1
        self._made += [weakref.ref(part) for pair in blocks.values() for part in pair]
        alive = (made() for made in self._made)
        self.most = max(self.most, sum(part.nbytes for part in alive if part is not None))


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Passes:
    """Return what counts the passes of references."""
    found = Passes()
    compute, begin = run.reference_pass, hooks.isolated_run

    def note(*args: Any) -> Any:
        blocks = compute(*args)
        found.add(blocks)
        return blocks

    def note_plan(*args: Any) -> Any:
        begun = begin(*args)
        found.plan = begun.plan
        return begun

    monkeypatch.setattr(run, "reference_pass", note)
    monkeypatch.setattr("comfyui_uso.nodes.sampling.reader.isolated_run", note_plan)
    return found


def scheduled(positive: Any, count: int = STRENGTHS) -> Any:
    """Return a conditioning with a LoRA whose strength falls so many times."""
    group = comfy.hooks.create_hook_lora(isolated_lora(6, marked=False), 1.0, 0.0)
    frames = comfy.hooks.HookKeyframeGroup()
    for number in range(count):
        frames.add(comfy.hooks.HookKeyframe(strength=1 - number / count, start_percent=number / count))
    group.set_keyframes_on_hooks(frames)
    return comfy.hooks.set_hooks_for_conditioning(positive, group)


def test_sets_of_strengths_that_are_over_make_room(base_model: Any, prompt: Any, passes: Passes) -> None:
    patched, positive, _ = Apply.execute(
        stock_loaded(base_model), prompt(), None, None, content((4, 4), seed=21)
    ).result
    sampled(patched, scheduled(positive), steps=2 * STRENGTHS)
    assert passes.count == STRENGTHS
    assert passes.most == passes.plan


def test_what_the_other_side_reads_stays(base_model: Any, prompt: Any, passes: Passes) -> None:
    """The same references without the LoRA are a set of their own, which is planned for and waits for the next run."""
    patched, positive, negative = Apply.execute(
        stock_loaded(base_model), prompt(), prompt(4), None, content((4, 4), seed=22), content_on_negative=True
    ).result
    sampled(patched, scheduled(positive), negative, steps=2 * STRENGTHS, cfg=2.0)
    assert passes.count == STRENGTHS + 1
    assert passes.most == passes.plan
    sampled(patched, positive, negative, cfg=2.0)
    assert passes.count == STRENGTHS + 1


def test_what_is_planned_for_stays_while_it_is_not_read(base_model: Any, prompt: Any, passes: Passes) -> None:
    """A subject that goes and comes again."""
    model, positive = stock_loaded(base_model), []
    subjects = [content((4, 4), seed=seed) for seed in (23, 24)]
    for start, end, subject in ((0.0, 0.3, 0), (0.3, 0.6, 1), (0.6, 1.0, 0)):
        patched, part, _ = Apply.execute(model, prompt(), None, None, subjects[subject]).result
        positive += comfy_nodes.ConditioningSetTimestepRange().set_range(part, start, end)[0]
    for _ in range(2):
        sampled(patched, positive, steps=8)
        assert passes.count == 2


def test_what_exceeds_the_plan_is_kept_in_ram() -> None:
    """As where another node gives every tile references of its own: all are read in one evaluation."""
    card, ram = torch.device("meta"), torch.device("cpu")
    store = Store()

    def keep(key: str) -> torch.device:
        device = store.room(8, card, plan=20)
        store.put(key, {("double", 0): (torch.zeros(1, device=device), torch.zeros(1, device=device))})
        return device

    assert [keep(key) for key in "abc"] == [card, card, ram]
    store.begin_evaluation()
    assert keep("d") == card, "those of the evaluation before make room"
    assert store.get("a", card, 20) is None and store.get("c", card, 20) is not None
