"""The files of judges in ComfyUI's folders: known by their keys, refused in one sentence, read once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import folder_paths
import pytest
import torch
from comfyui_uso.nodes.graph import score_judges
from comfyui_uso.nodes.graph.score_judges import judge_of
from comfyui_uso.nodes.score import Score
from comfyui_uso.uso_model.checkpoints.files import write_safetensors
from comfyui_uso.uso_model.judging import registry
from torch import Tensor

from .test_score import content, scored, style


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give ComfyUI empty folders for judges."""
    for name in ("judges", "clip_vision"):
        (tmp_path / name).mkdir()
        monkeypatch.setitem(folder_paths.folder_names_and_paths, name, ([str(tmp_path / name)], {".safetensors"}))
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    return tmp_path


@pytest.fixture(scope="session")
def dino_weights() -> dict[str, Tensor]:
    """Return random weights of DINO's width with one block."""
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=384, num_hidden_layers=1, num_attention_heads=6, intermediate_size=384, patch_size=16
    )
    return ViTModel(config, add_pooling_layer=False).state_dict()


@pytest.fixture
def dino(folders: Path, dino_weights: dict[str, Tensor]) -> Callable[[str], None]:
    """Return a function that writes the weights to a file."""
    return lambda name: write_safetensors(folders / name, dino_weights)


@pytest.mark.parametrize("name", ["judges/anything.safetensors", "clip_vision/sub/other.safetensors"])
def test_a_judge_is_found_in_both_folders(dino: Any, folders: Path, name: str) -> None:
    (folders / "clip_vision/sub").mkdir()
    dino(name)
    batch = torch.cat([content("1"), content("5")])
    _, scores, order, table = scored(batch, subject_image=content("5"), subject_judge="auto", sort_by="subject")
    assert order == [1, 0] and scores[0] == pytest.approx(1, abs=1e-5) and scores[1] < scores[0]
    assert f"subject: dino (facebook/dino-vits16), from {Path(name).name}." in table
    chosen = name.partition("/")[2]
    assert chosen in Score.define_schema().inputs[5].options
    assert scored(batch, subject_image=content("5"), subject_judge=chosen, sort_by="subject")[1] == scores
    assert Score.fingerprint_inputs(subject_judge=["auto"]) == Score.fingerprint_inputs(subject_judge=[chosen]) != []
    assert Score.fingerprint_inputs(subject_judge=(None,)) == Score.fingerprint_inputs(subject_judge=[]), "by a link"


def test_a_file_is_read_once_and_again_when_it_changes(dino: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    dino("judges/a.safetensors")
    first = judge_of("subject", "auto")
    assert judge_of("subject", "a.safetensors") is first and judge_of("subject", "auto") is first
    dino("judges/a.safetensors")
    assert judge_of("subject", "auto") is not first


def test_missing_files_are_named_with_folder_and_address(folders: Path) -> None:
    with pytest.raises(ValueError, match=r"judge csd is not there.*judges.*https://huggingface.co/tomg-group-umd"):
        scored(style("1"), style_image=style("1"), style_judge="auto")
    with pytest.raises(ValueError, match=r"judge dino is not there.*judges.*https://huggingface.co/facebook"):
        scored(style("1"), subject_image=style("1"), subject_judge="auto")
    sentence = Score.validate_inputs(style_judge=["bundled"], subject_judge=["gone.safetensors"])
    assert str(sentence).startswith(
        "gone.safetensors is not in models/judges or models/clip_vision, expected a file for"
    )
    assert "https://huggingface.co/facebook/dino-vits16" in str(sentence)
    assert Score.validate_inputs(style_judge=["bundled"], subject_judge=["auto"], prompt_judge=None) is True
    with pytest.raises(ValueError, match=r"gone.safetensors is not in models/judges"):
        scored(style("1"), subject_image=style("1"), subject_judge="gone.safetensors")


def test_several_another_kind_and_damaged_files(dino: Any, folders: Path) -> None:
    dino("judges/a.safetensors")
    with pytest.raises(ValueError, match=r"a.safetensors looks like the judge dino, expected a judge of styles"):
        scored(style("1"), style_image=style("1"), style_judge="a.safetensors")
    dino("clip_vision/b.safetensors")
    with pytest.raises(ValueError, match=r"several files fit the judge dino.*a.safetensors.*b.safetensors"):
        scored(style("1"), subject_image=style("1"), subject_judge="auto")
    write_safetensors(folders / "judges/c.safetensors", {"x": torch.zeros(2)})
    with pytest.raises(ValueError, match=r"c.safetensors looks like .*expected a judge of words as prompt_judge"):
        scored(style("1"), prompt="an owl", prompt_judge="c.safetensors")
    (folders / "judges/d.safetensors").write_text("text", encoding="utf-8")
    with pytest.raises(ValueError, match=r"d.safetensors"):
        scored(style("1"), subject_image=style("1"), subject_judge="d.safetensors")


def test_words_are_compared_by_a_judge_that_reads_them(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = torch.eye(2)
    judge = SimpleNamespace(
        prepare=lambda picture: torch.zeros(3, 1, 1),
        embed=lambda prepared: vectors[: len(prepared)],
        embed_texts=lambda texts: vectors[[len(text) % 2 for text in texts]],
    )
    likeness = score_judges.Likeness(judge, "a stub")
    monkeypatch.setattr("comfyui_uso.nodes.score.judge_of", lambda column, choice: likeness)
    batch = torch.cat([style("1"), style("5")])
    _, scores, order, table = scored(batch, prompt="odd", prompt_judge="auto", sort_by="prompt")
    assert scores == [1, 0] and order == [1, 0] and "prompt: a stub." in table
    _, scores, _, _ = scored([style("1"), style("5")], prompt=["even", " "], prompt_judge="auto", sort_by="prompt")
    assert scores[0] == 1 and scores[1] != scores[1]


def test_a_package_that_is_missing_is_named(dino: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """CSD and CLIP are built on open_clip, which ComfyUI does not have."""
    from comfyui_uso.uso_model.judging.open_clip_package import open_clip_package

    def load(path: Path, device: Any) -> Any:
        return open_clip_package("csd")

    kind = registry.JUDGES["csd"]
    monkeypatch.setitem(registry.JUDGES, "csd", type(kind)(**{**vars(kind), "load": load, "fits": lambda shapes: True}))
    monkeypatch.setitem(sys.modules, "open_clip", None)
    dino("judges/csd.safetensors")
    with pytest.raises(ValueError, match=r"judge csd needs the package open_clip.* -m pip install open_clip_torch"):
        scored(style("1"), style_image=style("1"), style_judge="auto")
