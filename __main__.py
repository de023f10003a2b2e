"""Run the `uso` command as `python -m comfyui_uso` or `accelerate launch -m comfyui_uso`."""

from .cli import main

raise SystemExit(main())
