"""Data parallelism of the trained parameters: they start equal, and their gradients are summed over the processes.

The frozen transformer may be quantised, streamed from RAM or sharded, and a process may see no style reference in a
step. Wrapping the whole network in torch's DistributedDataParallel trips over all of that; the adapters alone are small
enough for one all-reduce a step.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

__all__ = ["agree", "broadcast", "gather", "sum_gradients", "wait_for_all"]

logger = logging.getLogger(__name__)

_WAITS = count()
"""Numbers of the waits: all processes come to the same ones in the same order."""

POLL, TELL = 0.2, 60.0
"""Seconds between two looks at the others, and between two lines about it."""


def _alone() -> bool:
    return not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1


@torch.no_grad()
def broadcast(tensors: Iterable[Tensor]) -> None:
    """Give every process the first one's values."""
    if _alone():
        return
    for tensor in tensors:
        dist.broadcast(tensor, src=0)


@torch.no_grad()
def sum_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Replace each gradient by its sum over the processes, in one all-reduce.

    A parameter without a gradient on this process counts as zero; without one on any process it stays without.
    """
    if _alone():
        return
    present = torch.tensor([float(p.grad is not None) for p in parameters], device=parameters[0].device)
    flat = torch.cat([torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in parameters])
    dist.all_reduce(present)
    dist.all_reduce(flat)
    sizes = [p.numel() for p in parameters]
    for p, grad, users in zip(parameters, flat.split(sizes), present.tolist(), strict=True):
        if users:
            p.grad = grad.view_as(p)


def gather(thing: Any) -> list[Any]:
    """Return every process's small object, such as a dict of numbers."""
    if _alone():
        return [thing]
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, thing)
    return found


def agree(flags: Sequence[bool], device: torch.device) -> list[bool]:
    """Return for each flag whether any process has it raised, so that all of them stop at the same step."""
    if _alone():
        return list(flags)
    raised = torch.tensor([float(flag) for flag in flags], device=device)
    dist.all_reduce(raised)
    return [count > 0 for count in raised.tolist()]


def wait_for_all(what: str) -> None:
    """Wait until every process has come here, however long another one encodes, draws or writes.

    A collective would fail after the limit of the process group. This asks the store in which the processes found each
    other, and ends in a barrier that nobody is late for.

    Args:
        what: the others may be doing, for the line that is logged every minute.
    """
    if _alone():
        return
    store = dist.distributed_c10d._get_default_store()
    number, size = next(_WAITS), dist.get_world_size()
    names = {rank: f"uso/wait/{number}/{rank}" for rank in range(size)}
    store.set(names[dist.get_rank()], "here")
    said = time.monotonic()
    while absent := [rank for rank, name in names.items() if not store.check([name])]:
        time.sleep(POLL)
        if time.monotonic() - said > TELL:
            said = time.monotonic()
            logger.info("waiting for process %s: %s", ", ".join(map(str, absent)), what)
    dist.barrier()
