"""The published checkpoint of CSD is a pickle: whatever is in its place, nothing runs and one sentence tells."""

from __future__ import annotations

import io
import pickle
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_uso.uso_model.checkpoints.files import sha256_of
from comfyui_uso.uso_model.judging import csd

from .mutations import Tally, changed_bytes


class Evil:
    """Makes a file when it is unpickled without protection."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return open, (str(self.path), "w")


@pytest.mark.filterwarnings("ignore")
def test_mutated_pickles(tmp_path: Path, rng: random.Random, rounds: int, tally: Tally, monkeypatch: Any) -> None:
    monkeypatch.setattr(csd, "quickgelu_tower", lambda: torch.nn.Linear(4, 4, device="meta"))
    path, out, ran = tmp_path / "pytorch_model.bin", tmp_path / "out.safetensors", tmp_path / "ran"
    weights = {"module.backbone.weight": torch.ones(4, 4), "module.backbone.bias": torch.ones(4)}
    weights |= {"module.last_layer_style": torch.ones(4, 2), "module.last_layer_content": torch.ones(4, 2)}

    def convert(data: bytes) -> None:
        path.write_bytes(data)
        csd.convert_csd(path, out, sha256_of(path))

    def saved(value: Any, old: bool = False) -> bytes:
        buffer = io.BytesIO()
        torch.save(value, buffer, _use_new_zipfile_serialization=not old)
        return buffer.getvalue()

    whole = {old: saved({"model_state_dict": weights, "epoch": 3}, old) for old in (False, True)}
    convert(whole[False])
    assert out.exists()
    quantised = torch.quantize_per_tensor(torch.ones(4, 4), 0.1, 0, torch.qint8)
    for number, value in enumerate(
        [
            quantised,
            torch.ones(4, 4).to_sparse(),
            torch.ones(4, 4, dtype=torch.complex64),
            torch.zeros(0, 4),
            torch.ones(4, 4, device="meta"),
            torch.ones(4, 4, dtype=torch.bool),
            torch.full((4, 4), float("nan")),
            5,
            None,
            bytearray(10),
            Evil(ran),
        ]
    ):
        changed = {"model_state_dict": {**weights, "module.backbone.weight": value}}
        tally(f"value {number}", lambda changed=changed: convert(saved(changed)))
    for number, value in enumerate(
        [None, [], {}, 5, {"model_state_dict": []}, {"model_state_dict": {1: 2}}, Evil(ran)]
    ):
        tally(f"object {number}", lambda value=value: convert(saved(value)))
        tally(f"pickle {number}", lambda value=value: convert(pickle.dumps(value)))
    for number in range(100 * rounds):
        tally(f"bytes {number}", convert, changed_bytes(whole[number % 2 == 1], rng))
    assert not ran.exists()
