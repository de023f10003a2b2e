"""Import the modules named on the command line and print, as a JSON list on stderr, what that did besides.

Run in an interpreter of its own, because nothing can be un-imported and an audit hook cannot be removed.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
import sys
from typing import Any

# Third-party packages may do what they like; only what happens after them is ours.
THIRD_PARTY = (
    "torch",
    "torch.utils.data",
    "einops",
    "numpy",
    "PIL.Image",
    "PIL.ImageDraw",
    "safetensors.torch",
    "transformers",
    "accelerate",
    "peft",
    "pydantic",
    "yaml",
)
EVENTS = {"os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.putenv", "os.system", "subprocess.Popen"}
NETWORK = {"socket.bind", "socket.connect", "socket.getaddrinfo"}

effects: list[str] = []


def watch(event: str, args: tuple[Any, ...]) -> None:
    """Note what touches the disk or the environment; refuse the network."""
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        effects.append(f"opened {args[0]} with {args[1]}")
    elif event in EVENTS:
        effects.append(f"{event} {args[:1]}")
    elif event in NETWORK:
        raise OSError(f"{event} while importing")


def state() -> dict[str, Any]:
    """Describe the process-wide settings that an import must leave alone."""
    return {
        "logging handlers": list(logging.root.handlers),
        "logging level": logging.root.level,
        "torch threads": torch.get_num_threads(),
        "torch default dtype": torch.get_default_dtype(),
        "torch grad mode": torch.is_grad_enabled(),
        "torch random state": torch.random.get_rng_state().sum().item(),
        "import path": list(sys.path),
    }


def count_no_devices() -> int:
    """Stand in for every question about CUDA devices."""
    effects.append("asked for CUDA devices")
    return 0


for name in THIRD_PARTY:
    importlib.import_module(name)
import torch  # noqa: E402

if importlib.util.find_spec("comfy_api") is not None:
    effects.append("comfy_api can be imported here, so this is no test of its absence")
before = state()
torch.cuda.is_available = torch.cuda.device_count = count_no_devices
sys.addaudithook(watch)
for name in sys.argv[1:]:
    importlib.import_module(name)
effects += [f"changed the {key}" for key, value in state().items() if value != before[key]]
if torch.cuda.is_initialized():
    effects.append("initialised CUDA")
effects += sorted({f"imported {name}" for name in sys.modules if name.split(".")[0] in {"comfy", "comfy_api"}})
sys.stderr.write(json.dumps(effects))
