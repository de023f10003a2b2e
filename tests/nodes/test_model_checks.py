"""Models that come in: relatives of FLUX.1 by name, and nothing at all."""

from __future__ import annotations

from typing import Any

import comfy.model_base
import pytest
import torch
from comfyui_uso.nodes.apply import Apply
from comfyui_uso.nodes.content import EncodeContent
from comfyui_uso.nodes.graph.lora import with_lora
from comfyui_uso.nodes.load_models import LoadModels
from comfyui_uso.nodes.sampler import Sampler
from comfyui_uso.nodes.scheduler import Scheduler
from comfyui_uso.nodes.style import EncodeStyle, ProjectStyle
from comfyui_uso.uso_model.errors import UserError

from .conftest import HIDDEN, content


@pytest.mark.parametrize(("channels", "name"), [(96, "FLUX.1 Fill"), (32, "FLUX.1 Canny, Depth")])
def test_a_first_layer_that_reads_more_takes_a_style_and_no_subject(
    channels: int, name: str, make_model: Any, prompt: Any, sample: Any, style: Any
) -> None:
    model = make_model(in_channels=channels, seed=3)
    with pytest.raises(UserError, match=rf"\AGot {name}[^\n]*with a subject, expected one that reads 64[^\n]*\.\Z"):
        Apply.execute(model, prompt(), prompt(4), style, content((4, 4)))
    plain = sample(model, prompt(), prompt(4))
    styled = sample(*Apply.execute(model, prompt(), prompt(4), style).result)
    assert styled.isfinite().all() and not torch.equal(plain, styled)


def test_a_lora_that_widens_the_first_layer_counts_too(base_model: Any, prompt: Any, sample: Any, style: Any) -> None:
    control = {"img_in.lora_A.weight": torch.randn(2, 128), "img_in.lora_B.weight": torch.randn(HIDDEN, 2)}
    control |= {"single_blocks.0.norm.key_norm.scale": torch.ones(16)}
    model = with_lora(base_model, control, 1.0, "canny.safetensors")
    with pytest.raises(UserError, match=r"Got FLUX\.1 Canny, Depth"):
        Apply.execute(model, prompt(), prompt(4), None, content((4, 4)))
    assert sample(*Apply.execute(model, prompt(), prompt(4), style).result).isfinite().all()
    assert sample(*Apply.execute(base_model, prompt(), prompt(4), style, content((4, 4))).result).isfinite().all()


@pytest.mark.parametrize("family", ["Flux2", "Chroma", "LongCatImage", "ChromaRadiance"])
def test_other_families_are_refused_by_name(family: str, base_model: Any, prompt: Any, style: Any) -> None:
    other = base_model.clone()
    other.model = getattr(comfy.model_base, family).__new__(getattr(comfy.model_base, family))
    with pytest.raises(UserError, match=rf"\AGot a MODEL of type {family}, expected FLUX\.1[^\n]*\.\Z"):
        Apply.execute(other, prompt(), None, style)


LATENT = {"samples": torch.zeros(1, 16, 8, 8)}
PICTURE = torch.zeros(1, 32, 32, 3)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("model", lambda p, s, f: Apply.execute(None, p, None, s)),
        ("model", lambda p, s, f: LoadModels.execute(None, "auto", 1.0, "auto", "auto")),
        ("model", lambda p, s, f: Sampler.execute(None, p, LATENT, 1, 2, 4.0, 1.0, "euler", "official", 1.15, 1.0)),
        ("model", lambda p, s, f: Scheduler.execute(None, 2, "official", 64, 64, 1.15, 1.0)),
        ("clip_vision", lambda p, s, f: EncodeStyle.execute(None, PICTURE, "squash")),
        ("projector", lambda p, s, f: ProjectStyle.execute(f(2), None)),
        ("vae", lambda p, s, f: EncodeContent.execute(None, PICTURE, 32, 32)),
    ],
    ids=["Apply", "LoadModels", "Sampler", "Scheduler", "EncodeStyle", "ProjectStyle", "EncodeContent"],
)
def test_nothing_where_a_model_is_expected(name: str, call: Any, prompt: Any, style: Any, features: Any) -> None:
    """ComfyUI's loaders hand None on for parts that a file does not hold."""
    with pytest.raises(UserError, match=rf"\AGot nothing as {name}, [^\n]*expected [^\n]*: load [^\n]*\.\Z"):
        call(prompt(), style, features)
