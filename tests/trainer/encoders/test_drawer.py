"""The drawer of our own sampler draws by FLUX's files what the formulas say, whatever is drawn beside it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from comfyui_uso.trainer.encoders.flux import flux_encoders
from comfyui_uso.trainer.evaluate.bench import Bench, Row, read_bench, seed_of, write_bench
from comfyui_uso.trainer.evaluate.drawers.drawer import Inputs
from comfyui_uso.trainer.evaluate.drawers.flux import flux_drawer
from comfyui_uso.trainer.evaluate.protocols.store import Store
from comfyui_uso.trainer.evaluate.run import draw_bench
from comfyui_uso.trainer.recipe import ModelsConfig
from comfyui_uso.trainer.run_folder import open_recipe, write_run
from comfyui_uso.uso_model.autoencoder import Autoencoder
from comfyui_uso.uso_model.checkpoints import (
    load_projector,
    load_transformer,
    merge_lora,
    read_lora,
    save_autoencoder,
    save_projector,
    save_transformer,
    write_safetensors,
)
from comfyui_uso.uso_model.config import FLUX_DEV
from comfyui_uso.uso_model.errors import UserError
from comfyui_uso.uso_model.images import fit_content_image, tensor_pictures
from comfyui_uso.uso_model.projector import HierarchicalProjector
from comfyui_uso.uso_model.sampling import Conditioning, euler, velocity
from comfyui_uso.uso_model.schedule import official_schedule
from comfyui_uso.uso_model.style import StyleFeatures
from comfyui_uso.uso_model.transformer import UsoTransformer
from PIL import Image

from .test_flux import AE

TINY = replace(
    FLUX_DEV,
    vec_in_dim=128,
    context_in_dim=32,
    hidden_size=128,
    mlp_ratio=2.0,
    num_heads=1,
    depth=1,
    depth_single_blocks=1,
)
DOWN = "double_blocks.0.img_attn.proj"


@pytest.fixture
def recipe(tmp_path, tiny_t5, tiny_clip, tiny_siglip, comfy_weights, write_tokenizers) -> Path:
    """Write tiny FLUX networks as ComfyUI's single files, and a recipe that names them."""
    torch.manual_seed(5)
    for name, model in {"t5": tiny_t5, "clip": tiny_clip, "siglip": tiny_siglip}.items():
        write_safetensors(tmp_path / f"{name}.safetensors", comfy_weights(model))
    save_autoencoder(tmp_path / "vae.safetensors", Autoencoder(AE))
    write_tokenizers(tmp_path / "tokenizer_2", tmp_path / "tokenizer")
    save_transformer(tmp_path / "transformer.safetensors", UsoTransformer(TINY), "fp32")
    projector = HierarchicalProjector(tokens_in=16, tokens_out=2, dim_in=128, dim_out=TINY.hidden_size)
    save_projector(tmp_path / "projector.safetensors", projector)
    parts = ("t5", "clip", "siglip", "vae", "transformer", "projector")
    values: dict[str, Any] = {
        "stage": "triplet",
        "data": {"manifests": ["absent.jsonl"], "cache": str(tmp_path / "cache"), "content_size": 32},
        "models": {**{name: str(tmp_path / f"{name}.safetensors") for name in parts}, "tokenizers": str(tmp_path)},
        "memory": {"base": "fp32", "checkpointing": False},
        "loop": {
            "run_dir": str(tmp_path / "unused"),
            "steps": 1,
            "batch_size": 1,
            "precision": "no",
            "learning_rate": 1e-3,
        },
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """Write a bench with a row of each task."""
    folder, store = tmp_path / "bench", Store()
    noise = np.random.default_rng(1).integers(0, 255, (2, 40, 56, 3), np.uint8)
    style, content = (store.add_picture(Image.fromarray(picture)) for picture in noise)
    rows = [
        Row(id="a", task="subject", prompt="a cat", prompt_id="a", content=content),
        Row(id="b", task="style", prompt="a cat", prompt_id="a", style=style),
        Row(id="c", task="joint_kept", prompt="", prompt_id="b", content=content, style=style, samples=2),
    ]
    write_bench(
        folder, Bench(protocol="p", width=48, height=32, steps=2, pictures=store.write(folder, {style, content})), rows
    )
    return folder


def drawn(bench: Path, run: Path, recipe: Path, **options: Any) -> dict[str, np.ndarray]:
    inputs = Inputs(bench, read_bench(bench)[0], recipe=str(recipe), **options)
    draw_bench(bench, run, flux_drawer(inputs))
    return {path.stem: np.asarray(Image.open(path)).astype(int) for path in (run / "pictures").glob("*.png")}


def expected(bench: Path, folder: Path, row: Row, seed: int, change: Callable[[UsoTransformer], Any]) -> np.ndarray:
    """Return what the formulas of `uso_model` draw of a row."""
    header = read_bench(bench)[0]
    files = {name: folder / f"{name}.safetensors" for name in ("t5", "clip", "siglip", "vae")}
    encoders = flux_encoders(ModelsConfig(**files, tokenizers=folder), torch.device("cpu"))
    transformer = load_transformer(folder / "transformer.safetensors", torch.float32)
    change(transformer)
    opened = {key: Image.open(bench / picture.path).convert("RGB") for key, picture in header.pictures.items()}
    txt, vec = encoders.text(row.prompt)
    style, content = None, []
    if row.style is not None:
        features = StyleFeatures(*(level.half().float()[None] for level in encoders.style(opened[row.style])))
        style = load_projector(folder / "projector.safetensors", torch.float32)(features)
    if row.content is not None:
        content = [encoders.latent(fit_content_image(opened[row.content], 32)).mean.half().float()[None]]
    conditioning = Conditioning(
        txt=txt.bfloat16().float()[None], vec=vec.bfloat16().float()[None], style=style, content=content
    )
    noise = torch.randn(1, 16, 4, 6, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        latent = euler(velocity(transformer, conditioning), noise, official_schedule(2, 48, 32))
        return np.asarray(tensor_pictures(encoders.decode(latent))[0]).astype(int)


def test_all_tasks_are_drawn_as_the_formulas_say(recipe: Path, bench: Path, tmp_path: Path) -> None:
    header, rows, _ = read_bench(bench)
    found = drawn(bench, tmp_path / "run", recipe)
    assert set(found) == {"a_0", "b_0", "c_0", "c_1"} and found["a_0"].shape == (32, 48, 3)
    for row in rows:
        for sample in range(row.samples):
            want = expected(bench, tmp_path, row, seed_of(header, row, sample), lambda model: None)
            assert want.std() > 2 and abs(found[f"{row.id}_{sample}"] - want).max() <= 1, row.id
    together = drawn(bench, tmp_path / "together", recipe, batch=4)
    assert all(abs(together[name] - found[name]).max() <= 1 for name in found)


def test_what_a_run_exported_takes_the_place_of_the_recipes(recipe: Path, bench: Path, tmp_path: Path) -> None:
    out = tmp_path / "exported"
    out.mkdir()
    generator = torch.Generator().manual_seed(2)
    factors = {
        f"{DOWN}.lora_A.weight": torch.randn(4, 128, generator=generator),
        f"{DOWN}.lora_B.weight": torch.randn(128, 4, generator=generator),
    }
    write_safetensors(out / "ghibli-0000004.safetensors", factors)
    shutil.copy(tmp_path / "projector.safetensors", out / "ghibli-0000004-projector.safetensors")
    header, rows, _ = read_bench(bench)
    plain = drawn(bench, tmp_path / "plain", recipe)
    found = drawn(bench, tmp_path / "run", recipe, files=out)
    lora = read_lora(out / "ghibli-0000004.safetensors")
    want = expected(bench, tmp_path, rows[1], seed_of(header, rows[1], 0), lambda model: merge_lora(model, lora))
    assert abs(found["b_0"] - want).max() <= 1 and abs(found["b_0"] - plain["b_0"]).max() > 3
    with pytest.raises(UserError, match=r"drawer\.files\.lora\.hash was None"):
        drawn(bench, tmp_path / "plain", recipe, files=out)
    with pytest.raises(UserError, match="holds no exported LoRA or projector"):
        drawn(bench, tmp_path / "other", recipe, files=tmp_path / "cache")


def test_a_runs_folder_stands_for_what_it_trained(recipe: Path, bench: Path, tmp_path: Path) -> None:
    config = open_recipe(str(recipe))
    write_run(config, 1, "hash")
    header, folder = read_bench(bench)[0], config.loop.run_dir
    with pytest.raises(UserError, match="holds no exported LoRA or projector; make them with `uso export RUN`"):
        flux_drawer(Inputs(bench, header, recipe=str(folder)))
    config.folder.mkdir()
    save_projector(
        config.folder / f"{folder.name}-0000004-projector.safetensors",
        load_projector(tmp_path / "projector.safetensors"),
    )
    told = flux_drawer(Inputs(bench, header, recipe=str(folder))).describe()
    assert told["files"]["projector"]["name"] == f"{folder.name}-0000004-projector.safetensors"
    named = flux_drawer(Inputs(bench, header, recipe=str(recipe), files=config.folder)).describe()
    assert named == told and "lora" not in told["files"]


def test_what_the_drawer_lacks_is_said(recipe: Path, bench: Path, tmp_path: Path) -> None:
    header = read_bench(bench)[0]
    with pytest.raises(UserError, match="name a recipe or a run's folder with --recipe"):
        flux_drawer(Inputs(bench, header))
    with pytest.raises(UserError, match="drawing needs a projector"):
        flux_drawer(Inputs(bench, header, recipe=str(recipe), texts=["models.projector=none"]))
    with pytest.raises(UserError, match=r"needs FLUX\.1-dev: name its file or folder as models\.transformer"):
        drawn(bench, tmp_path / "run", recipe, texts=["models.transformer=none"])
    with pytest.raises(UserError, match="is not there"):
        drawn(bench, tmp_path / "run", recipe, texts=["models.transformer=absent.safetensors"])
    odd = header.model_copy(update={"width": 40})
    with pytest.raises(UserError, match="asks for 40x32, but sides are multiples of 16"):
        flux_drawer(Inputs(bench, odd, recipe=str(recipe)))
