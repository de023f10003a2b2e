"""Compiled blocks compute the same, whatever the shapes, and say what they need."""

from __future__ import annotations

import pytest
import torch
from comfyui_uso.trainer.memory import compile as compiled
from comfyui_uso.trainer.memory.checkpointing import checkpoint_blocks
from comfyui_uso.trainer.memory.compile import compile_blocks, has_compiler
from comfyui_uso.trainer.memory.load import load_frozen

from .conftest import adapted, inputs


@pytest.mark.long
@pytest.mark.skipif(not has_compiler(), reason="torch.compile needs a C++ compiler")
@pytest.mark.parametrize(("recomputed", "isolated"), [(False, False), (True, False), (True, True)])
def test_outputs_and_gradients_agree(recomputed, isolated, flux_file, step):
    plain, fused = (adapted(load_frozen(flux_file, "fp32")) for _ in range(2))
    if recomputed:
        checkpoint_blocks(fused)
    compile_blocks(fused)
    assert list(fused.state_dict()) == list(plain.state_dict())
    out, grads = step(fused, isolated)
    expected, wanted = step(plain, isolated)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
    assert grads.keys() == wanted.keys()
    for name in wanted:
        torch.testing.assert_close(grads[name], wanted[name], rtol=1e-3, atol=1e-5)
    one = {name: tensor[:1] if tensor.shape[0] == 2 else tensor for name, tensor in inputs().items()}
    with torch.no_grad():  # another batch
        torch.testing.assert_close(fused(**one), plain(**one), rtol=1e-4, atol=1e-5)


def test_without_a_compiler_it_says_what_to_install(flux_file, monkeypatch):
    monkeypatch.setattr(compiled.shutil, "which", lambda name: None)
    with pytest.raises(ValueError, match=r"no C\+\+ compiler was found.*apt-get install g\+\+"):
        compile_blocks(load_frozen(flux_file, "fp32"))
