"""What to change when the memory ran out: where it did, told from the traceback, decides."""

from __future__ import annotations

import traceback

__all__ = ["advice", "tells_of_memory"]

_TOLD = (
    "out of memory",  # CUDA, ROCm, MPS, cuDNN
    "outofmemoryerror",  # the name of torch's exception
    "not enough memory",  # DefaultCPUAllocator
    "can't allocate memory",
    "cannot allocate memory",
    "defaultcpuallocator",
    "paging file is too small",  # Windows, when a file is mapped
    "cublas_status_alloc_failed",
)

_RESUME = "the last checkpoint stands: go on with `uso train RUN`, and --allow-change where it asks for it"

_LESS = (
    "set memory.base=fp8 and memory.modulation=offloaded, raise memory.blocks_to_swap (the GPU) or lower it (RAM), "
    "and close other programs; `uso doctor RECIPE` compares the plan with what is free"
)

# The first entry of which a path stands in the traceback, innermost parts first.
_PHASES = (
    (
        ("trainer/evaluate/run.py",),
        "drawing a bench",
        "close other programs, set memory.base=fp8, raise memory.blocks_to_swap, or draw with --batch 1; the pictures "
        "that were drawn are kept",
    ),
    (
        ("trainer/evaluate/",),
        "measuring a bench",
        "close other programs, or score with --device cpu or in parts with --shard; what judges have seen is kept",
    ),
    (
        ("trainer/monitor/",),
        "drawing samples or measuring",
        f"set monitor.samples_every=0 and monitor.validation_every=0, or lower data.size; {_RESUME}",
    ),
    (
        ("trainer/objective/reward.py", "uso_model/judging/"),
        "computing the reward",
        f"lower reward.size, raise memory.blocks_to_swap or set loop.micro_batch=1; {_RESUME}",
    ),
    (
        ("trainer/encoders/", "trainer/data/encodings.py"),
        "encoding pictures and prompts",
        "close other programs (ComfyUI holds its models), lower data.size and data.content_size, or encode with `uso "
        "cache` on a larger machine; what has been encoded is kept",
    ),
    (
        ("trainer/networks.py", "trainer/memory/load.py"),
        "reading the networks",
        _LESS,
    ),
    (
        ("trainer/export/run.py",),
        "writing the trained files",
        "close other programs and write them with `uso export RUN`; the last checkpoint stands",
    ),
    (
        ("trainer/engine/",),
        "computing a step",
        "raise memory.blocks_to_swap, set memory.checkpointing=true, loop.micro_batch=1, monitor.samples_every=0, or "
        f"lower data.size, data.content_size or lora.rank; {_RESUME}",
    ),
    (
        ("trainer/train.py", "trainer/preflight/"),
        "preparing the run",
        f"lower data.cache_memory and lora.rank, {_LESS}",
    ),
    (
        ("trainer/data/",),
        "reading the data",
        "close other programs, take fewer or smaller pictures at a time, or split the manifest",
    ),
)


def tells_of_memory(text: str) -> bool:
    """Whether the message of an error says that memory ran out."""
    return any(words in text.lower() for words in _TOLD)


def advice(error: BaseException) -> str | None:
    """Return one sentence about memory that ran out, None for any other error."""
    if not _is_of_memory(error):
        return None
    text = str(error).lower()
    place = "GPU memory" if any(name in text for name in ("cuda", "hip", "cublas", "mps")) else "memory (RAM)"
    files = [frame.filename.replace("\\", "/") for frame in traceback.extract_tb(error.__traceback__)]
    for paths, phase, cure in _PHASES:
        if any(path in file for path in paths for file in files):
            return f"there is not enough {place} for {phase}: {cure}"
    return f"there is not enough {place}: close other programs, or work on smaller sizes"


def _is_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that it was raised from, says that memory ran out."""
    if error is None or isinstance(error, MemoryError):
        return error is not None
    if error.__cause__ is not None and _is_of_memory(error.__cause__):
        return True  # a file that could not be mapped is no damaged one
    # torch.OutOfMemoryError is a RuntimeError that says so; an OSError may name a file that is called anything.
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    # By its name: the command line says of a Python without safetensors what it lacks.
    of_file = type(error).__name__ == "SafetensorError"
    return (of_file or isinstance(error, (RuntimeError, OSError))) and tells_of_memory(text)
