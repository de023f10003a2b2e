"""All dials together, with pictures, masks and areas of every kind, in combinations that nobody has thought of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
import torch
from comfyui_uso.nodes.apply import Apply
from comfyui_uso.nodes.content import EncodeContent
from comfyui_uso.nodes.graph.projector_patch import projector_patch
from comfyui_uso.nodes.style import EncodeStyle, ProjectStyle
from comfyui_uso.uso_model.autoencoder import Autoencoder
from comfyui_uso.uso_model.projector import HierarchicalProjector
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from .areas import AREAS, SIDE
from .conftest import HIDDEN, fill, host_vae
from .encoders import AE, SIGLIP, vision_model

HEIGHT, WIDTH = 32, 48
MASKS: dict[str, tuple[int, ...] | None] = {
    "none": None,
    "plane": (HEIGHT, WIDTH),
    "batch": (1, HEIGHT, WIDTH),
    "another size": (1, 7, 9),
    "channel first": (1, 1, HEIGHT, WIDTH),
    "channel last": (1, HEIGHT, WIDTH, 1),
}
DTYPES = st.sampled_from([torch.float32, torch.float16, torch.bfloat16])
PICTURES = st.fixed_dictionaries(
    {
        "count": st.integers(0, 2),
        "channels": st.sampled_from([1, 3, 4]),
        "dtype": DTYPES,
        "mask": st.sampled_from([*MASKS]),
    }
)
STRENGTHS = st.sampled_from([0.0, 0.4, 1.0, 2.5])
DIALS = st.fixed_dictionaries(
    {
        "strength": STRENGTHS,
        "range": st.sampled_from([(0.0, 1.0), (0.0, 0.5), (0.3, 1.0)]),
        "curve": st.sampled_from(["constant", "fade out", "1, 0, 0.5"]),
        "blocks": st.sampled_from(["", "d0:0.5", "s0-1:0, d1:2"]),
        "region": st.sampled_from([*MASKS]),
        "region_dtype": DTYPES,
        "fast": st.booleans(),
    }
)
COLUMNS = st.sampled_from([[(0.0, 1.0)], [(0.0, 0.5), (0.5, 0.5)], [(0.25, 0.25)]])
"""Where areas start and how wide they are; the last leaves most of the picture without a prompt."""
AREA = st.fixed_dictionaries({"kind": st.sampled_from(["none", *AREAS]), "columns": COLUMNS, "late": st.booleans()})


def _mask(name: str, dtype: torch.dtype) -> Tensor | None:
    shape = MASKS[name]
    return None if shape is None else torch.linspace(0, 1, int(torch.Size(shape).numel())).reshape(shape).to(dtype)


def _pictures(asked: dict[str, Any]) -> dict[str, Any]:
    """Return the inputs `image` and `mask` of an encoder."""
    shape = asked["count"], HEIGHT, WIDTH, asked["channels"]
    image = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    return {"image": image.to(asked["dtype"]), "mask": _mask(asked["mask"], asked["dtype"])}


def _named(role: str, dial: dict[str, Any], exact: bool = False) -> dict[str, Any]:
    start, end = dial["range"]
    named = {"strength": dial["strength"], "start": start, "end": end, "curve": dial["curve"], "blocks": dial["blocks"]}
    region = _mask(dial["region"], dial["region_dtype"])
    if region is not None:
        named["region"] = region
    elif dial["fast"] and not exact:
        named["form"] = "fast"
    return {f"{role}_{name}": value for name, value in named.items()}


def _in_areas(conds: Any, area: dict[str, Any], late: bool) -> Any:
    """Return the prompt in the areas that were drawn for it; `late`: behind USO Apply."""
    if area["kind"] == "none" or area["late"] != late:
        return conds
    return [entry for start, share in area["columns"] for entry in AREAS[area["kind"]](conds, start, share)]


@pytest.mark.long
@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    styles=PICTURES,
    contents=PICTURES,
    batch=st.sampled_from([1, 2, 4]),
    cfg=st.sampled_from([1.0, 3.0]),
    style_dial=DIALS,
    content_dial=DIALS,
    side=st.sampled_from(["positive", "both", "negative", "positive, batched"]),
    both=st.booleans(),
    text=st.sampled_from([1.0, 0.5]),
    place=st.sampled_from([{}, {"placement": "over", "row_offset": 1, "column_offset": 2}]),
    areas=st.tuples(AREA, AREA),
)
def test_any_combination_gives_finite_pictures(
    encoded: Callable[..., Any],
    base_model: Any,
    prompt: Any,
    sample: Any,
    styles: dict[str, Any],
    contents: dict[str, Any],
    batch: int,
    cfg: float,
    style_dial: dict[str, Any],
    content_dial: dict[str, Any],
    side: str,
    both: bool,
    text: float,
    place: dict[str, Any],
    areas: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    prompts = [_in_areas(prompt(seed), area, late=False) for seed, area in zip((3, 4), areas, strict=True)]
    model, *conds = Apply.execute(
        base_model,
        *prompts,
        *encoded(styles, contents, **place),
        style_on=side,
        content_on_negative=both,
        text_strength=text,
        **_named("style", style_dial, exact=side == "positive, batched"),
        **_named("content", content_dial),
    ).result
    conds = [_in_areas(cond, area, late=True) for cond, area in zip(conds, areas, strict=True)]
    out = sample(model, *conds, batch=batch, cfg=cfg, size=SIDE)
    assert out.shape == (batch, 16, SIDE, SIDE) and out.isfinite().all()


@pytest.fixture(scope="module")
def encoded() -> Callable[..., Any]:
    """Return a function that encodes the pictures of both kinds of reference, each None where it has none."""
    vision, vae = vision_model(SIGLIP), host_vae(asdict(AE), Autoencoder(AE).state_dict())
    sizes = {"tokens_in": 4, "tokens_out": 8, "dim_in": int(SIGLIP["hidden_size"]), "dim_out": HIDDEN}
    network = HierarchicalProjector(**sizes)
    fill(network, 2)
    projector = projector_patch({f"feature_embedder.{k}": v for k, v in network.state_dict().items()}, "random")
    known: dict[str, Any] = {}

    def encode(styles: dict[str, Any], contents: dict[str, Any], **place: Any) -> tuple[Any, Any]:
        keys = f"style {styles}", f"content {contents} {place}"
        if keys[0] not in known and styles["count"]:
            features = EncodeStyle.execute(vision, fit="squash", **_pictures(styles)).result[0]
            known[keys[0]] = ProjectStyle.execute(features, projector).result[0]
        if keys[1] not in known and contents["count"]:
            given = {"long_side": WIDTH, "latent_long_side": 64, **place}
            known[keys[1]] = EncodeContent.execute(vae, **given, **_pictures(contents)).result[0]
        return known.get(keys[0]), known.get(keys[1])

    return encode
