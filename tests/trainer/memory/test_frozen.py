"""8-bit frozen weights: the stated bound holds, gradients are those of the weights multiplied out, peft adapts them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from comfyui_uso.trainer.memory.frozen import FrozenLinear, quantize_rows
from comfyui_uso.trainer.memory.load import load_frozen
from comfyui_uso.uso_model.checkpoints import Lora, LowRank, load_transformer, merge_lora, save_transformer
from torch import nn

from .conftest import adapted, inputs, peak


@pytest.fixture
def layer():
    torch.manual_seed(0)
    dense = nn.Linear(32, 24)
    frozen = FrozenLinear(32, 24, bias=True)
    frozen.weight.data, frozen.weight_scale = quantize_rows(dense.weight.detach() * torch.logspace(-4, 2, 24)[:, None])
    frozen.bias = nn.Parameter(dense.bias.detach(), requires_grad=False)
    return frozen


def test_the_error_bound():
    torch.manual_seed(1)
    weight = torch.randn(64, 128) * torch.logspace(-6, 3, 64)[:, None]
    weight[5] = 0
    bits, scale = quantize_rows(weight)
    assert bits.dtype == torch.float8_e4m3fn and scale.shape == (64, 1)
    error = (bits.float() * scale - weight).abs()
    assert (error <= torch.maximum(weight.abs() / 16, scale * 2.0**-10)).all()
    out = bits.float() * scale
    assert torch.equal(out.bfloat16().float(), out), "bfloat16 holds what 8 bits and a power of two make"


def test_gradients_are_those_of_the_weights_multiplied_out(layer):
    x = torch.randn(2, 5, 32, requires_grad=True)
    y = torch.randn(2, 5, 24)
    (layer(x) * y).sum().backward()
    plain = x.detach().clone().requires_grad_()
    weight = layer.weight.float() * layer.weight_scale
    (F.linear(plain, weight, layer.bias) * y).sum().backward()
    assert torch.equal(layer(x), F.linear(x, weight, layer.bias)) and torch.equal(x.grad, plain.grad)
    assert layer.weight.grad is None and layer.bias.grad is None


def test_only_the_quantised_weight_is_held(layer):
    held = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: held.append(t.dtype) or t, lambda t: t):
        layer(torch.randn(3, 32, requires_grad=True))
    assert sorted(map(str, held)) == ["torch.float32", "torch.float8_e4m3fn"], "the scales and the 8-bit weight alone"


def test_autocast_computes_in_its_dtype(layer):
    x = torch.randn(4, 32, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x)
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert x.grad.dtype == torch.float32 and torch.isfinite(x.grad).all()


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(14, 32), (2, 7, 32)])
def test_a_layer_gives_the_gradient_of_its_weight_multiplied_out(precision, shape, layer):
    """To the last bit."""
    whole = torch.nn.Linear(layer.in_features, layer.out_features)
    whole.weight.data, whole.bias.data = layer.weight.float() * layer.weight_scale, layer.bias.data.clone()
    whole.requires_grad_(False)
    x, y = (torch.randn(shape, generator=torch.Generator().manual_seed(1)).requires_grad_() for _ in range(2))
    with torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16):
        out, expected = layer(x), whole(y)
    towards = torch.randn(out.shape, generator=torch.Generator().manual_seed(2)).to(out)
    out.backward(towards)
    expected.backward(towards)
    assert torch.equal(out, expected) and torch.equal(x.grad, y.grad)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_transformer_in_fp8_takes_adapters_and_gives_their_gradients(precision, flux_file, step, monkeypatch):
    """Those of the weights multiplied out, in either precision.

    Outputs are equal to the last bit. Gradients in float32 are so layer by layer; in a network autograd adds those of a
    layer and its branch in an order that depends on which product the processor has, so that sums may differ in their
    last bit.
    """
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")  # products in either precision
    frozen = adapted(load_frozen(flux_file, "fp8"))
    count = sum(isinstance(module, FrozenLinear) for module in frozen.modules())
    assert count == 2 * 10 + 3 * 4, "every matrix inside the blocks"
    reference = adapted(load_frozen(flux_file, "fp32"))
    for name, module in frozen.named_modules():
        if isinstance(module, FrozenLinear):
            reference.get_submodule(name).weight.data = module.weight.float() * module.weight_scale
    for name, p in frozen.named_parameters():
        if p.dtype == torch.bfloat16:
            p.data = p.data.float()  # so that only the 8-bit layers differ from the reference
            reference.get_parameter(name).data = p.data.clone()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision is torch.bfloat16):
        out, grads = step(frozen)
        expected, wanted = step(reference)
    assert out.dtype == precision
    assert torch.equal(out, expected) and grads.keys() == wanted.keys() and len(grads) == 2 * (2 * 4 + 3 * 2)
    last_bits = {"rtol": 1e-5, "atol": 1e-8} if precision is torch.float32 else {"rtol": 0, "atol": 0}
    assert all(torch.allclose(grads[name], wanted[name], **last_bits) for name in grads)
    assert all(p.dtype == torch.float32 for p in frozen.parameters() if p.requires_grad)


def test_a_cpu_without_products_in_half_precision_makes_them_in_float32(monkeypatch):
    layer = FrozenLinear(64, 32, bias=True)
    bits, scale = quantize_rows(torch.randn(32, 64))
    layer.load_state_dict({"weight": bits, "weight_scale": scale, "bias": torch.randn(32)})
    x, towards = torch.randn(5, 64).bfloat16(), torch.randn(5, 32).bfloat16()
    exact = x.double() @ (bits.double() * scale).T + layer.bias.bfloat16().double()
    exact_gradient = towards.double() @ (bits.double() * scale)
    for capability in ("AVX2", "AVX512"):
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda told=capability: told)
        y = x.clone().requires_grad_()
        out = layer(y)
        out.backward(towards)
        assert out.dtype == y.grad.dtype == torch.bfloat16
        for got, wanted in ((out, exact), (y.grad, exact_gradient)):
            assert (got.double() - wanted).abs().max() <= 2**-8 * wanted.abs().max(), capability


def test_the_error_of_a_whole_network_is_small(flux_file):
    with torch.no_grad():
        exact = load_frozen(flux_file, "fp32")(**inputs())
        rounded = load_frozen(flux_file, "fp8")
        for p in rounded.parameters():
            if p.dtype == torch.bfloat16:
                p.data = p.data.float()
        error = (rounded(**inputs()) - exact).norm() / exact.norm()
    assert error < 0.05, "8-bit weights of FLUX are used everywhere; a tenth would be a bug"


@pytest.mark.parametrize("precision", ["fp8", "fp8_scaled"])
def test_8_bit_files_are_kept_bit_by_bit(precision, flux_file, tmp_path):
    path = tmp_path / "fp8.safetensors"
    save_transformer(path, load_transformer(flux_file), precision)
    kept, wide = load_frozen(path, "fp8"), load_transformer(path, torch.float32)
    for name, module in kept.named_modules():
        if isinstance(module, FrozenLinear):
            assert torch.equal(module.weight.float() * module.weight_scale, wide.get_submodule(name).weight), name


def test_a_lora_is_added_before_rounding(flux_file):
    torch.manual_seed(4)
    name = "single_blocks.1.linear1_qkv"
    lora = Lora({name: LowRank(torch.randn(2, 256), torch.randn(768, 2), 0.5)})
    merged = load_frozen(flux_file, "fp32", lora=lora)
    expected = load_transformer(flux_file)
    merge_lora(expected, lora)
    assert torch.allclose(merged.get_submodule(name).weight, expected.get_submodule(name).weight, atol=1e-6)
    bits, _ = quantize_rows(expected.get_submodule(name).weight)
    assert torch.equal(load_frozen(flux_file, "fp8", lora=lora).get_submodule(name).weight.float(), bits.float())
    with pytest.raises(ValueError, match="no such weight"):
        load_frozen(flux_file, "bf16", lora=Lora({"double_blocks.7.x": LowRank(torch.ones(1, 2), torch.ones(2, 1))}))


@pytest.mark.parametrize("base", ["bf16", "fp8"])
def test_reading_takes_no_more_than_the_weights_and_a_few_matrices(base, flux_file):
    """The file is memory-mapped: its pages are counted here, but the system takes them back when it needs them."""
    loaded = []
    most = peak(lambda: loaded.append(load_frozen(flux_file, base))) - flux_file.stat().st_size
    tensors = [*loaded[0].parameters(), *loaded[0].buffers()]
    final = sum(t.numel() * t.element_size() for t in tensors)
    largest = max(t.numel() for t in tensors)
    assert most < final + 4 * 4 * largest
