"""Optimizers by name or import path: found among what is installed, and their arguments checked before a run."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Collection, Mapping
from functools import lru_cache
from importlib.metadata import packages_distributions
from typing import Any

from torch.optim import Optimizer

from ...uso_model.errors import UserError
from ...uso_model.untrusted import quoted

__all__ = ["accepted_arguments", "constructed", "optimizer_class"]

NAMED = {
    "adamw": "torch.optim.AdamW",
    "adamw8bit": "bitsandbytes.optim.AdamW8bit",
    "prodigy": "prodigyopt.Prodigy",
}
"""Short names, and the classes that they stand for."""

_ELSEWHERE = {
    "adafactor": "transformers.Adafactor with loop.optimizer_args={relative_step: false, scale_parameter: false}",
    "adam": "torch.optim.Adam",
    "adamwschedulefree": "schedulefree.AdamWScheduleFree",
    "came": "came_pytorch.CAME",
    "lion": "bitsandbytes.optim.Lion",
    "lion8bit": "bitsandbytes.optim.Lion8bit",
    "pagedadamw8bit": "bitsandbytes.optim.PagedAdamW8bit",
    "sgd": "torch.optim.SGD",
}
"""Names in other trainers (kohya-ss/sd-scripts, ostris/ai-toolkit), and what to write here."""

_NONE = (
    f"is no optimizer, expected a subclass of torch.optim.Optimizer: write {', '.join(NAMED)}, or an import path such "
    "as torch.optim.Adagrad"
)
"""Said of what is there and is another thing."""

_OURS = {"params": "", "lr": "loop.learning_rate", "weight_decay": "loop.weight_decay"}
"""Arguments that other settings give."""


def optimizer_class(name: str) -> type[Optimizer]:
    """Return the class of an optimizer; its module is imported only from a package that is installed.

    Args:
        name: a short name or an import path, such as `torch.optim.Adagrad`.

    Raises:
        UserError: the package is not installed, or holds no such optimizer.
    """
    module, _, last = NAMED.get(name, name).rpartition(".")
    package = module.partition(".")[0]
    if name.lower() in (*NAMED, *_ELSEWHERE) and name not in NAMED:
        raise UserError(f"got loop.optimizer {quoted(name)!r}; write {_ELSEWHERE.get(name.lower(), name.lower())}")
    if not all(part.isidentifier() for part in (*module.split("."), last)):
        raise UserError(
            f"got loop.optimizer {quoted(name)!r}, expected {', '.join(NAMED)} or the import path of an optimizer, "
            "such as torch.optim.Adagrad"
        )
    if package in sys.stdlib_module_names:
        raise UserError(f"loop.optimizer {quoted(name)} {_NONE}")
    if name not in NAMED and package not in _installed():
        # What lies in the working folder is not what a recipe may name.
        raise UserError(f"the optimizer {name} needs {package}, which is not installed: pip install it, or correct it")
    try:
        importlib.import_module(package)
        found = getattr(importlib.import_module(module), last, None)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != package:
            raise UserError(
                f"the optimizer {name} cannot be imported ({quoted(error)}): install what it needs"
            ) from error
        if error.name == package:
            raise UserError(
                f"the optimizer {name} needs {package}: pip install {package}, or set loop.optimizer=adamw"
            ) from error
        raise UserError(f"there is no module {error.name} for loop.optimizer {name}; correct the path") from error
    except Exception as error:  # whatever the module of another package raises
        raise UserError(f"the optimizer {name} cannot be imported ({quoted(error)}): install {package} anew") from error
    if found is None:
        raise UserError(f"there is no {last} in {module} for loop.optimizer {name}; correct the path")
    if not (isinstance(found, type) and issubclass(found, Optimizer)) or found is Optimizer:
        raise UserError(f"loop.optimizer {name} {_NONE}")
    closure = inspect.signature(found.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise UserError(f"loop.optimizer {name} asks for the loss several times a step, which the trainer does not do")
    return found


@lru_cache
def _installed() -> Collection[str]:
    """Return the names of all packages that belong to something installed."""
    return packages_distributions().keys()


def accepted_arguments(kind: type[Optimizer]) -> Mapping[str, inspect.Parameter]:
    """Return the arguments with which an optimizer can be made."""
    return inspect.signature(kind).parameters


def constructed(
    kind: type[Optimizer], groups: list[dict[str, Any]], settings: Mapping[str, Any], given: Mapping[str, Any]
) -> Optimizer:
    """Make an optimizer.

    Args:
        kind: its class.
        groups: of parameters.
        settings: arguments that the trainer gives.
        given: `loop.optimizer_args`, which win over `settings`.

    Raises:
        UserError: an argument is unknown, another setting's, or refused.
    """
    accepted = accepted_arguments(kind)
    for name in given:
        if name in _OURS:
            cure = f"set {_OURS[name]}" if _OURS[name] else "leave it out"
            raise UserError(f"got {name} in loop.optimizer_args, which the trainer gives; {cure}")
        if name not in accepted and not any(p.kind is p.VAR_KEYWORD for p in accepted.values()):
            known = ", ".join(other for other in accepted if other not in _OURS)
            raise UserError(
                f"got {quoted(name)!r} in loop.optimizer_args, but {kind.__name__} takes {known or 'no arguments'}"
            )
    try:
        return kind(groups, **{**settings, **given})
    except Exception as error:  # whatever an optimizer of another package raises
        raise UserError(
            f"{kind.__name__} refuses its settings ({quoted(error)}); correct loop.optimizer_args or the other "
            "settings of loop"
        ) from error
