"""torch.compile around a network with references."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from comfyui_uso.nodes.apply import Apply
from comfyui_uso.nodes.sampling.reader import install_reader
from comfyui_uso.nodes.style import ProjectStyle


@pytest.mark.long
def test_compiled_network_looks_again_for_a_style(
    make_model: Any, prompt: Any, sample: Any, features: Any, core_projector: Any
) -> None:
    """As ComfyUI's TorchCompileModel does it: nothing in the transformer options is checked again."""
    from comfy_api.torch_helpers import set_torch_compile_wrapper
    from comfy_extras.nodes_torch_compile import skip_torch_compile_dict

    styles = [ProjectStyle.execute(features(seed), core_projector).result[0] for seed in (2, 9)]
    base = make_model(depth=1, depth_single_blocks=1)
    model = install_reader(base)
    compiled = model.clone(disable_dynamic=True)
    options = {"guard_filter_fn": skip_torch_compile_dict}
    set_torch_compile_wrapper(model=compiled, backend="eager", options=options)
    for style in styles:  # the negative has none
        _, positive, negative = Apply.execute(base, prompt(), prompt(4), style).result
        outs = [sample(each, positive, negative, 1, 3.0) for each in (compiled, model)]
        assert torch.allclose(*outs, atol=1e-5)
