"""The tokenizers of T5 and CLIP, from a folder; nothing is ever downloaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from transformers import AutoTokenizer, CLIPTokenizerFast, PreTrainedTokenizerBase

from ..recipe import ModelsConfig

__all__ = ["Tokenizers", "find_tokenizers", "load_tokenizers"]

_PLACES = (
    ("comfy/text_encoders/t5_tokenizer", "comfy/sd1_tokenizer"),  # a ComfyUI checkout
    ("tokenizer_2", "tokenizer"),  # a diffusers folder of FLUX.1
    ("t5_tokenizer", "sd1_tokenizer"),
    ("t5", "clip"),
)


class Tokenizers(NamedTuple):
    """Both tokenizers."""

    t5: PreTrainedTokenizerBase
    clip: PreTrainedTokenizerBase


def find_tokenizers(models: ModelsConfig) -> tuple[Path, Path]:
    """Return the folders of T5's and CLIP's tokenizer.

    Looked for in `models.tokenizers`; without it beside and above the text encoders, in $COMFYUI_PATH and in
    ~/comfy/ComfyUI.

    Raises:
        ValueError: none was found; the folders that were looked in are listed.
    """
    if models.tokenizers is not None:
        roots = [models.tokenizers]
    else:
        files = [path.absolute() for path in (models.t5, models.clip) if path is not None]
        roots = [folder for path in files for folder in (path, *path.parents[:4])]
        roots += [Path(os.environ["COMFYUI_PATH"])] if "COMFYUI_PATH" in os.environ else []
        roots += [Path.home() / "comfy" / "ComfyUI"]
    for root in dict.fromkeys(roots):
        for t5, clip in _PLACES:
            if (root / t5).is_dir() and (root / clip).is_dir():
                return root / t5, root / clip
    looked = ", ".join(str(root) for root in dict.fromkeys(roots))
    raise ValueError(
        f"no tokenizers of T5 and CLIP in {looked}; set models.tokenizers to a ComfyUI checkout, or to a folder with "
        "tokenizer and tokenizer_2 as in FLUX.1-dev"
    )


def load_tokenizers(models: ModelsConfig) -> Tokenizers:
    """Read both tokenizers; see `find_tokenizers`."""
    t5, clip = find_tokenizers(models)
    return Tokenizers(
        AutoTokenizer.from_pretrained(t5, local_files_only=True),
        CLIPTokenizerFast.from_pretrained(clip, local_files_only=True),
    )
