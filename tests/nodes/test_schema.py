"""The face of the nodes: frozen ids, inputs in order, tooltips, search words."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from comfy_api.latest import io
from comfyui_uso import nodes
from comfyui_uso.nodes import sockets

DIALS = ("strength", "start", "end", "curve", "blocks", "form", "region")

FACES = {
    "USO_LoadModels": (
        ["model", "lora", "lora_strength", "projector", "clip_vision", "lora_blocks"],
        ["MODEL", "MODEL_PATCH", "CLIP_VISION"],
    ),
    "USO_LoadMini": (
        ["lora_strength", "lora_blocks", "lora", "projector"],
        ["MODEL", "CLIP", "VAE", "CLIP_VISION", "MODEL_PATCH"],
    ),
    "USO_Example": (["name"], ["IMAGE", "IMAGE", "STRING"]),
    "USO_StyleReference": (
        ["conditioning", "clip_vision", "projector", "image", "strength", "mask"],
        ["CONDITIONING"],
    ),
    "USO_SubjectReference": (["conditioning", "vae", "image", "strength", "mask"], ["CONDITIONING", "LATENT"]),
    "USO_EncodeStyle": (["clip_vision", "image", "fit", "mask"], ["USO_FEATURES", "IMAGE"]),
    "USO_ProjectStyle": (["features", "projector", "low", "mid", "high", "tokens_per_level", "preset"], ["USO_STYLE"]),
    "USO_EncodeContent": (
        [
            "vae",
            "image",
            "long_side",
            "latent_long_side",
            "mask",
            "background",
            "placement",
            "row_offset",
            "column_offset",
            "batch",
            "size_rule",
        ],
        ["USO_CONTENT", "LATENT", "IMAGE"],
    ),
    "USO_MixStyles": (
        [*(f"style_{n}" for n in range(1, 9)), "mode", *(f"weight_{n}" for n in range(1, 9))],
        ["USO_STYLE"],
    ),
    "USO_SaveStyle": (["style", "name", "thumbnail", "overwrite"], ["USO_STYLE"]),
    "USO_LoadStyle": (["name", "projector"], ["USO_STYLE", "IMAGE"]),
    "USO_Apply": (
        [
            "model",
            "positive",
            "negative",
            "style",
            "content",
            "content_on_negative",
            *(f"{role}_{dial}" for role in ("style", "content") for dial in DIALS),
            "style_on",
            "text_strength",
        ],
        ["MODEL", "CONDITIONING", "CONDITIONING"],
    ),
    "USO_ReuseReferences": (["model", "every", "form", "first", "last", "tolerance"], ["MODEL"]),
    "USO_Scheduler": (
        ["model", "steps", "schedule", "width", "height", "mu", "denoise", "latent"],
        ["SIGMAS"],
    ),
    "USO_Sampler": (
        [
            "model",
            "positive",
            "latent",
            "seed",
            "steps",
            "guidance",
            "cfg",
            "sampler_name",
            "schedule",
            "mu",
            "denoise",
            "negative",
        ],
        ["LATENT"],
    ),
    "USO_Score": (
        [
            "images",
            "style_image",
            "subject_image",
            "prompt",
            "style_judge",
            "subject_judge",
            "prompt_judge",
            "sort_by",
            "best_first",
        ],
        ["IMAGE", "FLOAT", "INT", "STRING"],
    ),
    "USO_SaveTriplet": (
        ["target", "style", "content", "style_2", "content_2", "prompt", "layout", "set_name"],
        ["STRING", "INT", "STRING"],
    ),
    "USO_LoadTriplet": (
        ["set_name", "index", "where"],
        ["IMAGE", "IMAGE", "IMAGE", "STRING", "STRING", "STRING", "INT"],
    ),
    "USO_TrainingSet": (
        ["folder", "kind", "captions", "caption", "trigger", "name", "sub_folders", "images", "triplets"],
        ["USO_TRAINING_SET", "IMAGE", "STRING"],
    ),
    "USO_Train": (
        [
            "training_set",
            "recipe",
            "name",
            "if_changed",
            "steps",
            "rank",
            "size",
            "learning_rate",
            "save_every",
            "sample_prompts",
            "seed",
            "python",
            "settings",
        ],
        ["*", "*", "*", "*", "IMAGE", "STRING", "STRING"],
    ),
}
DEFAULTS = {
    ("USO_LoadModels", "lora_strength"): 1.0,
    ("USO_StyleReference", "strength"): 1.0,
    ("USO_SubjectReference", "strength"): 1.0,
    ("USO_EncodeStyle", "fit"): "squash",
    ("USO_EncodeContent", "long_side"): 512,
    ("USO_EncodeContent", "latent_long_side"): 1024,
    ("USO_EncodeContent", "placement"): "diagonal",
    ("USO_EncodeContent", "size_rule"): "official",
    ("USO_Apply", "content_on_negative"): False,
    ("USO_Apply", "style_strength"): 1.0,
    ("USO_Apply", "style_curve"): "constant",
    ("USO_Apply", "content_end"): 1.0,
    ("USO_Apply", "text_strength"): 1.0,
    ("USO_MixStyles", "mode"): "concat",
    ("USO_ReuseReferences", "every"): 3,
    ("USO_ReuseReferences", "form"): "corrected",
    ("USO_ReuseReferences", "first"): 1,
    ("USO_ReuseReferences", "last"): 0,
    ("USO_ReuseReferences", "tolerance"): 0.0,
    ("USO_Scheduler", "steps"): 25,
    ("USO_Scheduler", "mu"): 1.15,
    ("USO_Scheduler", "schedule"): "official",
    ("USO_Sampler", "steps"): 25,
    ("USO_Sampler", "guidance"): 4.0,
    ("USO_Sampler", "cfg"): 1.0,
    ("USO_Sampler", "sampler_name"): "euler",
    ("USO_Sampler", "denoise"): 1.0,
    ("USO_Score", "prompt"): "",
    ("USO_Score", "style_judge"): "bundled",
    ("USO_Score", "subject_judge"): "bundled",
    ("USO_Score", "prompt_judge"): "bundled",
    ("USO_Score", "sort_by"): "style",
    ("USO_Score", "best_first"): True,
    ("USO_SaveTriplet", "prompt"): "",
    ("USO_SaveTriplet", "layout"): "shifted",
    ("USO_SaveTriplet", "set_name"): "my set",
    ("USO_LoadTriplet", "set_name"): "my set",
    ("USO_LoadTriplet", "index"): 0,
    ("USO_LoadTriplet", "where"): "",
    ("USO_TrainingSet", "folder"): "none",
    ("USO_TrainingSet", "kind"): "style",
    ("USO_TrainingSet", "captions"): "files",
    ("USO_TrainingSet", "name"): "",
    ("USO_Train", "recipe"): "by kind",
    ("USO_Train", "if_changed"): "refuse",
    ("USO_Train", "steps"): 0,
    ("USO_Train", "learning_rate"): 0.0,
    ("USO_Train", "seed"): -1,
}
ALL_OPTIONAL = {
    *("USO_EncodeStyle", "USO_ProjectStyle", "USO_SaveStyle"),
    *("USO_Score", "USO_SaveTriplet", "USO_LoadTriplet", "USO_TrainingSet"),
}
WORDS = {
    "style transfer",
    "style reference",
    "sref",
    "ip adapter",
    "subject",
    "identity",
    "reference image",
    "redux",
    "instantstyle",
    "consistent character",
    "image prompt",
    "moodboard",
    "face",
}


@pytest.fixture(params=nodes.NODES, ids=lambda node: node.__name__)
def face(request: pytest.FixtureRequest) -> Any:
    return request.param.define_schema()


def test_inputs_and_outputs_are_the_published_ones(face: Any) -> None:
    inputs, outputs = FACES[face.node_id]
    assert [item.id for item in face.inputs] == inputs
    assert [item.get_io_type() for item in face.outputs] == outputs


def test_everything_is_explained(face: Any) -> None:
    assert face.category == "USO" and face.display_name.startswith("USO ")
    assert len(face.description) > 40 and len(face.search_aliases) >= 3
    assert [item.id for item in face.inputs if not item.tooltip or len(item.tooltip) < 15] == []
    assert [item.display_name for item in face.outputs if not item.tooltip] == []


def test_defaults(face: Any) -> None:
    found = {(face.node_id, item.id): getattr(item, "default", None) for item in face.inputs}
    assert found | DEFAULTS == DEFAULTS | found
    assert all(found[key] == value for key, value in DEFAULTS.items() if key[0] == face.node_id)


def test_all_nodes_are_there_and_searchable() -> None:
    found = asyncio.run(_entry())
    assert found == nodes.NODES
    faces = [node.define_schema() for node in found]
    assert {face.node_id for face in faces} == set(FACES)
    assert {word for face in faces for word in face.search_aliases} >= WORDS


def test_references_and_dials_may_be_left_out() -> None:
    optional = {
        (face.node_id, item.id)
        for face in (node.define_schema() for node in nodes.NODES)
        for item in face.inputs
        if item.optional
    }
    assert optional == {
        ("USO_LoadModels", "lora_blocks"),
        *(("USO_LoadMini", item) for item in ("lora_blocks", "lora", "projector")),
        *((node, item) for node, (items, _) in FACES.items() if node in ALL_OPTIONAL for item in items),
        *(("USO_StyleReference", item) for item in FACES["USO_StyleReference"][0][1:]),
        *(("USO_SubjectReference", item) for item in FACES["USO_SubjectReference"][0][2:]),
        *(("USO_EncodeContent", item) for item in FACES["USO_EncodeContent"][0][1:]),
        *(("USO_MixStyles", f"{what}_{n}") for what in ("style", "weight") for n in range(1, 9)),
        ("USO_LoadStyle", "projector"),
        *(("USO_Apply", dial) for dial in FACES["USO_Apply"][0][2:]),
        ("USO_Scheduler", "latent"),
        ("USO_Sampler", "negative"),
        *(("USO_Train", item) for item in FACES["USO_Train"][0][1:]),
    }


def test_what_a_node_can_do_without_may_be_left_out() -> None:
    """ComfyUI refuses an API graph that lacks a required input, whatever default the code has."""
    for node in nodes.NODES:
        parameters = inspect.signature(inspect.unwrap(node.execute.__func__)).parameters
        needless = {name for name, given in parameters.items() if given.default is not inspect.Parameter.empty}
        refused = [item.id for item in node.define_schema().inputs if not item.optional and item.id in needless]
        assert refused == [], node


@pytest.mark.parametrize(
    ("node", "order"),
    [("USO_MixStyles", ["mode", *(f"weight_{n}" for n in range(1, 9))]), ("USO_Apply", ["content_on_negative"])],
)
def test_widgets_keep_their_place_in_saved_graphs(node: str, order: list[str]) -> None:
    """The page saves values by place: those of required inputs first, and then those of optional ones."""
    face = next(made for made in nodes.NODES if made.define_schema().node_id == node)
    groups = face.INPUT_TYPES()
    sockets_ = ("USO_STYLE", "USO_CONTENT", "MODEL", "CONDITIONING", "MASK")
    names = [
        name for group in ("required", "optional") for name, kind in groups[group].items() if kind[0] not in sockets_
    ]
    assert names[: len(order)] == order


def test_schema_drops_what_an_older_comfyui_lacks() -> None:
    made = sockets.schema(node_id="x", invented_field=1)
    assert isinstance(made, io.Schema) and not hasattr(made, "invented_field")


def test_host_accepts_every_node() -> None:
    for node in nodes.NODES:
        node.GET_SCHEMA()
        assert node.INPUT_TYPES()


async def _entry() -> list[Any]:
    extension = await nodes.comfy_entrypoint()
    return await extension.get_node_list()
