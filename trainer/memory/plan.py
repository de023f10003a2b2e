"""How much memory a recipe will need, on the GPU and in RAM, computed before anything is loaded."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ...uso_model.checkpoints import read_lora
from ...uso_model.checkpoints.fp8 import is_block_matrix
from ...uso_model.config import FLUX_DEV, FluxConfig
from ...uso_model.schedule import token_count
from ...uso_model.transformer import UsoTransformer
from ..family import family_of
from ..lora_layers import chosen_layers
from ..recipe import TrainConfig
from ..starting_files import lora_file
from .block_swap import swapped_names
from .load import MODULATION

__all__ = ["MemoryPlan", "memory_text", "plan"]

TEXT_TOKENS, STYLE_TOKENS = 512, 192
"""T5's padded length, and three levels of 64 tokens a style reference."""

CONTEXT = 1.5e9
"""Bytes of CUDA's own context and of the allocator's slack; our own estimate."""

PROJECTOR = 10_773_120
"""Parameters of USO's projector."""

TEXT_ENCODERS, SIGLIP, AUTOENCODER, DESCRIPTOR = 9.77e9, 1.71e9, 0.34e9, 1.22e9
"""Bytes of T5-XXL and CLIP-L in bfloat16; of SigLIP-so400m, FLUX's autoencoder and CSD in float32."""

HELD, MOMENTARY = 21, 26
"""Values of one token, in widths, that a single-stream block keeps for its backward pass, and that come and go in it:
gradients and the adapters' float32 copies. Measured on the CPU with torch's profiler, under bfloat16 autocast; a
double-stream block needs fewer."""

DECODE, DECODE_WITH_GRADIENT = 4_420, 9_430
"""Bytes a pixel of decoding in float32; with a gradient after `checkpoint_decoder`. Measured in the same way."""

_BYTES = {"fp32": 4, "bf16": 2, "fp8": 1}
_OPTIMIZER = {"adamw": 16, "prodigy": 24, "adamw8bit": 10}
"""Bytes a trained value needs for itself, its gradient and the optimizer's state."""


class MemoryPlan(NamedTuple):
    """Bytes by what they are for."""

    gpu: dict[str, float]
    """While training, at the peak."""
    ram: dict[str, float]
    encoding: float
    """On the GPU while prompts are encoded, before training."""
    tokens: int
    """Tokens of one row, the longest sequence."""

    @property
    def on_gpu(self) -> float:
        """Bytes on the GPU at the peak of training."""
        return sum(self.gpu.values())

    def text(self) -> str:
        """Return a table in GB."""
        lines = [*self.gpu.items(), ("on the GPU, computed", self.on_gpu)]
        lines += [(f"{name} (RAM)", size) for name, size in self.ram.items()]
        lines.append(("GPU, before: encoding prompts", self.encoding))
        return "\n".join(f"  {name:<34}{size / 1e9:6.1f} GB" for name, size in lines)


def memory_text(config: TrainConfig) -> str:
    """Return what a recipe needs of memory: a table, or its family's own line."""
    return family_of(config).memory_note(config) or plan(config).text()


def plan(config: TrainConfig, sizes: FluxConfig = FLUX_DEV) -> MemoryPlan:
    """Return what a recipe needs; weights are counted exactly, activations by formula.

    Args:
        config: the recipe.
        sizes: of the transformer.
    """
    frozen, modulation, streamed = _weights(config, sizes)
    lora = _lora_values(config, sizes)
    trained = lora * (config.stage == "triplet") + PROJECTOR * (config.stage == "style" or config.train_projector)
    if config.stage == "base":
        trained, frozen = round(frozen / 4), 0
    states = _OPTIMIZER.get(config.loop.optimizer, _OPTIMIZER["adamw"]) + 4 * (config.loop.ema is not None)
    states += 4 * sum(
        term is not None for term in (config.reward, config.prior_preservation)
    )  # their gradients, to compare
    tokens = _tokens(config, config.data.sizes[-1])
    phase, peak = max(_phases(config, sizes, trained).items(), key=lambda item: item[1])
    gpu = {
        "frozen weights": frozen,
        "places for visiting blocks": 2 * _largest_block(config, sizes) if config.memory.blocks_to_swap else 0,
        "trained values and optimizer": trained * states,
        "autoencoder and style descriptor": 0 if config.reward is None else AUTOENCODER + DESCRIPTOR,
        "SigLIP": SIGLIP if config.data.style_features == "online" else 0,
        phase: peak,
        "CUDA and slack": CONTEXT,
    }
    ram = {"blocks in RAM": streamed, "modulation in RAM": modulation}
    return MemoryPlan(
        {name: size for name, size in gpu.items() if size},
        {name: size for name, size in ram.items() if size},
        TEXT_ENCODERS + CONTEXT,
        tokens,
    )


