"""Streaming, modulation in RAM and recomputing change where weights lie and what is kept, never a number."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from comfyui_uso.trainer.memory.block_swap import swap_blocks
from comfyui_uso.trainer.memory.checkpointing import checkpoint_blocks, checkpoint_decoder
from comfyui_uso.trainer.memory.load import load_frozen
from comfyui_uso.trainer.memory.modulation import offload_modulation
from comfyui_uso.uso_model.autoencoder import Autoencoder
from comfyui_uso.uso_model.config import FLUX_AE

from .conftest import adapted, inputs

CASES = list(itertools.product(["fp32", "fp8"], [0, 1, 2, 3, 5], [False, True]))


@pytest.mark.parametrize(("base", "streamed", "in_ram"), CASES)
def test_outputs_and_gradients_are_equal(base, streamed, in_ram, flux_file, step):
    plain = adapted(load_frozen(flux_file, base, modulation_in_ram=in_ram))
    frugal = adapted(load_frozen(flux_file, base, blocks_to_swap=streamed, modulation_in_ram=in_ram))
    if in_ram:
        offload_modulation(frugal)
    if streamed:
        swap_blocks(frugal, streamed, "cpu", in_ram)
    checkpoint_blocks(frugal)
    for transformer in (plain, frugal):
        for p in transformer.parameters():
            if p.dtype == torch.bfloat16:
                p.data = p.data.float()
    for _ in range(2):  # the ring starts the second step where the first left it
        out, grads = step(frugal)
        expected, wanted = step(plain)
        assert torch.equal(out, expected) and grads.keys() == wanted.keys()
        assert all(torch.equal(grads[name], wanted[name]) for name in wanted)
        with torch.no_grad():  # a rollout between two steps
            rolled = [frugal(**{**inputs(), "timesteps": torch.full((2,), t)}) for t in (0.9, 0.5)]
            assert all(
                torch.equal(seen, plain(**{**inputs(), "timesteps": torch.full((2,), t)}))
                for seen, t in zip(rolled, (0.9, 0.5), strict=True)
            )


@pytest.mark.parametrize("in_ram", [False, True])
def test_so_they_are_of_isolated_references(in_ram, flux_file, step):
    plain = adapted(load_frozen(flux_file, "fp32"))
    frugal = adapted(load_frozen(flux_file, "fp32", blocks_to_swap=3, modulation_in_ram=in_ram))
    calls = []
    frugal.single_blocks[0].modulation.lin.register_forward_hook(lambda *args: calls.append(1))
    if in_ram:
        offload_modulation(frugal)
    swap_blocks(frugal, 3, "cpu", in_ram)
    checkpoint_blocks(frugal)
    (out, grads), (expected, wanted) = (step(model, isolated=True) for model in (frugal, plain))
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
    assert grads.keys() == wanted.keys()
    for name in wanted:
        torch.testing.assert_close(grads[name], wanted[name], rtol=1e-3, atol=1e-6)
    assert not in_ram or len(calls) == 1, "both vectors go through the modulation together"


def test_recomputing_keeps_less(flux_file):
    def kept(transformer):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
            transformer(**inputs())
        return sum(sizes)

    plain, frugal = adapted(load_frozen(flux_file, "fp32")), adapted(load_frozen(flux_file, "fp32"))
    checkpoint_blocks(frugal)
    assert kept(frugal) < 0.3 * kept(plain)


def test_recomputing_a_decoder_changes_no_number():
    sizes = replace(FLUX_AE, ch=32, ch_mult=(1, 2))
    autoencoder = Autoencoder(sizes).requires_grad_(False)
    z = torch.randn(1, 16, 4, 4, requires_grad=True)
    plain = autoencoder.decode(z)
    (wanted,) = torch.autograd.grad(plain.square().sum(), z)
    frugal = checkpoint_decoder(autoencoder).decode(z)
    (grad,) = torch.autograd.grad(frugal.square().sum(), z)
    assert torch.equal(frugal, plain) and torch.equal(grad, wanted)


def test_modulation_is_computed_once_a_step(flux_file, step):
    frugal = adapted(load_frozen(flux_file, "fp32"))
    calls = []
    layer = frugal.single_blocks[0].modulation
    layer.lin.register_forward_hook(lambda *args: calls.append(1))
    offload_modulation(frugal)
    checkpoint_blocks(frugal)
    step(frugal)
    assert len(calls) == 1
