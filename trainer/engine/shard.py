"""Sharding the frozen transformer over the GPUs of a machine: FSDP2, where `accelerate launch` asks for it."""

from __future__ import annotations

import logging

from accelerate import Accelerator
from accelerate.utils import parse_flag_from_env
from torch.distributed.fsdp import fully_shard

from ...uso_model.errors import UserError
from ...uso_model.transformer import UsoTransformer
from ..settings.loop import LoopConfig

__all__ = ["require_shardable", "shard"]

logger = logging.getLogger(__name__)


def shard(accelerator: Accelerator, transformer: UsoTransformer, config: LoopConfig, in_ram: bool = False) -> None:
    """Spread the frozen weights of every block over the processes; each is gathered when its block computes.

    Trained parameters stay whole on every process and their gradients are summed as without sharding: they are small,
    and sharding wants one dtype per block where frozen and trained weights differ. Nothing happens unless the launcher
    chose FSDP.

    Args:
        accelerator: of the run.
        transformer: frozen but for its adapters.
        config: the optimisation.
        in_ram: blocks or modulation layers wait in RAM.

    Raises:
        UserError: something waits in RAM, or micro-batches have more than one row. Rows with and without a reference
            go through the network apart, so that processes would gather a block different numbers of times and wait
            for each other for ever.
    """
    if not require_shardable(config, accelerator.num_processes, in_ram):
        return
    trained = {p for p in transformer.parameters() if p.requires_grad}
    for block in (*transformer.double_blocks, *transformer.single_blocks):
        fully_shard(block, ignored_params=trained)
    logger.info("the frozen blocks are spread over %d processes", accelerator.num_processes)


def require_shardable(config: LoopConfig, processes: int, in_ram: bool) -> bool:
    """Say whether the launcher chose FSDP.

    Raises:
        UserError: it did, and the settings do not go with it; see `shard`.
    """
    # What `accelerate launch --use_fsdp` sets; its own distributed type knows FSDP on GPUs only.
    if processes == 1 or not parse_flag_from_env("ACCELERATE_USE_FSDP"):
        return False
    if in_ram:
        raise UserError("FSDP moves the blocks itself: set memory.blocks_to_swap=0 and memory.modulation=resident")
    own = config.micro_batch or config.batch_size // processes
    if own != 1:
        raise UserError(
            f"FSDP needs loop.micro_batch=1, got {own} rows; gradients add up over micro-batches all the same"
        )
    return True
