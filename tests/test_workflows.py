"""The workflows as files: complete, consistent, and true to the nodes' schemas. Needs no ComfyUI."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from comfyui_uso.mini.example_pictures import example_names
from comfyui_uso.mini.model.generate import CFG
from PIL import Image

from .template_names import NAMES

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
SCHEMAS: dict[str, dict[str, Any]] = json.loads((ROOT / "tests/data/node_schemas.json").read_text(encoding="utf-8"))

MINI = [path for path in WORKFLOWS if path.stem.endswith("(no download)")]
FLUX = [path for path in WORKFLOWS if path.stem.startswith("USO FLUX ")]
CORE_FILES = {
    "flux1-dev-fp8.safetensors": "checkpoints",
    "uso-flux1-dit-lora-v1.safetensors": "loras",
    "uso-flux1-projector-v1.safetensors": "model_patches",
    "sigclip_vision_patch14_384.safetensors": "clip_vision",
}
"""What ComfyUI's own USO template loads."""
SPLIT_FILES = {
    **{name: folder for name, folder in CORE_FILES.items() if folder != "checkpoints"},
    "flux1-dev.safetensors": "diffusion_models",
    "ae.safetensors": "vae",
    "clip_l.safetensors": "text_encoders",
    "t5xxl_fp16.safetensors": "text_encoders",
}
OFFICIAL = {
    1: (1061776533054168, {"input.png"}),
    2: (311404125744479, {"input.png", "1746100678361067_style0.webp.webp"}),
    3: (180477256854341, {"input.png"}),
    4: (277357199108482, {"style5_0.webp.webp"}),
    5: (665095485314866, {"style5_0.webp.webp", "17-17-29.webp.webp"}),
    6: (76591154377355, {"17-17-29.webp.webp"}),
}
"""Seed and pictures of bytedance/USO, workflow/example1.json to example6.json."""

WIDGETS = {"INT": int, "FLOAT": (int, float), "STRING": str, "BOOLEAN": bool, "COMBO": str}
GROWING = "COMFY_AUTOGROW_V3"
TITLE_HEIGHT = 30
LARGEST_PICTURE = 60_000

every_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def read(path: Path) -> dict[str, Any]:
    """Read a workflow."""
    return json.loads(path.read_text(encoding="utf-8"))


