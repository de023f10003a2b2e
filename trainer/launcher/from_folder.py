"""Run the `uso` command of this very folder, installed or not, whatever it is called and wherever it lies.

`python PACK/trainer/launcher/from_folder.py train my_style ...`. It lies in a folder of its own because Python looks
for modules beside a script first, where names of the trainer would hide packages of the same names.
"""

from __future__ import annotations

import importlib.util
import os.path
import sys
from pathlib import Path

NAME = "comfyui_uso"
PACK = Path(os.path.abspath(__file__)).parents[2]
"""With links as they are, so that messages name the folder that was called."""


def register() -> None:
    """Import the folder as the package, as an installed one would be."""
    spec = importlib.util.spec_from_file_location(NAME, PACK / "__init__.py", submodule_search_locations=[str(PACK)])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    spec.loader.exec_module(module)


if __name__ in ("__main__", "__mp_main__"):  # the latter in processes that multiprocessing has started
    register()

if __name__ == "__main__":
    raise SystemExit(importlib.import_module(f"{NAME}.cli").main())
