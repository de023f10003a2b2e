"""A guard on a conditioning entry: a MODEL without the reader is told so, and never draws without the reference.

ComfyUI asks every object under an entry's `model_conds` for its part of a model call. The reader takes the guard out
before that (nodes/sampling/reader.py); where there is no reader, the first model call reaches it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NoReturn

from comfy.conds import CONDConstant

from ...uso_model.errors import UserError
from .keys import GUARD, MODEL_CONDS

__all__ = ["guarded", "is_guarded", "unguarded"]

_SENTENCE = (
    "Got a style or a subject on the conditioning, but a MODEL that cannot read it, expected one that comes from USO "
    "Load Models, USO Load Mini or USO Apply: connect the sampler's model input to the model output of that node "
    "(nodes between them, such as LoRA loaders, do no harm)."
)


class _Guard(CONDConstant):
    """Raise as soon as ComfyUI asks for it."""

    def process_cond(self, batch_size: int, **kwargs: Any) -> NoReturn:
        """Raise: no reader has taken it out.

        Raises:
            UserError: always.
        """
        raise UserError(self.cond)


class _Conds(dict[str, Any]):
    """A dict that is stored without what is in it: a guard is of this process, and files hold plain values."""

    def __reduce__(self) -> tuple[Any, ...]:
        return OrderedDict, ()  # torch.load(weights_only=True) reads it

    def __copy__(self) -> _Conds:
        return _Conds(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> _Conds:
        return _Conds(self)


def guarded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry's values with a guard among what ComfyUI asks for at every model call."""
    return {**values, MODEL_CONDS: _Conds({**values.get(MODEL_CONDS, {}), GUARD: _Guard(_SENTENCE)})}


def is_guarded(values: Mapping[str, Any]) -> bool:
    """Say whether an entry's values have a guard."""
    return GUARD in values.get(MODEL_CONDS, {})


def unguarded(conds: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ComfyUI asks for at every model call without the guard."""
    return {name: cond for name, cond in conds.items() if name != GUARD}
