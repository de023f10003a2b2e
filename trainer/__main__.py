"""Run the `uso` command as `python -m comfyui_uso.trainer`."""

from .cli import main

raise SystemExit(main())
