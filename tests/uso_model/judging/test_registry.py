"""Judges by name: files are found by keys and shapes, and what is wrong with one is a sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from comfyui_uso.uso_model.checkpoints import CheckpointError, write_safetensors
from comfyui_uso.uso_model.checkpoints.files import sha256_of
from comfyui_uso.uso_model.errors import UserError
from comfyui_uso.uso_model.judging import JUDGES, Judge, find_judge, load_judge
from comfyui_uso.uso_model.judging.judge import Card
from PIL import Image

from ...house import ROOT

NAMES = ["clip", "dino", "dinov2", "dinov3", "csd", "style_encoder"]


def sparse(path: Path, shapes: dict[str, tuple[int, ...]]) -> Path:
    """Write a safetensors file of zeros that takes no room on the disk."""
    header, place = {}, 0
    for name, shape in shapes.items():
        size = 2 * torch.Size(shape).numel()
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [place, place + size]}
        place += size
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + place)
    return path


FILES = {
    "clip": {"visual.conv1.weight": (768, 3, 32, 32), "text_projection": (512, 512)},
    "clip of transformers": {
        "vision_model.embeddings.patch_embedding.weight": (768, 3, 32, 32),
        "visual_projection.weight": (512, 768),
        "text_model.embeddings.position_embedding.weight": (77, 512),
        "text_projection.weight": (512, 512),
    },
    "dino": {
        "embeddings.cls_token": (1, 1, 384),
        "embeddings.patch_embeddings.projection.weight": (384, 3, 16, 16),
    },
    "dinov2": {
        "dinov2.embeddings.cls_token": (1, 1, 64),
        "dinov2.embeddings.patch_embeddings.projection.weight": (64, 3, 14, 14),
        "dinov2.encoder.layer.0.layer_scale1.lambda1": (64,),
    },
    "dinov3": {"embeddings.cls_token": (1, 1, 64), "embeddings.patch_embeddings.weight": (64, 3, 16, 16)},
    "csd": {"backbone.conv1.weight": (1024, 3, 14, 14), "last_layer_style": (1024, 768)},
    "style_encoder": {
        "vision_model.embeddings.patch_embedding.weight": (1024, 3, 14, 14),
        "visual_projection.weight": (768, 1024),
    },
}
OTHERS = {
    "ViT-B/16 of DINO": {
        "embeddings.cls_token": (1, 1, 768),
        "embeddings.patch_embeddings.projection.weight": (768, 3, 16, 16),
    },
    "ViT-L/14 of CLIP": {"visual.conv1.weight": (1024, 3, 14, 14), "text_projection": (768, 768)},
    "a LoRA": {"lora_A": (4, 4)},
}


def test_every_judge_has_a_whole_card() -> None:
    assert list(JUDGES) == NAMES
    for name, kind in JUDGES.items():
        card = kind.card
        assert card.name == name and card.range == (-1.0, 1.0) and card.sha256 is None
        assert all((card.model, card.revision, card.licence, card.preprocessing, card.file, card.sees))
        assert card.address.startswith("https://huggingface.co/")


def test_files_are_found_by_keys_and_shapes(tmp_path: Path) -> None:
    for name, shapes in {**FILES, **OTHERS}.items():
        if name != "clip of transformers":
            sparse(tmp_path / "models" / name.replace("/", " ") / "model.safetensors", shapes)
    (tmp_path / "models/damaged.safetensors").write_bytes(b"nothing")
    for name in NAMES:
        assert find_judge(name, [tmp_path / "absent", tmp_path / "models"]).parent.name == name
    sparse(tmp_path / "models/second.safetensors", FILES["clip of transformers"])
    with pytest.raises(UserError, match=r"several files fit the judge clip: .*second.*; name the one that is meant"):
        find_judge("clip", [tmp_path / "models", tmp_path / "models"])
    (tmp_path / "models/second.safetensors").unlink()
    assert find_judge("clip", [tmp_path / "models", tmp_path / "models"]).parent.name == "clip"


def test_any_vision_tower_is_no_style_encoder(tmp_path: Path) -> None:
    """ComfyUI's folders are full of them, and keys and shapes do not tell."""
    sparse(tmp_path / "clip_vision_h.safetensors", FILES["style_encoder"])
    with pytest.raises(UserError, match="into such a folder under a name with 'style' in it, or name its path"):
        find_judge("style_encoder", [tmp_path])


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_told_with_folder_and_address(name: str, tmp_path: Path) -> None:
    (tmp_path / "broken style.safetensors").write_bytes(b"")
    kind = JUDGES[name]
    with pytest.raises(UserError) as caught:
        load_judge(name, folders=[tmp_path])
    told = str(caught.value)
    assert kind.card.file in told and str(tmp_path) in told and kind.card.address in told and "\n" not in told
    assert "(1 could not be read, such as broken style.safetensors)" in told
    with pytest.raises(CheckpointError) as caught:
        load_judge(name, tmp_path / "absent.safetensors")
    told = str(caught.value)
    assert str(tmp_path / "absent.safetensors") in told and kind.card.address in told and kind.prepared in told


