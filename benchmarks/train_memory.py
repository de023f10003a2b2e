"""Peak memory, step time and FLOP utilisation of training at FLUX.1's full size, with random weights. Needs a GPU.

    python benchmarks/train_memory.py

Prints one line for each case: stage 2 at 1024 with a content reference at 512, batch 1, rank 128, with an 8-bit base
(bar: 24 GB); the recipe adapt_12gb at 768 (bar: 12 GB); and plain bfloat16 weights that stay on the GPU, as the
baseline. A case with a bar runs under a cap of so many 10^9 bytes: GPUs have 2^30 for each, and CUDA's context fits in
the difference. Every row has all its references, and the optimizer is plain AdamW, which needs the most memory.

Model FLOPs are two for each weight and token, of a forward pass and of the gradient of the frozen layers' inputs, and
3.5 times the forward pass of attention; what checkpointing computes again counts for the hardware only. `--tiny` runs
the same code on a small network without a GPU, to see that it works.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from comfyui_uso.trainer.data.batch import Sample
from comfyui_uso.trainer.engine.ema import EMA
from comfyui_uso.trainer.engine.optimizer import make_optimizer
from comfyui_uso.trainer.engine.randomness import StepRandom
from comfyui_uso.trainer.memory.plan import plan
from comfyui_uso.trainer.networks import build_networks
from comfyui_uso.trainer.objective.step import flow_matching_term
from comfyui_uso.trainer.reading.recipe_files import RECIPES, load_recipe
from comfyui_uso.trainer.recipe import TrainConfig
from comfyui_uso.uso_model.checkpoints import save_projector, to_bfl, write_safetensors
from comfyui_uso.uso_model.config import FLUX_DEV, FluxConfig
from comfyui_uso.uso_model.projector import HierarchicalProjector
from comfyui_uso.uso_model.style import StyleFeatures
from comfyui_uso.uso_model.transformer import UsoTransformer
from torch import nn

GB = 1e9
PEAK = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "4090": 165e12, "3090": 71e12}
"""Dense bfloat16 FLOP/s of NVIDIA's data sheets, by a part of the GPU's name."""


class Case(NamedTuple):
    """A recipe with its changes, and what it may take."""

    name: str
    recipe: str
    changes: tuple[str, ...]
    bar: float | None
    """GB."""


ALONE = ("loop.batch_size=1", "lora.start=new", "models.lora=null", "conditions.dropout=0", "loop.optimizer=adamw")
ALONE += ("monitor.samples_every=0",)
STAGE2 = ("data.size=1024", "data.content_size=512", *ALONE)
CASES = (
    Case("bf16, resident", "adapt_24gb", (*STAGE2, "memory.base=bf16"), None),
    Case("fp8, 1024 + 512, rank 128", "adapt_24gb", STAGE2, 24.0),
    Case("adapt_12gb, 768", "adapt_12gb", ALONE, 12.0),
)


def main() -> int:
    """Run the cases; 1 when a bar is missed, 2 without a GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5, help="timed steps of each case (%(default)s)")
    parser.add_argument("--tiny", action="store_true", help="a small network, on the CPU where there is no GPU")
    parser.add_argument("--weights", type=Path, help="FLUX.1-dev file; without it random weights are written (24 GB)")
    args = parser.parse_args()
    if not torch.cuda.is_available() and not args.tiny:
        print("train_memory needs a CUDA GPU; `--tiny` tries the code without one", file=sys.stderr)
        return 2
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sizes = FLUX_DEV
    if args.tiny:
        sizes = replace(FLUX_DEV, hidden_size=256, num_heads=2, depth=1, depth_single_blocks=2, context_in_dim=64)
    missed = False
    with TemporaryDirectory() as folder:
        flux = args.weights or _random_flux(Path(folder) / "flux.safetensors", sizes)
        projector = Path(folder) / "projector.safetensors"
        save_projector(projector, HierarchicalProjector(729, 64, 1152, sizes.hidden_size))
        for case in CASES:
            try:
                missed |= not _run(case, flux, projector, sizes, device, args)
            except torch.OutOfMemoryError as error:
                print(f"{case.name}: out of memory, bar {case.bar or 'none'}; {str(error).splitlines()[0]}")
                missed = True
    return int(missed)


