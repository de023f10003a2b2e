"""Block swap copies no more than it must, and on a GPU no block computes before its weights have arrived."""

from __future__ import annotations

import pytest
import torch
from comfyui_uso.trainer.memory import block_swap as block_swap
from comfyui_uso.trainer.memory.block_swap import swap_blocks, swapped_names
from comfyui_uso.trainer.memory.checkpointing import checkpoint_blocks
from comfyui_uso.trainer.memory.load import load_frozen
from torch.overrides import TorchFunctionMode

from .conftest import SIZES, adapted, inputs

BLOCKS = SIZES.depth + SIZES.depth_single_blocks


class LateCopies(TorchFunctionMode):
    """A stream whose copies are made as late as its events allow, beside work that is done at once."""

    def __init__(self):
        super().__init__()
        self.asked, self.made, self.in_order = [], 0, False

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is not torch.Tensor.copy_:
            return function(*args, **(kwargs or {}))
        assert self.in_order, "queued work may still read what this copy overwrites"
        assert kwargs == {"non_blocking": True}
        self.asked.append(args)
        return args[0]

    def wait_stream(self, other):
        self.in_order = other is Work

    def record_event(self):
        self.in_order = False
        return self, len(self.asked)


class Work:
    """The stream of the work."""

    @staticmethod
    def wait_event(event):
        copies, count = event
        while copies.made < count:
            place, memory = copies.asked[copies.made]
            place.copy_(memory)
            copies.made += 1


@pytest.fixture
def copies(monkeypatch):
    """Let block swap go the way that it goes on a CUDA GPU."""
    late = LateCopies()
    monkeypatch.setattr(block_swap, "_copy_stream", lambda device: late)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Work)
    monkeypatch.setattr(torch.cuda, "stream", lambda queue: queue)
    return late


def swapped(flux_file, base, count):
    transformer = adapted(load_frozen(flux_file, base, blocks_to_swap=count))
    swap_blocks(transformer, count, "cpu")
    checkpoint_blocks(transformer)
    return transformer


@pytest.mark.parametrize(("base", "count"), [("fp8", BLOCKS), ("bf16", BLOCKS), ("bf16", 2), ("bf16", 1)])
def test_late_copies_change_no_number(base, count, flux_file, copies):
    plain, frugal = adapted(load_frozen(flux_file, base)), swapped(flux_file, base, count)
    for _ in range(2):
        seen = [_two_forward_passes(transformer) for transformer in (frugal, plain)]
        assert all(torch.equal(*pair) for pair in zip(*seen, strict=True))
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(frugal(**inputs()), plain(**inputs()))
    assert 0 < copies.made <= len(copies.asked) <= copies.made + 1, "one copy at most is on its way"


def test_the_order_of_the_calls_does_not_matter(flux_file, step):
    """Weights are brought in again where a block is computed again, whichever wrapper was asked for first."""
    found = []
    for first, second in ((0, 1), (1, 0)):
        transformer = adapted(load_frozen(flux_file, "fp32", blocks_to_swap=BLOCKS))
        calls = (lambda t=transformer: swap_blocks(t, BLOCKS, "cpu"), lambda t=transformer: checkpoint_blocks(t))
        calls[first]()
        calls[second]()
        found.append(step(transformer))
    (out, grads), (again, others) = found
    assert torch.equal(out, again) and all(torch.equal(grads[name], others[name]) for name in grads)
    plain = adapted(load_frozen(flux_file, "fp32"))
    checkpoint_blocks(plain)
    expected, wanted = step(plain)
    assert torch.equal(out, expected) and all(torch.equal(grads[name], wanted[name]) for name in grads)


def test_a_block_that_does_not_wait_for_its_weights_is_noticed(flux_file, copies, monkeypatch):
    plain, frugal = adapted(load_frozen(flux_file, "bf16")), swapped(flux_file, "bf16", BLOCKS)
    monkeypatch.setattr(Work, "wait_event", lambda event: None)
    assert not torch.equal(_two_forward_passes(frugal)[0], _two_forward_passes(plain)[0])


def _two_forward_passes(transformer):
    """Return outputs and gradients of two groups of rows that go through before one backward pass."""
    transformer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        outs = [transformer(**{**inputs(), "timesteps": torch.full((2,), t)}) for t in (0.2, 0.7)]
    sum(out.float().square().mean() for out in outs).backward()
    return [*outs, *(p.grad for p in transformer.parameters() if p.grad is not None)]


def test_nothing_is_copied_twice(flux_file, copies, step):
    """Of N blocks two are in place when the direction turns: a pass copies the other N - 2."""
    transformer = swapped(flux_file, "fp32", BLOCKS)
    step(transformer)
    before = len(copies.asked)
    step(transformer)
    assert len(copies.asked) - before == 2 * (BLOCKS - 2)
    with torch.no_grad():
        transformer(**inputs())
        before = len(copies.asked)
        for _ in range(3):
            transformer(**inputs())
    assert len(copies.asked) - before == 3 * BLOCKS, "a rollout copies every block once a step, the first ahead of time"


def test_ram_that_cannot_be_locked_is_used_as_it_is():
    """As here, where there is no GPU."""
    if torch.cuda.is_available():
        pytest.skip("a GPU can lock memory")
    memory, locked = block_swap._allocate(100, torch.device("cuda"))
    assert len(memory) == 100 and not locked


def test_swapped_blocks_are_spread_and_not_too_many():
    assert swapped_names(2, 3, 2) == ["double_blocks.0", "single_blocks.0"]
    assert len(swapped_names(19, 38, 57)) == 57 and swapped_names(19, 38, 0) == []
    with pytest.raises(ValueError, match="at most 5"):
        swapped_names(2, 3, 6)