def real_nodes(graph: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the nodes that run, without the notes."""
    return [node for node in graph["nodes"] if node["type"] != "MarkdownNote"]


def widget_values(node: dict[str, Any]) -> dict[str, Any]:
    """Give the saved list of values back to the inputs with a widget, as the page does.

    The page adds a widget of its own after a seed and after a picture.
    """
    left, found = list(node.get("widgets_values", [])), {}
    for name, spec in SCHEMAS[node["type"]]["inputs"].items():
        if spec["type"] in WIDGETS:
            found[name] = left.pop(0)
            if "then" in spec:
                found[f"{name} then"] = left.pop(0)
    assert not left, f"{node['type']} has {len(left)} values too many"
    return found


def values_of(graph: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """Return the widget values of every node of a kind."""
    return [widget_values(node) for node in graph["nodes"] if node["type"] == kind]


def notes(graph: dict[str, Any]) -> str:
    """Return the text of the notes."""
    return "\n".join(node["widgets_values"][0] for node in graph["nodes"] if node["type"] == "MarkdownNote")


def test_all_workflows_are_there() -> None:
    assert {path.stem for path in WORKFLOWS} == NAMES


@every_workflow
def test_file_is_what_the_page_saves(path: Path) -> None:
    graph = read(path)
    assert graph["version"] == 0.4 and "definitions" not in graph
    ids = [node["id"] for node in graph["nodes"]]
    assert len(set(ids)) == len(ids) and max(ids) <= graph["last_node_id"]
    assert all(node["mode"] == 0 for node in graph["nodes"]), "a node is muted or bypassed"
    assert sorted(node["order"] for node in graph["nodes"]) == list(range(len(ids)))
    assert len({read(other)["id"] for other in WORKFLOWS}) == len(WORKFLOWS)


@every_workflow
def test_links_fit_the_nodes(path: Path) -> None:
    graph = read(path)
    nodes = {node["id"]: node for node in graph["nodes"]}
    for number, source, output, target, place, kind in graph["links"]:
        assert number <= graph["last_link_id"]
        assert number in nodes[source]["outputs"][output]["links"]
        assert nodes[target]["inputs"][place]["link"] == number
        assert nodes[target]["inputs"][place]["type"] == kind
        assert nodes[source]["outputs"][output]["type"] in (kind, "*")
        assert nodes[source]["order"] < nodes[target]["order"]
    numbers = sorted(link[0] for link in graph["links"])
    assert sorted(entry["link"] for node in nodes.values() for entry in node["inputs"] if entry["link"]) == numbers
    assert sorted(n for node in nodes.values() for out in node["outputs"] for n in out["links"] or ()) == numbers


@every_workflow
def test_nodes_have_the_inputs_of_their_schemas(path: Path) -> None:
    for node in real_nodes(read(path)):
        schema = SCHEMAS[node["type"]]
        # `upload` is the page's own button under a picture.
        found = {entry["name"]: entry["type"] for entry in node["inputs"] if entry["name"] != "upload"}
        # Inputs that grow are named `inputs.input0` and on, and take the type of what is connected.
        growing = {name for name, spec in schema["inputs"].items() if spec["type"] == GROWING}
        grown = {name for name in found if name.partition(".")[0] in growing and "." in name}
        assert {name: kind for name, kind in found.items() if name not in grown} == {
            name: spec["type"] for name, spec in schema["inputs"].items()
        }
        if not growing:
            assert [output["type"] for output in node["outputs"]] == schema["outputs"]
        linked = {entry["name"].partition(".")[0] for entry in node["inputs"] if entry["link"] is not None}
        needed = {
            name for name, spec in schema["inputs"].items() if spec["type"] not in WIDGETS and not spec.get("optional")
        }
        assert needed <= linked, f"{node['type']} lacks {needed - linked}"


@every_workflow
def test_values_fit_the_schemas(path: Path) -> None:
    for node in real_nodes(read(path)):
        inputs = SCHEMAS[node["type"]]["inputs"]
        for name, value in widget_values(node).items():
            if name.endswith(" then"):
                expected = {"image then": ("image",)}.get(name, ("fixed", "randomize"))
                assert value in expected, f"{node['type']}.{name} = {value!r}"
                continue
            spec, where = inputs[name], f"{node['type']}.{name} = {value!r}"
            assert isinstance(value, WIDGETS[spec["type"]]), where
            if "options" in spec:
                assert value in spec["options"], where
            if "min" in spec:
                assert spec["min"] <= value <= spec["max"], where
    # The page's other way of saving the same values must not disagree.
    for node in real_nodes(read(path)):
        named = node.get("widgets_values_named", {})
        assert {name: value for name, value in widget_values(node).items() if name in named}.items() <= named.items()


@every_workflow
def test_nothing_overlaps(path: Path) -> None:
    boxes = []
    for node in read(path)["nodes"]:
        (x, y), (width, height) = node["pos"], node["size"]
        boxes.append((x, y - TITLE_HEIGHT, x + width, y + height, f"{node['type']} {node['id']}"))
    for i, (left, top, right, bottom, name) in enumerate(boxes):
        for other in boxes[i + 1 :]:
            apart = left >= other[2] or other[0] >= right or top >= other[3] or other[1] >= bottom
            assert apart, f"{name} lies over {other[4]}"


@every_workflow
def test_a_picture_lies_beside(path: Path) -> None:
    """ComfyUI's template list asks for a JPG and for nothing else."""
    picture = path.with_suffix(".jpg")
    assert picture.stat().st_size <= LARGEST_PICTURE
    with Image.open(picture) as image:
        assert image.format == "JPEG" and image.width >= 600
        image.verify()


def test_nothing_else_lies_beside() -> None:
    assert {path.suffix for path in (ROOT / "workflows").iterdir()} == {".json", ".jpg"}


@pytest.mark.parametrize("path", MINI, ids=lambda path: path.stem)
def test_mini_workflow_needs_nothing_but_the_pack(path: Path) -> None:
    graph = read(path)
    kinds = {node["type"] for node in graph["nodes"]}
    loaders = {kind for kind in kinds if "Loader" in kind or kind == "USO_LoadModels"}
    trained = {"LoraLoaderModelOnly"} & kinds if "USO_Train" in kinds else set()
    assert "USO_LoadMini" in kinds and loaders == trained
    sizes = values_of(graph, "EmptySD3LatentImage") + values_of(graph, "USO_EncodeContent")
    assert {size.get("width", size.get("latent_long_side")) for size in sizes} <= {128}


@every_workflow
def test_pictures_are_the_bundled_ones(path: Path) -> None:
    """So Run works from an empty input folder."""
    graph = read(path)
    training = [made["folder"] for made in values_of(graph, "USO_TrainingSet")]
    assert training in ([], ["example" if path in MINI else "none"])
    assert (values_of(graph, "USO_Example") or training) and not values_of(graph, "LoadImage")
    assert {value["name"] for value in values_of(graph, "USO_Example")} <= set(example_names())
    assert not re.search(r'"(/|[A-Za-z]:\\\\)[\w.]+[/\\\\]', path.read_text(encoding="utf-8"))


@every_workflow
def test_note_says_what_to_do_and_is_legible(path: Path) -> None:
    """A code span is blue on the note's brown."""
    text = notes(read(path))
    assert "`" not in text
    assert path in MINI or "**USO Example**" in text
    kinds = {node["type"] for node in real_nodes(read(path))}
    assert ("To switch a reference off" in text) is any(kind.endswith(("Reference", "Apply")) for kind in kinds)
    # A sampler would miss the latent that comes from it.
    assert "bypass **USO Subject Reference**" not in text and "or **USO Subject Reference**" not in text
    assert ("**Press Run" in text) is (path in MINI)


@pytest.mark.parametrize("path", FLUX, ids=lambda path: path.stem)
def test_the_page_can_offer_every_file(path: Path) -> None:
    """It offers a file that stands in a widget and, with an address and a folder, in the node's `models`."""
    graph = read(path)
    expected = CORE_FILES if "(checkpoint)" in path.stem else SPLIT_FILES
    found = {}
    for node in real_nodes(graph):
        for model in node["properties"].get("models", ()):
            assert model["name"] in widget_values(node).values(), node["type"]
            assert re.match(rf"https://huggingface\.co/.+/resolve/main/(.+/)?{re.escape(model['name'])}$", model["url"])
            assert "black-forest-labs" not in model["url"], "one has to log in there"
            found[model["name"]] = model["directory"]
    assert found == expected
    values = [value for node in real_nodes(graph) for value in widget_values(node).values()]
    assert {value for value in values if str(value).endswith(".safetensors")} == set(expected)
    for file, folder in expected.items():
        assert re.search(rf"\[{re.escape(file)}\].*\| \*\*{folder}\*\* \|", notes(graph)), file


def test_style_and_subject_on_cores_files_is_small() -> None:
    (path,) = [path for path in FLUX if path.stem.endswith("style and subject (checkpoint)")]
    assert len(real_nodes(read(path))) + 1 <= 10, "with a Load Image of its own for each reference"


@every_workflow
def test_settings_are_the_official_ones(path: Path) -> None:
    graph = read(path)
    mini = path in MINI
    samplers = values_of(graph, "USO_Sampler")
    assert samplers
    for sampler in samplers:
        assert (sampler["steps"], sampler["guidance"]) == (25, 4)
        # Away from a style goes further than towards one.
        assert sampler["cfg"] in ((CFG, 2) if path.stem.startswith("USO 5") else (CFG,) if mini else (1,))
        assert (sampler["sampler_name"], sampler["schedule"], sampler["denoise"]) == ("euler", "official", 1)
    cropped = "what is seen" in path.stem  # which shows what cropping does
    assert {style["fit"] for style in values_of(graph, "USO_EncodeStyle")} <= {"center" if cropped else "squash"}
    assert {content["long_side"] for content in values_of(graph, "USO_EncodeContent")} <= {128 if mini else 512}
    padded = not mini and "(checkpoint)" not in path.stem
    assert values_of(graph, "T5TokenizerOptions") == [{"min_padding": 0, "min_length": 512}] * padded


@pytest.mark.parametrize("number", OFFICIAL)
def test_official_example_is_the_published_one(number: int) -> None:
    (path,) = [path for path in WORKFLOWS if path.stem.startswith(f"USO FLUX example {number} ")]
    graph = read(path)
    seed, pictures = OFFICIAL[number]
    (sampler,) = values_of(graph, "USO_Sampler")
    assert sampler["seed"] == seed and sampler["seed then"] == "fixed"
    assert all(f"**{name}**" in notes(graph) for name in pictures)
    assert len(values_of(graph, "USO_Example")) == len(pictures)
    assert {(v["width"], v["height"]) for v in values_of(graph, "EmptySD3LatentImage")} == {(1024, 1024)}
    # The published files name a reference method `uso` that ComfyUI does not offer any more.
    values = [value for node in real_nodes(graph) for value in node.get("widgets_values", [])]
    assert "uso" not in values
    assert f"example{number}.json" in notes(graph)
