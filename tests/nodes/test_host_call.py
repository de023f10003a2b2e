"""Arguments of ComfyUI's functions are found by name, so an argument more in front changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from comfy.model_base import BaseModel
from comfy.patcher_extension import WrapperExecutor
from comfy.samplers import CFGGuider
from comfyui_uso.nodes.graph.keys import RUN, STYLE, TEXT_BIAS
from comfyui_uso.nodes.sampling.host_call import HostCall
from comfyui_uso.nodes.sampling.reader import hand_over, route

X, TEXT, TOKENS = torch.zeros(1, 16, 8, 8), torch.zeros(1, 5, 48), torch.ones(1, 3, 48)


def _as_today(
    x: Any,
    t: Any,
    c_concat: Any = None,
    c_crossattn: Any = None,
    control: Any = None,
    transformer_options: Any = None,
    **kwargs: Any,
) -> Any:
    return c_crossattn, transformer_options, kwargs


def _one_more_in_front(
    stage: Any,
    x: Any,
    t: Any,
    c_concat: Any = None,
    c_crossattn: Any = None,
    control: Any = None,
    transformer_options: Any = None,
    **kwargs: Any,
) -> Any:
    assert stage == "stage"
    return _as_today(x, t, c_concat, c_crossattn, control, transformer_options, **kwargs)


def _by_keyword_only(*, x: Any, t: Any, c_crossattn: Any, transformer_options: Any, **kwargs: Any) -> Any:
    return c_crossattn, transformer_options, kwargs


def _of_another_pack(*args: Any, **kwargs: Any) -> Any:
    return _as_today(*args, **kwargs)


@pytest.mark.parametrize(
    ("function", "args", "named"),
    [
        (_as_today, (X, 0, None, TEXT, None, {"own": 1}), {}),
        (_as_today, (X, 0), {"c_crossattn": TEXT, "transformer_options": {"own": 1}}),
        (_one_more_in_front, ("stage", X, 0, None, TEXT, None, {"own": 1}), {}),
        (_by_keyword_only, (), {"x": X, "t": 0, "c_crossattn": TEXT, "transformer_options": {"own": 1}}),
        (_of_another_pack, (X, 0, None, TEXT, None, {"own": 1}), {}),
    ],
)
def test_a_model_call_gets_its_style(
    function: Callable[..., Any], args: tuple[Any, ...], named: dict[str, Any]
) -> None:
    executor = WrapperExecutor.new_executor(function, [route])
    text, options, more = executor.execute(*args, **named, **{STYLE: TOKENS, "guidance": 4})
    assert text is TEXT and options == {"own": 1, STYLE: TOKENS} and more == {"guidance": 4}


def test_a_call_without_references_is_passed_on_as_it_came() -> None:
    executor = WrapperExecutor.new_executor(_as_today, [route])
    options = {"own": 1}
    mask = torch.zeros(1, 21, 21)
    out = executor.execute(X, 0, None, TEXT, None, options, attention_mask=mask)
    assert out[1] is options and out[2]["attention_mask"] is mask


def test_every_tile_of_a_batch_has_its_subject() -> None:
    """Packs that draw tiles in batches repeat only what they know."""
    executor = WrapperExecutor.new_executor(_as_today, [route])
    sides = torch.stack([torch.ones(16, 4, 4), torch.zeros(16, 4, 4)])  # positive and negative
    out = executor.execute(X.repeat(4, 1, 1, 1), 0, None, TEXT.repeat(4, 1, 1), None, {}, ref_latents=[sides])
    assert torch.equal(out[2]["ref_latents"][0], sides.repeat(2, 1, 1, 1))


@pytest.mark.parametrize("front", [False, True])
def test_noise_is_found_by_the_name_of_its_argument(front: bool, base_model: Any) -> None:
    def outer_sample(noise: Any, latent_image: Any, sampler: Any, sigmas: Any) -> Any:
        return noise, guider.model_options

    def later(stage: Any, noise: Any, latent_image: Any, sampler: Any, sigmas: Any) -> Any:
        return outer_sample(noise, latent_image, sampler, sigmas)

    entry = {"uso_text_strength": 2.0, "model_conds": {}}
    guider = SimpleNamespace(model_patcher=base_model, conds={"positive": [entry]}, model_options={"own": 1})
    executor = WrapperExecutor.new_class_executor(later if front else outer_sample, guider, [hand_over])
    got, options = executor.execute(*(["stage"] if front else []), X, None, None, None)
    assert got is X and TEXT_BIAS in guider.conds["positive"][0]["model_conds"] and entry["model_conds"] == {}
    assert options["own"] == 1 and RUN in options["transformer_options"]
    assert guider.model_options == {"own": 1}, "what a run adds is gone after it"


def test_comfyui_has_the_names_that_are_asked_for() -> None:
    """What the reader falls back on for functions of other packs has to be right itself."""
    HostCall(BaseModel._apply_model, (None, X, 0), {}, ("x", "c_crossattn", "transformer_options"), BaseModel)
    HostCall(CFGGuider.outer_sample, (None, X, 2, 3, 4), {}, ("noise",), CFGGuider)
