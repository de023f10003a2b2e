"""One ComfyUI server for all tests of this folder, with the pack linked in and random-weight models."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_uso.mini.example_pictures import examples
from comfyui_uso.mini.judges.networks import load_judges
from comfyui_uso.mini.model import load_autoencoder, load_descriptor
from comfyui_uso.uso_model.config import FLUX_AE
from comfyui_uso.uso_model.images import picture_tensor
from torch import Tensor

from .browser import open_page
from .graphs import Tiny
from .mini_graphs import PAIR, Draw, Mini
from .server import ComfyServer, running_server
from .weights import write_small_files, write_wide_files

COMFY = Path(os.environ.get("COMFYUI_PATH") or "~/comfy/ComfyUI").expanduser()
HERE = Path(__file__).parent
PACK = "uso-nodes"
GGUF = COMFY / "custom_nodes/ComfyUI-GGUF"
"""Another pack, which the server loads beside ours where the checkout has it."""

FOLDERS = ("models", "input", "output", "temp", "user", "custom_nodes")
_MODELS = ("diffusion_models", "loras", "model_patches", "clip_vision", "vae", "checkpoints")

_server: ComfyServer | None = None


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the group
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder, keep those in one process, and skip them where there is no ComfyUI."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("comfy")
            item.add_marker(pytest.mark.xdist_group("server"))
            if not (COMFY / "main.py").is_file():
                item.add_marker(pytest.mark.skip(reason=f"no ComfyUI in {COMFY}; set COMFYUI_PATH"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Show the end of the server's log with every failed test of this folder."""
    outcome = yield
    report = outcome.get_result()
    if report.failed and _server is not None and HERE in item.path.parents:
        report.sections.append(("ComfyUI's log", _server.log_tail()))


def make_server_folder(base: Path) -> Path:
    """Make the folders of a server that has nothing but the pack, and return where they are."""
    for name in FOLDERS:
        (base / name).mkdir(parents=True)
    (base / "custom_nodes" / PACK).symlink_to(HERE.parents[1], target_is_directory=True)
    return base


@contextmanager
def server_folder(name: str) -> Iterator[Path]:
    """Make such folders for as long as they are used; not pytest's temporary ones: those are kept for three runs."""
    with tempfile.TemporaryDirectory(prefix=f"uso-{name}-", ignore_cleanup_errors=True) as folder:
        yield make_server_folder(Path(folder))


@pytest.fixture(scope="session")
def comfy() -> Iterator[ComfyServer]:
    """Return the running server."""
    global _server
    with server_folder("comfy") as base:
        for kind in _MODELS:
            (base / "models" / kind).mkdir()
        if GGUF.is_dir():
            (base / "custom_nodes" / GGUF.name).symlink_to(GGUF, target_is_directory=True)
        shutil.copy(HERE / "tool_nodes.py", base / "custom_nodes/uso_test_tools.py")
        write_small_files(base / "models")
        with running_server(COMFY, base) as server:
            _server = server
            yield server
            _server = None


@pytest.fixture(scope="session")
def wide_files(comfy: ComfyServer) -> Path:
    """Return the models folder, with the files of FLUX.1's real width in it."""
    write_wide_files(comfy.base / "models")
    return comfy.base / "models"


@pytest.fixture(scope="module")
def page(comfy: ComfyServer) -> Iterator[Any]:
    """Return ComfyUI's page in a browser; one for each module, because Playwright keeps an event loop of its own."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make setup")
    with open_page(comfy.address) as opened:
        yield opened


@pytest.fixture
def tiny() -> Tiny:
    """Return an empty graph that knows the tiny models."""
    return Tiny()


@pytest.fixture
def sample(comfy: ComfyServer) -> Callable[..., Any]:
    """Return a function that runs `Tiny.ksampler` of its arguments and gives the latent."""

    def run(graph: Tiny, model: Any, positive: Any, **options: Any) -> Any:
        saved = graph.ksampler(model, positive, **options)
        return comfy.run(graph).latent(saved)

    return run


@pytest.fixture(scope="session")
def drawn(comfy: ComfyServer) -> Draw:
    """Return a function that draws with a style, a subject and dials, and gives the latents."""

    def draw(style: Any = True, content: Any = True, **dials: Any) -> Tensor:
        graph = Mini(comfy)
        given = {name: value(graph) if callable(value) else value for name, value in dials.items()}
        for name, asked, make in (("style", style, graph.style), ("content", content, graph.content)):
            if asked:
                given[name] = asked(graph) if callable(asked) else make()
        saved = graph.draw(**given)
        return comfy.run(graph).latent(saved)

    return draw


@pytest.fixture(scope="session")
def look() -> Callable[[Tensor], Tensor]:
    """Return a function from latents to pictures `b 3 h w` in -1..1."""
    decoder = load_autoencoder()
    return lambda latents: decoder.decode((latents - FLUX_AE.shift_factor) * FLUX_AE.scale_factor).clamp(-1, 1)


@pytest.fixture(scope="session")
def likeness(look: Callable[[Tensor], Tensor]) -> Callable[..., float]:
    """Return a function that tells how like a style picture drawn latents are."""
    descriptor = load_descriptor()

    @torch.inference_mode()
    def measure(latents: Tensor, name: str = PAIR) -> float:
        return float((descriptor(look(latents)) @ descriptor(picture_tensor(examples()[name].style)).T).mean())

    return measure


@pytest.fixture(scope="session")
def resemblance(look: Callable[[Tensor], Tensor]) -> Callable[..., float]:
    """Return a function that tells how like the subject picture drawn latents are."""
    judge = load_judges()[1]

    @torch.inference_mode()
    def measure(latents: Tensor, name: str = PAIR) -> float:
        return float((judge(look(latents))[0] @ judge(picture_tensor(examples()[name].content))[0].T).mean())

    return measure
