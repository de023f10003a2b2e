"""The judges of a recipe: which reward, which look at samples, which file each is read from."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...uso_model.errors import UserError
from ...uso_model.judging import JUDGES, Card, Judge, load_judge
from ...uso_model.untrusted import quoted
from ..recipe import DESCRIPTOR, Against, TrainConfig, label
from .fingerprint import fingerprint
from .interface import Encoders, PictureJudge
from .lazy import Lazy

__all__ = [
    "OpenJudge",
    "compares_with",
    "lacking",
    "measured",
    "named_judges",
    "open_judge",
    "require_gradient",
    "rewarding",
]


class OpenJudge(NamedTuple):
    """A judge that is read when it is first used."""

    judge: PictureJudge
    model: Lazy[Judge]


def named_judges(config: TrainConfig) -> dict[str, Path | None]:
    """Return the judges that a recipe names, for its reward, as witnesses or by their files, each with its file."""
    files = config.models.judge_files
    rewards = [] if config.reward is None else config.reward.judges
    return {name: files.get(name) for name in [*rewards, *(config.monitor.witnesses or []), *files]}


def rewarding(config: TrainConfig, encoders: Encoders) -> dict[str, PictureJudge]:
    """Return the judges of a recipe's reward; none without a reward.

    Raises:
        UserError: one is not among the encoders.
    """
    found = {}
    for name, asked in ({} if config.reward is None else config.reward.judges).items():
        if name not in encoders.judges:
            raise UserError(f"reward.judges: {lacking(name)}")
        judge = encoders.judges[name]
        found[name] = judge if asked.against is None else judge._replace(against=asked.against)
    return found


def measured(config: TrainConfig, encoders: Encoders) -> dict[str, PictureJudge]:
    """Return the judges that look at samples: those of the reward and its witnesses.

    Raises:
        UserError: one is not among the encoders.
    """
    found = rewarding(config, encoders)
    for name in encoders.judges if config.monitor.witnesses is None else config.monitor.witnesses:
        if name not in encoders.judges:
            raise UserError(f"monitor.witnesses: {lacking(name)}")
        found.setdefault(name, encoders.judges[name])
    return found


def lacking(name: str) -> str:
    """Say which file a judge needs that no file is named for."""
    if name not in JUDGES:
        known = ", ".join(JUDGES)
        return f"got the judge {quoted(name)}, expected {known}, or an import path package.module:object"
    card = JUDGES[name].card
    made = ", made by `uso csd`," if name == DESCRIPTOR else ""
    return (
        f"the judge {name} needs {card.file} of {card.model}: name its file{made} as models.judges.{name}; "
        f"it can be had from {card.address}"
    )


def compares_with(card: Card) -> Against:
    """Return the references that a judge compares pictures with.

    Raises:
        UserError: it sees neither style nor subjects.
    """
    if "style" in card.sees:
        return "style"
    if "subject" in card.sees:
        return "content"
    raise UserError(f"the judge {card.name} sees {', '.join(card.sees)}, expected one that sees style or subjects")


def require_gradient(judge: Judge, name: str) -> None:
    """Refuse a judge that cannot reward.

    Raises:
        UserError: what it says of pictures has no gradient, as what a language model writes.
    """
    pixels = torch.linspace(-1, 1, 3 * 64 * 64).reshape(1, 3, 64, 64).requires_grad_()
    try:
        with_gradient = judge.embed_pixels(pixels).requires_grad
    except NotImplementedError:
        with_gradient = False
    if not with_gradient:
        raise UserError(
            f"{quoted(name)} gives no gradient down to the pixels, which a reward needs; name it in monitor.witnesses "
            "and take another one for the reward"
        )


def open_judge(name: str, path: Path | None, device: torch.device | str) -> OpenJudge:
    """Return a judge, which is read when it is first used; of an import path it is made at once.

    Raises:
        UserError: there is no such judge, or its file is not there.
    """
    model = Lazy(partial(_frozen, name, path, device), f"the judge {label(name)}")
    card = JUDGES[name].card if name in JUDGES else model.get().card

    def embed(pixels: Tensor) -> Tensor:
        return model.get().embed_pixels(pixels.to(device))

    return OpenJudge(PictureJudge(embed, compares_with(card), _name(name, path, card)), model)


def _frozen(name: str, path: Path | None, device: torch.device | str) -> Judge:
    judge = load_judge(name, path, device=device)
    if isinstance(judge, nn.Module):
        judge.eval().requires_grad_(False)
    return judge


def _name(name: str, path: Path | None, card: Card) -> str:
    if path is None:
        return f"{name} {card.revision} {card.sha256}"
    # CSD was the only one once, and what older versions encoded stays as it is.
    return fingerprint(path) if name == DESCRIPTOR else f"{name} {fingerprint(path)}"
