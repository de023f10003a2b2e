"""Put ComfyUI into this process on the CPU, with a tiny FLUX; skip where it is absent."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

COMFY = Path(os.environ.get("COMFYUI_PATH") or "~/comfy/ComfyUI").expanduser()
HERE = Path(__file__).parent

if (COMFY / "main.py").is_file():
    # ComfyUI is no installed package, and it reads its options from the command line when it is imported.
    sys.path.insert(0, str(COMFY))
    given, sys.argv = sys.argv, ["comfyui", "--cpu"]
    import comfy.options

    comfy.options.enable_args_parsing()
    import comfy.cli_args

    sys.argv = given
else:
    collect_ignore_glob = ["test_*.py"]

HIDDEN = 64
TOKENS, WIDTH, LAYERS = 729, 1152, 27


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take the size of fuzz tests, unless a folder above has done so already."""
    with contextlib.suppress(ValueError):
        parser.addoption("--fuzz-rounds", type=int, default=1, help="times as many inputs in fuzz tests")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("comfy")


@pytest.fixture(autouse=True)
def _no_grad() -> Any:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="session")
def make_model() -> Any:
    """Return a function that builds a MODEL with random weights."""

    def build(hidden: int = HIDDEN, seed: int = 0, **changes: Any) -> Any:
        import comfy.model_patcher
        import comfy.supported_models

        config = {
            "image_model": "flux",
            "in_channels": 16,
            "out_channels": 16,
            "vec_in_dim": 32,
            "context_in_dim": 48,
            "hidden_size": hidden,
            "mlp_ratio": 4.0,
            "num_heads": hidden // 16,
            "depth": 2,
            "depth_single_blocks": 2,
            "axes_dim": [4, 6, 6],
            "theta": 10000,
            "patch_size": 2,
            "qkv_bias": True,
            "guidance_embed": True,
            "txt_ids_dims": [],
            **changes,
        }
        model_config = comfy.supported_models.Flux(config)
        model_config.set_inference_dtype(torch.float32, None)
        model_config.unet_config["dtype"] = torch.float32
        base = model_config.get_model({})
        fill(base.diffusion_model, seed)
        cpu = torch.device("cpu")
        return comfy.model_patcher.CoreModelPatcher(base, cpu, cpu)

    return build


@pytest.fixture(scope="session")
def base_model(make_model: Any) -> Any:
    """Return the MODEL most tests share."""
    return make_model()


@pytest.fixture(scope="session")
def make_projector() -> Any:
    """Return a function that builds a MODEL_PATCH: ComfyUI's projector, or ours with equal weights."""

    def build(hidden: int = HIDDEN, ours: bool = False, seed: int = 1) -> Any:
        import comfy.model_patcher
        import comfy.ops
        from comfy_extras.nodes_model_patch import SigLIPMultiFeatProjModel

        core = SigLIPMultiFeatProjModel(hidden_size=hidden, operations=comfy.ops.manual_cast)
        fill(core, seed)
        if ours:
            from comfyui_uso.nodes.graph.projector_patch import projector_patch

            return projector_patch({f"feature_embedder.{k}": v for k, v in core.state_dict().items()}, "the core's")
        cpu = torch.device("cpu")
        return comfy.model_patcher.CoreModelPatcher(core, cpu, cpu)

    return build


@pytest.fixture(scope="session")
def core_projector(make_projector: Any) -> Any:
    """Return the projector most tests share."""
    return make_projector()


@pytest.fixture(scope="session")
def vision_output() -> Any:
    """Return a function that gives what ComfyUI's SigLIP gives for one picture, made up from a seed."""

    @functools.lru_cache
    def build(seed: int = 2) -> Any:
        states = torch.randn(1, LAYERS, TOKENS, WIDTH, generator=torch.Generator().manual_seed(seed))
        return SimpleNamespace(all_hidden_states=states, penultimate_hidden_states=states[:, -2])

    return build


@pytest.fixture(scope="session")
def features(vision_output: Any) -> Any:
    """Return a function that gives USO_FEATURES of the same made-up pictures."""

    def build(*seeds: int) -> Any:
        from comfyui_uso.uso_model.style import StyleFeatures

        states = torch.cat([vision_output(seed).all_hidden_states for seed in seeds or (2,)])
        return StyleFeatures(high=states[:, 25], mid=states[:, 16], low=states[:, 7])

    return build


