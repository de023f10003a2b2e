"""Vision towers of transformers, built without a config file and filled from weights under their published names."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from ..checkpoints import CheckpointError, load_strict
from ..checkpoints.strict import require_finite, require_floats

__all__ = ["filled", "heads_of"]

_HEAD = 64


def heads_of(width: int, others: Mapping[int, int], source: str) -> int:
    """Return the number of attention heads, which leaves no trace in weights: 64 channels each, except in `others`.

    Raises:
        CheckpointError: a width that cannot be parted so.
    """
    heads = others.get(width, width // _HEAD)
    if not heads or width % heads or (width not in others and width % _HEAD):
        raise CheckpointError(f"{source} is {width} wide, expected a multiple of {_HEAD}; use the published file.")
    return heads


def filled(
    make: Callable[[int], nn.Module],
    layers: int,
    tensors: Mapping[str, Tensor],
    source: str,
    renamed: Callable[[str], str] = str,
    unused: Callable[[str], bool] = lambda name: False,
) -> nn.Module:
    """Return the network of these weights, all of which it must need and no other, frozen, in float32.

    Args:
        make: returns the network with a number of layers, in any state.
        layers: how many it has.
        tensors: by their names in the file.
        source: the file's name, for messages.
        renamed: a name of the file or of the network to the one that both share: transformers 5 has other names than
            the published files, and 4 has theirs.
        unused: whether a shared name is of no use here, on either side.

    Raises:
        CheckpointError: weights are missing, unknown, misshapen or not finite.
    """
    with torch.random.fork_rng(devices=[]):
        with torch.device("meta"):
            network = make(layers)
        small = make(0)  # for buffers, which are computed from the sizes and not stored
    for name, buffer in small.named_buffers():
        owner, _, last = name.rpartition(".")
        setattr(network.get_submodule(owner), last, buffer)
    own = {renamed(name): name for name in network.state_dict()}
    found = {renamed(name): tensor for name, tensor in tensors.items() if not unused(renamed(name))}
    require_floats(found, source)  # `float` below would take quantised ones for numbers
    state = {own.get(name, name): tensor.float() for name, tensor in found.items()}
    for name, target in own.items():
        if unused(name):
            state[target] = torch.zeros(network.state_dict()[target].shape)
    load_strict(network, state, source, assign=True)
    require_finite(state, source)
    return network.eval().requires_grad_(False)
