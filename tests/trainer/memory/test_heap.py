"""Freed blocks of a large network's size go back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
import torch
from comfyui_uso.trainer.memory.heap import return_freed_memory

def anonymous():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon")) / 1024

if sys.argv[1] == "returned":
    assert return_freed_memory()
torch.empty(7 << 20).zero_()  # 28 MB, freed at once: glibc raises its threshold to that
before = anonymous()
freed, kept = [], []
for _ in range(40):
    freed.append(torch.ones(3 << 20))  # 12 MB each
    kept.append(torch.ones(1 << 14))  # what stays lies between them
del freed
print(anonymous() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the heap of glibc")
def test_freed_blocks_go_back_to_the_system() -> None:
    as_it_is, returned = (
        float(subprocess.check_output([sys.executable, "-c", PROGRAM, how], text=True))
        for how in ("as it is", "returned")
    )
    assert returned < 20 < 300 < as_it_is