@pytest.fixture(scope="session")
def prompt() -> Any:
    """Return a function that gives CONDITIONING of one entry."""

    def build(seed: int = 3, length: int = 5, **values: Any) -> list[list[Any]]:
        generator = torch.Generator().manual_seed(seed)
        text = torch.randn(1, length, 48, generator=generator)
        return [[text, {"pooled_output": torch.randn(1, 32, generator=generator), "guidance": 3.5, **values}]]

    return build


@pytest.fixture(scope="session")
def sample() -> Any:
    """Return a function that samples two steps of an empty latent through ComfyUI."""

    def run(model: Any, positive: Any, negative: Any, batch: int = 1, cfg: float = 1.0, size: int = 8) -> torch.Tensor:
        import comfy.sample

        empty = torch.zeros(batch, 16, size, size)
        noise = comfy.sample.prepare_noise(empty, 7)
        return comfy.sample.sample(
            model, noise, 2, cfg, "euler", "simple", positive, negative, empty, disable_pbar=True
        )

    return run


def fill(module: torch.nn.Module, seed: int) -> None:
    """Give a module reproducible random weights."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.05)


def host_vae(sizes: Mapping[str, Any], weights: Mapping[str, torch.Tensor]) -> Any:
    """Return ComfyUI's VAE of an autoencoder's sizes and weights, in float32."""
    import comfy.sd

    names = ("z_channels", "in_channels", "out_ch", "ch", "num_res_blocks")
    ddconfig = {name: sizes[name] for name in names} | {"ch_mult": list(sizes["ch_mult"])}
    ddconfig |= {"double_z": True, "resolution": 256, "attn_resolutions": [], "dropout": 0.0}
    channels = sizes["z_channels"]
    # A configured VAE has two more 1x1 convolutions than FLUX's; as the identity they change nothing.
    every = dict(weights)
    for name, width in (("quant_conv", 2 * channels), ("post_quant_conv", channels)):
        every |= {f"{name}.weight": torch.eye(width)[:, :, None, None], f"{name}.bias": torch.zeros(width)}
    config = {"params": {"ddconfig": ddconfig, "embed_dim": channels}}
    vae = comfy.sd.VAE(sd=every, config=config, dtype=torch.float32)
    vae.latent_channels = channels
    return vae


def content(*sizes: tuple[int, int], seed: int = 5, frames: int = 1, place: Any = None) -> Any:
    """Return USO_CONTENT of random latents, one for each size."""
    from comfyui_uso.nodes.sockets import Content

    generator = torch.Generator().manual_seed(seed)
    return Content(latents=tuple(torch.randn(frames, 16, h, w, generator=generator) for h, w in sizes), place=place)


@pytest.fixture(scope="session")
def style(features: Any, core_projector: Any) -> Any:
    """Return USO_STYLE of one made-up picture."""
    from comfyui_uso.nodes.style import ProjectStyle

    return ProjectStyle.execute(features(2), core_projector).result[0]


@pytest.fixture(scope="session")
def drawn(base_model: Any, prompt: Any, sample: Any, style: Any) -> Any:
    """Return a function that samples with a style, a subject and dials."""
    from comfyui_uso.nodes.apply import Apply

    own_style, own_content = style, content((4, 4))

    def draw(style: Any = own_style, content: Any = own_content, **dials: Any) -> torch.Tensor:
        options = {key: dials.pop(key) for key in ("batch", "cfg", "size") if key in dials}
        with torch.inference_mode():
            return sample(*Apply.execute(base_model, prompt(), prompt(4), style, content, **dials).result, **options)

    return draw


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give ComfyUI empty model folders, and an encoder loader that builds nothing."""
    import folder_paths

    for folder in ("loras", "model_patches", "clip_vision"):
        (tmp_path / folder).mkdir()
        monkeypatch.setitem(folder_paths.folder_names_and_paths, folder, ([str(tmp_path / folder)], {".safetensors"}))
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    monkeypatch.setattr("comfy.clip_vision.load_clipvision_from_sd", lambda weights: dict(weights))
    return tmp_path


@pytest.fixture
def put(models: Path) -> Callable[..., Path]:
    """Return a function that writes a file into one of those folders."""
    from comfyui_uso.uso_model.checkpoints.files import write_safetensors

    def write(name: str, tensors: dict[str, torch.Tensor]) -> Path:
        write_safetensors(models / name, tensors)
        return models / name

    return write


@pytest.fixture
def batches(base_model: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets the rows of every call of the shared model's network."""
    forward, rows = base_model.model.diffusion_model.forward_orig, []
    monkeypatch.setattr(
        base_model.model.diffusion_model,
        "forward_orig",
        lambda img, *a, **k: rows.append(img.shape[0]) or forward(img, *a, **k),
    )
    return rows
