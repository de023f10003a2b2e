"""The doctor says what this machine has, what a recipe lacks, and which recipe fits."""

from __future__ import annotations

import torch
from comfyui_uso.trainer import doctor
from comfyui_uso.trainer.data.cache_plan import STYLE_BYTES, TEXT_BYTES, cache_bytes, latent_bytes
from comfyui_uso.trainer.data.manifest import read_manifest
from comfyui_uso.trainer.reading.recipe_files import RECIPES, load_recipe


def test_the_report(monkeypatch):
    text = doctor.diagnose().text
    assert f"torch {torch.__version__.partition('+')[0]}" in text and "adapt_12gb:" in text
    assert "recommended here: " in text
    recipe = load_recipe(RECIPES / "adapt_12gb.yaml")
    told = doctor.diagnose(recipe).text
    assert "flux1-dev.safetensors IS MISSING" in told and "blocks in RAM" in told
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda n: "a GPU")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda n: (8, 9))
    small = "nothing; adapt_12gb, the smallest, needs "
    for free, name in ((24.5e9, "adapt_24gb"), (16.5e9, "adapt_16gb"), (11.9e9, "adapt_12gb"), (4e9, small)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda n, free=free: (int(free), int(free)))
        assert name in doctor.diagnose().text.splitlines()[-1]
    assert "and 4.0 GB are free" in doctor.diagnose(recipe).text


def test_the_cache_is_planned_by_distinct_inputs(tmp_path, manifest):
    """As the numbers in docs/recipes.md: 4.2 MB a prompt, 5.0 MB a style picture, 1.0 MB a target of 1024 pixels."""
    assert round(TEXT_BYTES / 1e6, 1) == 4.2 and round(STYLE_BYTES / 1e6, 1) == 5.0
    assert round(latent_bytes(1024) / 1e6, 1) == 1.0
    recipe = load_recipe(RECIPES / "adapt_12gb.yaml", {"data.manifests": [manifest], "data.cache": tmp_path / "cache"})
    rows = read_manifest(manifest)
    prompts = len({"", *(row.prompt for row in rows)})
    wanted = prompts * TEXT_BYTES + 8 * (STYLE_BYTES + latent_bytes(768) + latent_bytes(512))
    assert cache_bytes(recipe, [*rows, *rows]) == wanted
    more = load_recipe(
        RECIPES / "adapt_12gb.yaml",
        {"data.manifests": [manifest], "data.cache": tmp_path, "data.size": [512, 768], "data.flip": 0.5},
    )
    twice = 2 * (latent_bytes(768) + latent_bytes(512)) - latent_bytes(768)  # of two sizes, as they are and mirrored
    assert cache_bytes(more, rows) == wanted + 8 * (twice + latent_bytes(512))
    assert f"encodings of 8 rows in {tmp_path / 'cache'}: {wanted / 1e9:.1f} GB" in doctor.diagnose(recipe).text