def _phases(config: TrainConfig, sizes: FluxConfig, trained: int) -> dict[str, float]:
    """Return what is on the GPU only for a while; no two of these are there at once."""
    rows = config.loop.micro_batch or config.loop.batch_size
    phases = {"activations": rows * _activations(config, sizes, _tokens(config, config.data.sizes[-1]))}
    reward = config.reward
    if reward is not None:
        passes = reward.active if reward.form == "endpoint" else 1
        inputs = passes * _activations(config, sizes, _tokens(config, reward.size))
        phases["activations, decoding the reward"] = rows * (inputs + DECODE_WITH_GRADIENT * reward.size**2)
    if config.monitor.samples_every:
        live = 4 * trained if config.loop.ema is not None else 0  # put aside while the averages are in the network
        models = AUTOENCODER if reward is None else 0
        phases["drawing samples"] = live + models + DECODE * config.data.sizes[-1] ** 2
    return phases


def _tokens(config: TrainConfig, size: int) -> int:
    content = config.data.content_size**2 // 256 if config.stage == "triplet" else 0
    style = STYLE_TOKENS * config.data.styles if config.stage != "base" else 0
    return TEXT_TOKENS + style + token_count(size, size) + content


def _weights(config: TrainConfig, sizes: FluxConfig) -> tuple[float, float, float]:
    """Return the bytes of the frozen weights on the GPU, of modulation in RAM and of blocks in RAM."""
    memory = config.memory
    with torch.device("meta"):
        parameters = UsoTransformer(sizes).state_dict()
    names = swapped_names(sizes.depth, sizes.depth_single_blocks, memory.blocks_to_swap)
    gpu = modulation = 0
    streamed = dict.fromkeys(names, 0)
    for name, tensor in parameters.items():
        in_ram = memory.modulation == "offloaded" and MODULATION.search(name) is not None
        quantised = memory.base == "fp8" and is_block_matrix(name, tensor) and not in_ram
        size = tensor.numel() * (1 if quantised else 4 if memory.base == "fp32" else 2)
        block = ".".join(name.split(".")[:2])
        if in_ram:
            modulation += size
        elif block in streamed and tensor.ndim == 2:
            streamed[block] += size
        else:
            gpu += size
    # torch rounds page-locked memory up to a power of two.
    return gpu, modulation, sum(1 << (size - 1).bit_length() for size in streamed.values())


def _largest_block(config: TrainConfig, sizes: FluxConfig) -> float:
    """Return the bytes of a double-stream block's matrices: 12 width^2 of each stream, and 12 of modulation."""
    modulation = 12 if config.memory.modulation == "resident" else 0
    return (24 + modulation) * sizes.hidden_size**2 * _BYTES[config.memory.base]


def _lora_values(config: TrainConfig, sizes: FluxConfig) -> int:
    """Return how many values the branches have: those of the file that is trained on, or of the chosen layers."""
    path = lora_file(config) if config.lora.start == "continue" else None
    if path is not None and path.is_file():
        return read_lora(path).parameters
    with torch.device("meta"):
        layers = dict(UsoTransformer(sizes).named_modules())
    shapes = [layers[name].weight.shape for name in chosen_layers(config.lora, sizes)]
    return config.lora.new_rank * sum(map(sum, shapes))


def _activations(config: TrainConfig, sizes: FluxConfig, tokens: int) -> float:
    """Return the bytes of one row's activations: the input of every block and the inside of one, or of all."""
    blocks = sizes.depth + sizes.depth_single_blocks
    width = sizes.hidden_size * tokens * (4 if config.loop.precision == "no" else 2)
    inside = HELD + MOMENTARY
    return width * (blocks + inside if config.memory.checkpointing else HELD * (blocks - 1) + inside)