def test_another_model_is_told(tmp_path: Path) -> None:
    for name in NAMES:
        for other, shapes in {**FILES, **OTHERS}.items():
            if other.split()[0] != name:
                path = sparse(tmp_path / "other.safetensors", shapes)
                with pytest.raises(CheckpointError, match=rf"expected .* for the judge {name}; get it from https"):
                    load_judge(name, path)
    for data in (b"", b"\x80\x02}q\x00.", b"PK\x03\x04" + bytes(100), bytes(1000)):
        (tmp_path / "pickle.safetensors").write_bytes(data)
        with pytest.raises(CheckpointError, match=r"^pickle.safetensors"):
            load_judge("dino", tmp_path / "pickle.safetensors")
    with pytest.raises(UserError, match="got the judge resnet, expected clip, dino, dinov2, dinov3, csd"):
        load_judge("resnet")


class Constant:
    """Sees everything alike."""

    card = Card("constant", ("style",), "none", "1", "CC0-1.0", "none", (1.0, 1.0), "")

    def __init__(self, device="cpu"):
        self.device = device

    def prepare(self, picture):
        return torch.ones(3, 1, 1)

    def embed(self, prepared):
        return torch.ones(len(prepared), 1)

    embed_pixels = embed


def needy(width):
    """Return nothing: nobody tells the width."""


def test_a_judge_by_import_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = type(sys)("judges_of_ours")
    module.Constant, module.needy, module.number = Constant, needy, 5
    monkeypatch.setitem(sys.modules, "judges_of_ours", module)
    judge = load_judge("judges_of_ours:Constant", device="meta")
    assert isinstance(judge, Judge) and judge.device == "meta"
    for name, problem in (
        ("judges_of_ours:needy", "needs more than path and device"),
        ("judges_of_ours:number", "is not callable"),
        ("judges_of_ours:absent", "there is no absent in judges_of_ours"),
        ("no_such_module:judge", "there is no module no_such_module"),
        ("os:getcwd", "returned str and no judge"),
        ("../evil:judge", "expected clip, .* or an import path"),
    ):
        with pytest.raises(UserError, match=problem):
            load_judge(name)


class Filed(Constant):
    """Reads a file, and does not say which."""

    def __init__(self, path=None):
        super().__init__()


def test_the_file_of_a_judge_by_import_path_is_on_its_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features are kept under it, so another file must not have the features of the first."""
    module = type(sys)("judges_of_ours")
    module.Constant, module.Filed = Constant, Filed
    monkeypatch.setitem(sys.modules, "judges_of_ours", module)
    file = tmp_path / "weights.bin"
    file.write_bytes(b"1")
    assert load_judge("judges_of_ours:Filed", file).card.sha256 == sha256_of(file)
    of_folder = load_judge("judges_of_ours:Filed", tmp_path).card.sha256
    file.write_bytes(b"2")
    assert of_folder and load_judge("judges_of_ours:Filed", tmp_path).card.sha256 not in (None, of_folder)
    assert load_judge("judges_of_ours:Filed").card.sha256 is None and Filed.card.sha256 is None
    assert load_judge("judges_of_ours:Constant", file).card.sha256 is None, "it does not read the file"


def test_a_judge_from_a_folder_with_its_hash(tmp_path: Path) -> None:
    """As Hugging Face's own folders lie on the disk."""
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 64, "num_attention_heads": 1, "num_hidden_layers": 1, "intermediate_size": 8}
    config = transformers.CLIPVisionConfig(**sizes, patch_size=56, projection_dim=8)
    network = transformers.CLIPVisionModelWithProjection(config)
    path = tmp_path / "model.safetensors"
    write_safetensors(path, network.state_dict())
    judge = load_judge("style_encoder", tmp_path)
    assert judge.card.sha256 == sha256_of(path) and judge.prepare(Image.new("L", (9, 5))).shape == (3, 224, 224)
    weights = network.state_dict()
    weights["visual_projection.weight"][0, 0] = float("nan")
    write_safetensors(path, weights)
    with pytest.raises(CheckpointError, match=r"has values in visual_projection\.weight that are not finite"):
        load_judge("style_encoder", path)


BLOCKED = """
import importlib, pkgutil, sys

ABSENT = "peft", "open_clip", "pydantic", "accelerate", "yaml", "scipy", "skimage", "timm"

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
from comfyui_uso.uso_model import judging
for module in pkgutil.iter_modules(judging.__path__):
    importlib.import_module(f"{judging.__name__}.{module.name}")
assert "transformers" not in sys.modules
from comfyui_uso.uso_model.errors import UserError
from comfyui_uso.uso_model.judging import clip, csd
for build in (csd.quickgelu_tower, lambda: clip.clip_from({}, "clip.safetensors")):
    try:
        build()
    except UserError as error:
        print(error)
"""


def test_judges_need_no_more_than_comfyui_has(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/comfyui_uso").symlink_to(ROOT, target_is_directory=True)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", BLOCKED]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert len(told) == 2
    for line, judge in zip(told, ("csd", "clip"), strict=True):
        assert line.startswith(f"the judge {judge} needs the package open_clip, which cannot be imported (No module")
        assert line.endswith(f"install it with: {sys.executable} -m pip install open_clip_torch")
