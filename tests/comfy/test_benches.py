"""A bench is drawn on the real server by a graph over USO-mini: with both references, and with either of them muted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from comfyui_uso.mini.example_pictures import examples
from comfyui_uso.trainer.evaluate.bench import Bench, Row, read_bench, write_bench
from comfyui_uso.trainer.evaluate.drawers.comfy import comfy_drawer
from comfyui_uso.trainer.evaluate.drawers.drawer import Inputs
from comfyui_uso.trainer.evaluate.protocols.store import Store
from comfyui_uso.trainer.evaluate.run import draw_bench
from comfyui_uso.uso_model.errors import UserError
from PIL import Image

from .mini_graphs import PAIR
from .server import ComfyServer, Graph

pytestmark = pytest.mark.long


def graph_file(folder: Path) -> Path:
    """Write a graph in API format whose titles say what goes where."""
    graph, titles = Graph(), {}
    models = graph.add("USO_LoadMini", lora_strength=1.0)
    prompt, negative = (graph.add("CLIPTextEncode", clip=models[1], text=text) for text in ("a", ""))
    style, content = (graph.add("LoadImage", image=f"{name}.png") for name in ("style", "content"))
    titles |= {prompt.id: "prompt", style.id: "style", content.id: "content"}
    fed = graph.add(
        "USO_StyleReference",
        conditioning=prompt[0],
        clip_vision=models[3],
        projector=models[4],
        image=style[0],
        strength=1.0,
    )
    fed = graph.add("USO_SubjectReference", conditioning=fed[0], vae=models[2], image=content[0], strength=1.0)
    sampled = graph.add(
        "KSampler",
        model=models[0],
        positive=fed[0],
        negative=negative[0],
        latent_image=graph.add("EmptySD3LatentImage", width=64, height=64, batch_size=1)[0],
        seed=0,
        steps=1,
        cfg=3.0,
        sampler_name="euler",
        scheduler="simple",
        denoise=1.0,
    )
    decoded = graph.add("VAEDecode", samples=sampled[0], vae=models[2])
    graph.add("SaveImage", images=decoded[0], filename_prefix="bench")
    for id_, title in titles.items():
        graph.nodes[id_]["_meta"] = {"title": title}
    path = folder / "graph.json"
    path.write_text(json.dumps(graph.nodes), encoding="utf-8")
    return path


def test_a_bench_is_drawn_by_usos_graph(comfy: ComfyServer, tmp_path: Path) -> None:
    store, folder = Store(), tmp_path / "bench"
    style, content = (store.add_picture(getattr(examples()[PAIR], kind)) for kind in ("style", "content"))
    rows = [
        Row(id="a", task="subject", prompt="", prompt_id="", content=content),
        Row(id="b", task="style", prompt="", prompt_id="", style=style),
        Row(id="c", task="joint_kept", prompt="", prompt_id="", content=content, style=style),
    ]
    pictures = store.write(folder, {style, content})
    write_bench(folder, Bench(protocol="p", width=128, height=128, steps=3, pictures=pictures), rows)
    inputs = Inputs(folder, read_bench(folder)[0], server=comfy.address, graphs=[str(graph_file(tmp_path))])
    saved = len(list((comfy.base / "output").rglob("*.png")))
    for name in ("one", "two"):
        assert draw_bench(folder, tmp_path / name, comfy_drawer(inputs)).drawn == 3
    one, two = (
        {path.name: np.asarray(Image.open(path)) for path in (tmp_path / name / "pictures").glob("*.png")}
        for name in ("one", "two")
    )
    assert set(one) == {"a_0.png", "b_0.png", "c_0.png"}
    for name, picture in one.items():
        assert picture.shape == (128, 128, 3) and picture.std() > 10 and np.array_equal(picture, two[name])
    assert not np.array_equal(one["a_0.png"], one["c_0.png"]) and not np.array_equal(one["b_0.png"], one["c_0.png"])
    assert len(list((comfy.base / "output").rglob("*.png"))) == saved


def test_a_graph_that_the_server_refuses_is_one_sentence(comfy: ComfyServer, tmp_path: Path) -> None:
    path = graph_file(tmp_path)
    nodes = json.loads(path.read_text())
    sampler = next(node for node in nodes.values() if node["class_type"] == "KSampler")
    sampler["inputs"]["scheduler"] = "nobody's"
    path.write_text(json.dumps(nodes))
    folder = tmp_path / "bench"
    write_bench(
        folder, Bench(protocol="p", width=128, height=128), [Row(id="a", task="style", prompt="", prompt_id="")]
    )
    inputs = Inputs(folder, read_bench(folder)[0], server=comfy.address, graphs=[str(path)])
    with pytest.raises(UserError, match="refuses the graph: KSampler: Value not in list"):
        draw_bench(folder, tmp_path / "run", comfy_drawer(inputs))
