"""The rows of a recipe: whether their manifests can be read, and have the references and captions that it is for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ...uso_model.checkpoints.strict import counted
from ...uso_model.errors import UserError
from ...uso_model.images import PICTURE_SUFFIXES
from ...uso_model.untrusted import argument, named
from ..data.lazy_rows import chosen, joined
from ..data.manifest import Row, read_manifest
from ..recipe import TrainConfig

__all__ = ["captions", "read_rows", "references"]

_WANTED = {"style": ("style",), "content": ("content",), "both": ("style", "content"), "none": ()}


def read_rows(config: TrainConfig, problems: list[str]) -> Sequence[Row]:
    """Return the rows of all manifests, of every split, and add what cannot be read to the problems."""
    parts: list[Sequence[Row]] = []
    for source in config.data.sources:
        try:
            if not source.path.exists():
                raise UserError(_absent(source.path, config))
            # Goes through all of them, so that a wrong row of a large manifest is known now.
            parts.append(chosen(read_manifest(source.path, split=None), lambda row: True))
        except (UserError, OSError) as error:
            problems.append(f"data.manifests: {error}")
    return joined(parts)


def _absent(path: Path, config: TrainConfig) -> str:
    """Say how a manifest is made of what lies where it was looked for."""
    folder = path.parent
    if not folder.is_dir():
        return f"{named(path)} is not there, nor is its folder; correct the path, or set data=FOLDER"
    here, within = _pictures(folder.iterdir()), _pictures(folder.rglob("*"))
    if not within:
        return f"{named(path)} is not there, and there are no pictures in {named(folder)}; correct the path"
    reference = "content" if config.needs == "content" else "style"
    line = f"uso import pictures {argument(folder)} --reference {reference}{'' if here else ' --recursive'}"
    return f"{named(path)} is not there; make it of the {counted(here or within, 'picture')} in that folder: `{line}`"


def _pictures(paths: Iterable[Path]) -> int:
    return sum(1 for path in paths if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith("."))


def references(config: TrainConfig, rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    """Compare the rows with what the recipe needs.

    Args:
        config: the recipe.
        rows: those that would be trained on.

    Returns:
        Problems and notes.
    """
    counts = {"style": sum(1 for row in rows if row.style), "content": sum(1 for row in rows if row.content)}
    wanted = _WANTED[config.needs] if rows else ()
    lacking = [kind for kind in wanted if not counts[kind]]
    has = ", ".join(f"{count} of {len(rows)} rows have a {kind} reference" for kind, count in counts.items())
    if lacking:
        kinds = " and ".join(f"a {kind} reference" for kind in lacking)
        cure = f"make it again with `uso import ... --reference {lacking[0]}`, take a recipe for what it has"
        return [f"data.manifests: the recipe needs rows with {kinds}, but {has}; {cure}, or set needs=none"], []
    thin = [kind for kind in wanted if counts[kind] < len(rows)]
    return [], [f"{has}; the others train without" for _ in thin[:1]]


def captions(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a note where rows that should have a caption have none; rows that keep the layout need none."""
    prompts = [bool(row.prompt.strip()) for row in rows if row.layout == "shifted"]
    without = prompts.count(False)
    if not without:
        return
    count = f"{without} of {len(prompts)} rows have no caption"
    if without == len(prompts):
        count = f"no row has a caption ({without} rows)"
    yield (
        f"{count}: what is to be seen in such a picture is learnt as if it always belonged there; write NAME.txt "
        "beside each picture, or give one text with --caption, and import again"
    )
