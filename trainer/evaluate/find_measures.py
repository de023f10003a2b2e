"""All measures of a scoring: those of the judges, those of the protocol, and those that were named."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import torch

from ...uso_model.errors import UserError
from ...uso_model.import_path import object_at
from ...uso_model.judging.judge import Judge
from ...uso_model.untrusted import quoted
from .bench import read_bench
from .copying_measures import copying_measures, weight_free_measures
from .measures import Measure, standard_measures
from .protocols.find import protocol_names

__all__ = ["find_measures", "own_protocol", "usual_judges"]

logger = logging.getLogger(__name__)

_COPYING = ("dino", "dinov2", "dinov3")


def own_protocol(bench_folder: Path, known: Collection[str] = (), named: str | None = None) -> object | None:
    """Return the protocol of a bench, where its judges and measures may be asked for; None for no code of its own.

    Benches come from strangers, and an import runs code. So what a bench says is imported only if it is known.

    Args:
        bench_folder: of the bench.
        known: import paths that may be imported because a bench says so.
        named: import path that the user has given, whatever the bench says of it.

    Raises:
        UserError: the bench is damaged, the protocol is gone, or the one that was named is another than the bench's.
    """
    bench, _, _ = read_bench(bench_folder)
    if named is not None:
        found = object_at(named, "protocol", "correct --protocol")
        name = getattr(found, "name", None)
        if bench.protocol not in (named, name):
            raise UserError(
                f"{quoted(named)} is the protocol {quoted(name)}, but the bench was made by {quoted(bench.protocol)}; "
                "correct --protocol"
            )
        return found
    if bench.protocol in known:
        return object_at(bench.protocol, "protocol", "build the bench again")
    if bench.protocol not in protocol_names():
        logger.warning(
            "The bench was made by the protocol %s, which is none of this pack: measures of its own are left out. If "
            "you trust it, name its import path with --protocol.",
            quoted(bench.protocol),
        )
    return None


def usual_judges(protocol: object | None, device: torch.device | str = "cpu") -> list[Judge]:
    """Return the judges that a protocol brings with it, none where it brings none."""
    make = getattr(protocol, "judges", None)
    return [] if make is None else make(device)


def find_measures(
    protocol: object | None,
    judges: Sequence[Judge],
    paths: Sequence[str] = (),
    device: torch.device | str = "cpu",
    without: Sequence[str] = (),
) -> list[Measure]:
    """Return the measures of judges, of the bench's protocol if it brings its own, and of import paths.

    Copying is measured by the first DINO of the judges. The measures without weights are those of every bench whose
    protocol brings none.

    What a protocol has under `measures`, and what an import path leads to, is a function of judges and device that
    returns measures. Judges that a protocol has measures of have no others.

    Args:
        protocol: of the bench, see `own_protocol`.
        judges: of which measures are taken.
        paths: import paths of more.
        device: where judges run.
        without: names of measures to leave out.

    Raises:
        UserError: an import path leads to no such function, or there is no measure to leave out.
    """
    make: Any = getattr(protocol, "measures", None)
    own: list[Measure] = [] if make is None else make(judges, device)
    used = {measure.card.judge for measure in own}
    others = [judge for judge in judges if judge.card.name not in used]
    found = [*own, *standard_measures(others, device)]
    for judge in [judge for judge in others if judge.card.name in _COPYING][:1]:
        found += copying_measures(judge, device)
    if not own:
        found += weight_free_measures()
    for path in paths:
        make = object_at(path, "measures", "correct --measures")
        if not callable(make):
            raise UserError(f"{path} is no function of judges and device that returns measures; correct --measures")
        found += make(judges, device)
    names = [measure.card.name for measure in found]
    strange = [name for name in without if name not in names]
    if strange:
        raise UserError(f"there is no measure {strange[0]} to leave out; there are {', '.join(names)}")
    return [measure for measure in found if measure.card.name not in without]
