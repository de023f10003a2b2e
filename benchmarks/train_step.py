"""Time of our training step against the same step written on diffusers and peft, at equal size.

    python benchmarks/train_step.py [--width 512] [--target 512] [--rounds 8] [--checkpointing]

Both nets have FLUX's shape with the same numbers of blocks, tokens and adapted layers, random float32 weights, LoRA,
MSE of the velocity, gradient clipping and AdamW. Steps alternate within one process, so that both meet the same
machine; printed are the medians of wall and processor time and their ratio. What stays unequal: diffusers has q, k and
v apart, so that its LoRA has three pairs of factors where USO's has one, and it takes style tokens as text.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from comfyui_uso.trainer.data.batch import Sample
from comfyui_uso.trainer.engine.randomness import StepRandom
from comfyui_uso.trainer.lora.adapters import add_lora
from comfyui_uso.trainer.memory.checkpointing import checkpoint_blocks
from comfyui_uso.trainer.networks import Networks
from comfyui_uso.trainer.objective.step import flow_matching_term
from comfyui_uso.trainer.recipe import ConditionsConfig, FlowConfig
from comfyui_uso.uso_model.config import FLUX_DEV
from comfyui_uso.uso_model.positions import image_ids, reference_ids
from comfyui_uso.uso_model.projector import HierarchicalProjector
from comfyui_uso.uso_model.style import StyleFeatures
from comfyui_uso.uso_model.transformer import UsoTransformer
from diffusers import FluxTransformer2DModel
from peft import LoraConfig
from torch import nn

HEAD, TEXT, STYLE, CONTEXT, POOLED, DOUBLE, SINGLE, RANK = 128, 512, 192, 64, 64, 2, 4, 16
TARGETS = r"(transformer_blocks\.\d+\.attn\.(to_q|to_k|to_v|to_out\.0|add_q_proj|add_k_proj|add_v_proj|to_add_out))"
TARGETS += r"|(single_transformer_blocks\.\d+\.(attn\.(to_q|to_k|to_v)|proj_out))"


def main() -> None:
    """Print one line for each contestant, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=512, help="hidden size, a multiple of 128")
    parser.add_argument("--target", type=int, default=512, help="side of the target in pixels")
    parser.add_argument("--content", type=int, default=256, help="side of the content reference in pixels")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--checkpointing", action="store_true", help="recompute each block in the backward pass")
    args = parser.parse_args()

    steps = {"ours": _ours(args), "diffusers + peft": _theirs(args)}
    wall: dict[str, list[float]] = {name: [] for name in steps}
    busy: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    for n in range(args.rounds):
        for name in list(steps) if n % 2 else list(reversed(steps)):
            began, worked = time.perf_counter(), time.process_time()
            steps[name]()
            wall[name].append(time.perf_counter() - began)
            busy[name].append(time.process_time() - worked)
    for name in steps:
        print(
            f"{name}: {statistics.median(wall[name]):.3f} s a step, {statistics.median(busy[name]):.3f} s of processor"
        )
    ours, theirs = steps
    ratios = [statistics.median(of[ours]) / statistics.median(of[theirs]) for of in (wall, busy)]
    print(f"ratio: {ratios[0]:.3f} wall, {ratios[1]:.3f} processor")


def _trained(parameters: list[nn.Parameter], loss_of: Callable[[], torch.Tensor]) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)

    def step() -> None:
        loss_of().backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def _ours(args: argparse.Namespace) -> Callable[[], None]:
    torch.manual_seed(0)
    sizes = replace(
        FLUX_DEV,
        hidden_size=args.width,
        num_heads=args.width // HEAD,
        depth=DOUBLE,
        depth_single_blocks=SINGLE,
        context_in_dim=CONTEXT,
        vec_in_dim=POOLED,
    )
    transformer = UsoTransformer(sizes)
    add_lora(transformer, RANK)
    if args.checkpointing:
        checkpoint_blocks(transformer)
    projector = HierarchicalProjector(16, STYLE // 3, 8, args.width).requires_grad_(False)
    features = StyleFeatures(*(torch.randn(16, 8) for _ in range(3)))
    target, content = (torch.randn(16, side // 8, side // 8) for side in (args.target, args.content))
    sample = Sample("row", target, torch.randn(TEXT, CONTEXT), torch.randn(POOLED), (features,), contents=(content,))
    flow = flow_matching_term(Networks(transformer, projector), FlowConfig(), ConditionsConfig(dropout=0.0))
    trained = [p for p in transformer.parameters() if p.requires_grad]
    return _trained(trained, lambda: flow.losses([sample], StepRandom(0, 0, 0, 1))["loss"])


def _theirs(args: argparse.Namespace) -> Callable[[], None]:
    torch.manual_seed(0)
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=64,
        num_layers=DOUBLE,
        num_single_layers=SINGLE,
        attention_head_dim=HEAD,
        num_attention_heads=args.width // HEAD,
        joint_attention_dim=CONTEXT,
        pooled_projection_dim=POOLED,
        guidance_embeds=True,
        axes_dims_rope=(16, 56, 56),
    )
    transformer.requires_grad_(False)
    transformer.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=TARGETS))
    if args.checkpointing:
        transformer.enable_gradient_checkpointing()
    grid, reference = ((side // 16, side // 16) for side in (args.target, args.content))
    tokens, others = grid[0] * grid[1], reference[0] * reference[1]
    ids = torch.cat([image_ids(*grid), *reference_ids(grid, [reference], "d")])
    latent, content = torch.randn(1, tokens, 64), torch.randn(1, others, 64)
    text, pooled = torch.randn(1, TEXT + STYLE, CONTEXT), torch.randn(1, POOLED)

    def loss() -> torch.Tensor:
        t, noise = torch.rand(1), torch.randn_like(latent)
        noisy = (1 - t) * latent + t * noise
        predicted = transformer(
            hidden_states=torch.cat([noisy, content], dim=1),
            encoder_hidden_states=text,
            pooled_projections=pooled,
            timestep=t,
            guidance=torch.ones(1),
            img_ids=ids,
            txt_ids=torch.zeros(TEXT + STYLE, 3),
            return_dict=False,
        )[0][:, :tokens]
        return F.mse_loss(predicted, noise - latent)

    return _trained([p for p in transformer.parameters() if p.requires_grad], loss)


if __name__ == "__main__":
    main()
