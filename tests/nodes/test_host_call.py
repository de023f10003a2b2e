"""Arguments of ComfyUI's functions are found by name, so an argument more in front changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from comfy.model_base import BaseModel
from comfy.patcher_extension import WrapperExecutor
from comfy.samplers import KSAMPLER
from comfyui_uso.nodes.graph.keys import RUN, STYLE
from comfyui_uso.nodes.sampling.hooks import route_references, send_references
from comfyui_uso.nodes.sampling.host_call import HostCall

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
    executor = WrapperExecutor.new_executor(function, [route_references])
    text, options, more = executor.execute(*args, **named, **{STYLE: TOKENS, "guidance": 4})
    assert text is TEXT and options == {"own": 1, STYLE: TOKENS} and more == {"guidance": 4}


def test_a_call_without_references_is_passed_on_as_it_came() -> None:
    executor = WrapperExecutor.new_executor(_as_today, [route_references])
    options = {"own": 1}
    mask = torch.zeros(1, 21, 21)
    out = executor.execute(X, 0, None, TEXT, None, options, attention_mask=mask)
    assert out[1] is options and out[2]["attention_mask"] is mask


@pytest.mark.parametrize("front", [False, True])
def test_a_sampler_is_found_by_the_names_of_its_arguments(front: bool) -> None:
    def sample(model_wrap: Any, sigmas: Any, extra_args: Any, callback: Any, noise: Any) -> Any:
        return model_wrap, extra_args

    def later(stage: Any, model_wrap: Any, sigmas: Any, extra_args: Any, callback: Any, noise: Any) -> Any:
        return sample(model_wrap, sigmas, extra_args, callback, noise)

    model = SimpleNamespace(load_device=torch.device("cpu"), model=None, get_wrappers=lambda *_: [])
    entry = {STYLE: TOKENS, "model_conds": {}}
    guider = SimpleNamespace(model_patcher=model, conds={"positive": [entry]})
    executor = WrapperExecutor.new_executor(later if front else sample, [send_references])
    got, extra = executor.execute(*(["stage"] if front else []), guider, None, {"seed": 1}, None, X)
    assert got is guider and STYLE in guider.conds["positive"][0]["model_conds"] and entry["model_conds"] == {}
    assert extra["seed"] == 1 and RUN in extra["model_options"]["transformer_options"]


def test_comfyui_has_the_names_that_are_asked_for() -> None:
    """What the hooks fall back on for functions of other packs has to be right itself."""
    HostCall(BaseModel._apply_model, (None, X, 0), {}, ("x", "c_crossattn", "transformer_options"), BaseModel)
    HostCall(KSAMPLER.sample, (None, 1, 2, 3, 4, 5), {}, ("model_wrap", "extra_args", "noise"), KSAMPLER)
