"""Strict loading: every key of a weight file is accounted for, or the file is refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from ..errors import UserError

__all__ = ["FLOATS", "CheckpointError", "compare_shapes", "counted", "load_strict", "require_finite", "require_floats"]

_EXAMPLES = 3

FLOATS = frozenset(
    {torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float8_e5m2}
)
"""Types of weights that can be computed with."""


class CheckpointError(UserError):
    """A weight file that cannot be used, with the reason in one sentence."""


def counted(count: int, noun: str) -> str:
    """Write a count with its noun: `1 key`, `3 keys`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _examples(label: str, items: Iterable[str]) -> str | None:
    names = sorted(items)
    if not names:
        return None
    shown = ", ".join(names[:_EXAMPLES])
    rest = ", ..." if len(names) > _EXAMPLES else ""
    return f"{counted(len(names), f'{label} key')} ({shown}{rest})"


def compare_shapes(
    expected: Mapping[str, Sequence[int]], found: Mapping[str, Tensor], source: str, target: str
) -> None:
    """Raise unless `found` holds exactly the expected names with exactly the expected shapes.

    Args:
        expected: name -> shape.
        found: name -> tensor.
        source: what the tensors came from, usually a file name, for the message.
        target: what they were meant for.

    Raises:
        CheckpointError: with counts and three examples of missing, unknown and misshapen keys.
    """
    misshapen = [
        f"{name}: got {tuple(found[name].shape)}, expected {tuple(shape)}"
        for name, shape in expected.items()
        if name in found and tuple(found[name].shape) != tuple(shape)
    ]
    problems = [
        _examples("missing", expected.keys() - found.keys()),
        _examples("unknown", found.keys() - expected.keys()),
        _examples("misshapen", misshapen),
    ]
    told = "; ".join(problem for problem in problems if problem)
    if told:
        raise CheckpointError(f"{source} does not fit {target}, choose a file made for it: {told}.")


def require_floats(state_dict: Mapping[str, Tensor], source: str) -> None:
    """Raise unless every tensor holds real numbers of a type that PyTorch converts to the others.

    Raises:
        CheckpointError: for any other type, with the first tensor of it.
    """
    for name, tensor in state_dict.items():
        if tensor.dtype not in FLOATS:
            raise CheckpointError(
                f"{source} stores {name} as {str(tensor.dtype).removeprefix('torch.')}, a quantised format or none of "
                "weights, which this pack does not read; use a bf16, fp16 or fp8 version of the model."
            )


def require_finite(state_dict: Mapping[str, Tensor], source: str) -> None:
    """Raise unless every value is a finite real number.

    Raises:
        CheckpointError: for another type, NaN or infinity, with the first tensor that has it.
    """
    require_floats(state_dict, source)
    for name, tensor in state_dict.items():
        values = tensor.float() if tensor.element_size() == 1 else tensor  # 8-bit floats have no `isfinite`
        if not torch.isfinite(values).all():
            raise CheckpointError(f"{source} has values in {name} that are not finite; download it or make it again.")


def load_strict(module: nn.Module, state_dict: Mapping[str, Tensor], source: str, *, assign: bool = False) -> None:
    """Load `state_dict` into `module`, refusing missing, unknown and misshapen keys.

    Nothing is loaded when the check fails.

    Args:
        module: receives the tensors; may live on the meta device when `assign` is set.
        state_dict: name -> tensor.
        source: what the tensors came from, usually a file name, for the message.
        assign: take over the given tensors with their dtype and device instead of copying values.

    Raises:
        CheckpointError: with counts and three examples of each kind of problem, or for weights that are no real
            numbers.
    """
    own = module.state_dict()
    expected = {name: tuple(tensor.shape) for name, tensor in own.items()}
    compare_shapes(expected, state_dict, source, type(module).__name__)
    require_floats({name: state_dict[name] for name, tensor in own.items() if tensor.dtype in FLOATS}, source)
    with torch.no_grad():
        module.load_state_dict(dict(state_dict), strict=True, assign=assign)
