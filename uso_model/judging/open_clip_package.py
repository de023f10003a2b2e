"""The package open_clip, which ComfyUI does not have: imported when a judge that is built on it is read."""

from __future__ import annotations

import sys
from types import ModuleType

from ..errors import UserError
from ..untrusted import quoted

__all__ = ["open_clip_package"]


def open_clip_package(judge: str) -> ModuleType:
    """Return open_clip, whose import takes seconds.

    Args:
        judge: what needs it, for the message.

    Raises:
        UserError: it is not installed, or cannot be imported.
    """
    try:
        import open_clip
    except ImportError as error:
        # The interpreter that runs, because ComfyUI's portable one is not the one that `pip` alone would install for.
        python = f'"{sys.executable}"' if " " in sys.executable else sys.executable
        raise UserError(
            f"the judge {judge} needs the package open_clip, which cannot be imported ({quoted(error)}); install it "
            f"with: {python} -m pip install open_clip_torch"
        ) from error
    return open_clip
