"""Compiling each block, applied from outside."""

from __future__ import annotations

import os
import shutil

from ...uso_model.errors import UserError
from ...uso_model.transformer import UsoTransformer

__all__ = ["compile_blocks", "has_compiler"]


def has_compiler() -> bool:
    """Whether there is a C++ compiler, the one that CXX names or one of the usual."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", ""), "c++", "g++", "clang++", "cl"))


def compile_blocks(transformer: UsoTransformer) -> None:
    """Fuse the element-wise work of each block with `torch.compile`; parameters keep their names.

    Blocks of one kind share their code, so compiling them one by one costs less than the whole network. What wraps a
    block's forward is compiled with it.

    Raises:
        UserError: there is no C++ compiler.
    """
    if not has_compiler():
        raise UserError(
            "memory.compile is on, but no C++ compiler was found, which torch.compile needs; install one "
            "(Debian and Ubuntu: apt-get install g++), or set memory.compile=false"
        )
    for block in (*transformer.double_blocks, *transformer.single_blocks):
        block.compile()  # for the first sizes that come; open ones only where others follow, which takes far longer
