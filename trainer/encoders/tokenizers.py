"""The tokenizers of T5 and CLIP, from a folder; nothing is ever downloaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from transformers import AutoTokenizer, CLIPTokenizerFast, PreTrainedTokenizerBase  # type: ignore[attr-defined]

from ...uso_model.errors import UserError
from ...uso_model.untrusted import quoted
from ..recipe import ModelsConfig

__all__ = ["TokenizerFolders", "Tokenizers", "find_tokenizers", "load_tokenizers"]

# Where they are in a ComfyUI checkout, in FLUX.1-dev's folder, and in a folder of just the two.
_T5_PLACES = ("comfy/text_encoders/t5_tokenizer", "tokenizer_2", "t5_tokenizer", "t5")
_CLIP_PLACES = ("comfy/sd1_tokenizer", "tokenizer", "sd1_tokenizer", "clip")
_T5_FILES, _CLIP_FILES = ("tokenizer.json", "spiece.model"), ("tokenizer.json", "vocab.json")


class TokenizerFolders(NamedTuple):
    """Where both tokenizers are."""

    t5: Path
    clip: Path


class Tokenizers(NamedTuple):
    """Both tokenizers."""

    t5: PreTrainedTokenizerBase
    clip: PreTrainedTokenizerBase


def find_tokenizers(models: ModelsConfig) -> TokenizerFolders:
    """Return the folders of T5's and CLIP's tokenizer.

    Looked for in `models.tokenizers`; without it in and above the text encoders' folders, in $COMFYUI_PATH, in
    ~/comfy/ComfyUI and in the ComfyUI that this pack is installed in.

    Raises:
        UserError: one was not found; the folders that were looked in are listed.
    """
    if models.tokenizers is not None:
        shared = [models.tokenizers]
        return TokenizerFolders(
            _find("T5", shared, _T5_PLACES, _T5_FILES), _find("CLIP", shared, _CLIP_PLACES, _CLIP_FILES)
        )
    shared = [folder for path in (models.t5, models.clip) if path is not None for folder in _around(path)]
    shared += [Path(os.environ["COMFYUI_PATH"])] if os.environ.get("COMFYUI_PATH") else []
    shared += [Path.home() / "comfy" / "ComfyUI", *Path(__file__).resolve().parents[4:5]]
    return TokenizerFolders(
        _find("T5", shared, _T5_PLACES, _T5_FILES, models.t5),
        _find("CLIP", shared, _CLIP_PLACES, _CLIP_FILES, models.clip),
    )


def load_tokenizers(folders: TokenizerFolders) -> Tokenizers:
    """Read both tokenizers; code in their folders is never run.

    Raises:
        UserError: a folder's files cannot be read.
    """

    def read(kind: Any, folder: Path, **options: bool) -> PreTrainedTokenizerBase:
        try:
            return kind.from_pretrained(folder, local_files_only=True, **options)
        except Exception as error:  # the tokenizers library raises nothing narrower
            raise UserError(f"{folder} has no tokenizer that can be read ({quoted(error)}); copy it again") from error

    return Tokenizers(read(AutoTokenizer, folders.t5, trust_remote_code=False), read(CLIPTokenizerFast, folders.clip))


def _around(path: Path) -> list[Path]:
    """Return a model's path and the folders above it, up to the checkout of `ComfyUI/models/text_encoders/file`."""
    path = path.absolute()
    return [path, *path.parents[:3]]


def _find(
    name: str, roots: Sequence[Path], places: Sequence[str], files: Sequence[str], model: Path | None = None
) -> Path:
    """Return the first folder with a tokenizer's files: the model's own, or one of the places under the roots."""
    roots = list(dict.fromkeys(roots))
    for folder in [*([model] if model else []), *(root / place for root in roots for place in places)]:
        if any((folder / file).is_file() for file in files):
            return folder
    raise UserError(
        f"no tokenizer of {name} in {', '.join(map(str, roots))}; set models.tokenizers to a ComfyUI checkout, or to a "
        "folder with tokenizer and tokenizer_2 as in FLUX.1-dev"
    )