def _random_flux(path: Path, sizes: FluxConfig) -> Path:
    """Write random bfloat16 weights; each tensor is another stretch of the same numbers, which is quick."""
    with torch.device("meta"):
        shapes = {name: t.shape for name, t in to_bfl(UsoTransformer(sizes).state_dict()).items()}
    noise = torch.randn(max(shape.numel() for shape in shapes.values()) + len(shapes)).bfloat16() * 0.02
    tensors = {name: noise[n : n + shape.numel()].view(shape).clone() for n, (name, shape) in enumerate(shapes.items())}
    write_safetensors(path, tensors, durable=False)
    return path


def _run(
    case: Case, flux: Path, projector: Path, sizes: FluxConfig, device: torch.device, args: argparse.Namespace
) -> bool:
    named = (f"models.transformer={flux}", f"models.projector={projector}")
    small: tuple[str, ...] = ()
    if args.tiny:
        small = ("data.size=64", "data.content_size=64")
        small += ("memory.blocks_to_swap=1",) if case.recipe == "adapt_12gb" else ()
    config = load_recipe(RECIPES / f"{case.recipe}.yaml", texts=[*case.changes, *small, *named])
    if device.type == "cuda":
        gc.collect()  # wrapped blocks and their wrappers hold each other
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, case.bar * GB / total) if case.bar else 1.0)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    networks = build_networks(config, device)
    trained = {n: p for n, p in networks.together.named_parameters() if p.requires_grad}
    optimizer = make_optimizer(config.loop, trained)
    average = EMA(trained, config.loop.ema) if config.loop.ema is not None else None
    flow = flow_matching_term(networks, config.flow, config.conditions)
    sample = _sample(config, sizes)
    seconds = []
    for step in range(args.steps + 2):  # the first two set up kernels and the optimizer's state
        began = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16) if config.loop.precision == "bf16" else nullcontext():
            loss = flow.losses([sample], StepRandom(0, step, 0, 1))["loss"]
        loss.backward()
        nn.utils.clip_grad_norm_(trained.values(), config.loop.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if average is not None:
            average.update()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    spent = sorted(seconds[2:])[len(seconds[2:]) // 2]
    planned = plan(config, sizes)
    model, hardware = _flops(planned.tokens, sizes, config.memory.checkpointing)
    line = f"{case.name}: {spent:.3f} s a step of {model / 1e12:.1f} TFLOP ({hardware / 1e12:.1f} computed)"
    if device.type != "cuda":
        print(f"{line}; no GPU, so no memory was measured")
        return True
    peak = torch.cuda.max_memory_reserved() / GB
    rate = next((value for part, value in PEAK.items() if part in torch.cuda.get_device_name()), None)
    used = "of a peak unknown here"
    if rate is not None:
        used = f"{model / spent / rate:.0%} of the GPU's bfloat16 peak ({hardware / spent / rate:.0%} computed)"
    print(f"{line}, {used}; memory {peak:.1f} GB, planned {planned.on_gpu / GB:.1f}, bar {case.bar or 'none'}")
    return case.bar is None or peak <= case.bar


def _sample(config: TrainConfig, sizes: FluxConfig) -> Sample:
    side, reference = config.data.sizes[-1] // 8, config.data.content_size // 8
    features = StyleFeatures(*(torch.randn(729, 1152) for _ in range(3)))
    text = torch.randn(512, sizes.context_in_dim)
    content = torch.randn(16, reference, reference)
    return Sample(
        "row", torch.randn(16, side, side), text, torch.randn(sizes.vec_in_dim), (features,), contents=(content,)
    )


def _flops(tokens: int, sizes: FluxConfig, checkpointing: bool) -> tuple[float, float]:
    """Return the FLOPs of a step on one row, the model's and the computed ones.

    A block has 12 width^2 weights a token, modulation and adapters aside. The gradient of attention takes 2.5 times its
    forward pass (Dao, FlashAttention-2, arXiv 2307.08691, section 4.1).
    """
    blocks, width = sizes.depth + sizes.depth_single_blocks, sizes.hidden_size
    linear = 2 * 12 * width**2 * blocks * tokens
    attention = 4 * tokens**2 * width * blocks
    model = 2 * linear + 3.5 * attention
    return model, model + (linear + attention if checkpointing else 0)


if __name__ == "__main__":
    sys.exit(main())
