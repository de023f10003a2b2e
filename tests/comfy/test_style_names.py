"""Style files over the API of a real server: names, sub-folders, and styles that came after the page was opened."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from comfyui_uso.mini.model import missing_files

from .mini_graphs import OTHER, PAIR, Mini
from .server import ComfyError, ComfyServer, PromptRefused

pytestmark = pytest.mark.skipif(bool(missing_files()), reason=f"USO-mini lacks {', '.join(missing_files())}")


def save(comfy: ComfyServer, name: str, picture: str = PAIR, **inputs: Any) -> None:
    graph = Mini(comfy)
    graph.add("USO_SaveStyle", **{"style": graph.style(picture), "name": name, "overwrite": False, **inputs})
    comfy.run(graph)


def load(comfy: ComfyServer, name: Any) -> None:
    graph = Mini(comfy)
    style = graph.add("USO_LoadStyle", name=name)[0]
    graph.draw(style=style)
    comfy.run(graph)


def test_a_style_is_loaded_right_after_it_was_saved(comfy: ComfyServer) -> None:
    """ComfyUI's own check of the list would know only what was there when the page was opened."""
    listed = comfy.get_json("/object_info/USO_LoadStyle")["USO_LoadStyle"]["input"]["required"]["name"]
    assert "late.safetensors" not in json.dumps(listed)
    save(comfy, "late.safetensors")
    load(comfy, "late.safetensors")
    load(comfy, "late")


def test_sub_folders_and_both_slashes(comfy: ComfyServer) -> None:
    for name in ("ink/warm", "ink\\warm.safetensors"):
        save(comfy, name)
        load(comfy, name)
    assert (comfy.base / "models/uso_styles/ink/warm.safetensors").is_file()
    listed = comfy.get_json("/object_info/USO_LoadStyle")["USO_LoadStyle"]["input"]["required"]["name"]
    assert "ink/warm.safetensors" in json.dumps(listed)
    with pytest.raises(ComfyError, match=r"ink/warm\.safetensors is already in models/uso_styles"):
        save(comfy, "ink/warm", OTHER)
    save(comfy, "ink/warm", OTHER, overwrite=True)


def test_letters_of_every_language(comfy: ComfyServer) -> None:
    save(comfy, "\u6c34\u5f69/\u6696\u8272 \u00e9")
    load(comfy, "\u6c34\u5f69/\u6696\u8272 \u00e9.safetensors")


@pytest.mark.parametrize("name", ["../../escape", "a" * 300, "", "nul", "x:y"])
def test_bad_names_are_one_sentence(name: str, comfy: ComfyServer) -> None:
    with pytest.raises(ComfyError) as caught:
        save(comfy, name)
    assert re.fullmatch(r"Got (the name|a name of) [^\n]*expected[^\n]*\.", caught.value.message)


@pytest.mark.parametrize("name", ["gone", "../../escape", "", 5])
def test_a_style_that_is_not_there_is_refused_before_the_run(name: Any, comfy: ComfyServer) -> None:
    with pytest.raises(PromptRefused, match="is not in models/uso_styles"):
        load(comfy, name)
