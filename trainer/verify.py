"""Recompute a folder of reference tensors and tell how far this package is from them.

A folder holds small networks and what the official code computed with them: `config.json`, `cases.json`,
`ae_config.json` and seven safetensors files. Sizes come from the configs and the weights, everything else
(sizes of pictures, numbers of references, times, schedules) from the cases, so any folder laid out like this
works. All in float32 on the CPU.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ..uso_model.autoencoder import Autoencoder
from ..uso_model.checkpoints import merge_lora, read_lora
from ..uso_model.checkpoints.files import read_safetensors
from ..uso_model.checkpoints.flux import from_bfl
from ..uso_model.checkpoints.projector import load_projector
from ..uso_model.checkpoints.strict import load_strict
from ..uso_model.config import AutoencoderConfig, FluxConfig
from ..uso_model.errors import UserError
from ..uso_model.images import fit_content_image
from ..uso_model.packing import pack, token_grid
from ..uso_model.positions import image_ids
from ..uso_model.projector import HierarchicalProjector
from ..uso_model.sampling import Conditioning, euler, reference_tokens, velocity
from ..uso_model.schedule import official_schedule
from ..uso_model.style import StyleFeatures
from ..uso_model.transformer import UsoTransformer
from .formula import parse_formula

__all__ = ["LIMIT", "FolderError", "run", "verify"]

LIMIT = 1e-4
"""Largest accepted absolute error; `preprocess` counts whole pixel values and must be 0."""

_FILES = (
    "config.json",
    "cases.json",
    "cases.safetensors",
    "flux_tiny.safetensors",
    "dit_lora.safetensors",
    "projector.safetensors",
    "ae_config.json",
    "ae_tiny.safetensors",
    "ae_cases.safetensors",
    "preprocess_content.safetensors",
)


class FolderError(UserError):
    """A folder that lacks something or holds something unreadable, in one sentence."""


def run(folder: str | os.PathLike[str]) -> tuple[str, int]:
    """Verify a folder for the command line.

    Returns:
        One JSON object `{case: largest absolute error}` and 0, or 1 when a case is over its limit; or one
        line that says what is wrong with the folder and 2.
    """
    try:
        errors = verify(folder)
    except UserError as error:  # the folder, not the computation
        return " ".join(str(error).split()), 2
    failed = any(error > (0 if case == "preprocess" else LIMIT) for case, error in errors.items())
    # JSON has no infinity, which stands for outputs of another shape or not a number.
    shown = {case: min(error, sys.float_info.max) for case, error in errors.items()}
    return json.dumps(shown), int(failed)


@torch.no_grad()
def verify(folder: str | os.PathLike[str]) -> dict[str, float]:
    """Return the largest absolute error of every case; infinite where a shape differs or a value is not a
    number.

    Raises:
        FolderError: when a file, a tensor or an entry is absent or unreadable.
        CheckpointError: when a weight file is damaged or does not fit its config.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FolderError(f"{folder} is not a folder; give the folder of reference tensors.")
    absent = [name for name in _FILES if not (folder / name).is_file()]
    if absent:
        raise FolderError(f"{folder} lacks {', '.join(absent)}; give a folder with all {len(_FILES)} files.")
    cases = _Entries(_json(folder / "cases.json"), "cases.json")
    given = _Tensors(folder / "cases.safetensors")
    projector = load_projector(folder / "projector.safetensors", torch.float32)
    model = _transformer(folder)
    errors: dict[str, float] = {}

    styles, style_errors = _styles(projector, cases, given)
    errors |= style_errors
    errors |= _velocities(model, cases, given, styles)
    errors["ids"] = _ids(cases, given)
    errors |= _denoise(model, cases, given, styles)
    errors |= _autoencoder(folder)
    errors["schedules"] = _schedules(cases["schedules"])
    errors["preprocess"] = _preprocess(folder)
    return errors


class _Entries(dict[str, Any]):
    """A JSON object that names itself when an entry is absent."""

    def __init__(self, entries: Mapping[str, Any], source: str):
        super().__init__(entries)
        self.source = source

    def __missing__(self, key: str) -> Any:
        raise FolderError(f"{self.source} lacks the entry {key!r}; make the folder again.")


class _Tensors(dict[str, Tensor]):
    """The tensors of a file in float32, which names itself when one is absent."""

    def __init__(self, path: Path):
        super().__init__({k: t.float() if t.is_floating_point() else t for k, t in read_safetensors(path).items()})
        self.source = path.name

    def __missing__(self, key: str) -> Tensor:
        raise FolderError(f"{self.source} lacks the tensor {key!r}; make the folder again.")


def _json(path: Path) -> dict[str, Any]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FolderError(f"{path.name} is not JSON ({error}); make the folder again.") from error
    if not isinstance(entries, dict):
        raise FolderError(f"{path.name} holds no JSON object; make the folder again.")
    return entries


def _config(kind: type, path: Path) -> Any:
    """Build a config dataclass from a JSON object; entries that are no fields are remarks."""
    entries = _Entries(_json(path), path.name)
    values = {field.name: entries[field.name] for field in fields(kind)}
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def _difference(got: Tensor, expected: Tensor) -> float:
    if got.shape != expected.shape:
        return math.inf
    error = (got.double() - expected.double()).abs().max().item() if got.numel() else 0.0
    return math.inf if math.isnan(error) else error


def _transformer(folder: Path) -> UsoTransformer:
    model = UsoTransformer(_config(FluxConfig, folder / "config.json")).eval()
    load_strict(model, from_bfl(_Tensors(folder / "flux_tiny.safetensors")), "flux_tiny.safetensors")
    merge_lora(model, read_lora(folder / "dit_lora.safetensors"))
    return model


def _styles(
    projector: HierarchicalProjector, cases: _Entries, given: _Tensors
) -> tuple[list[Tensor], dict[str, float]]:
    """Project every style; the hidden states are a formula, because they would be the largest file of all."""
    count = sum(1 for name in given if re.fullmatch(r"style\d+_tokens", name))
    if not count:
        return [], {}
    value = _hidden_states(cases["style_hidden_states"])
    n = torch.arange(projector.tokens_in, dtype=torch.float64)[:, None]
    d = torch.arange(projector.dim_in, dtype=torch.float64)[None, :]
    styles, errors = [], {}
    for i in range(count):
        levels = [value({"i": i, "l": level, "n": n, "d": d}).float()[None] for level in range(3)]
        styles.append(projector(StyleFeatures(*levels)))
        errors[f"projector.style{i}"] = _difference(styles[i], given[f"style{i}_tokens"])
    return styles, errors


def _hidden_states(description: str) -> Callable[[Mapping[str, Any]], Tensor]:
    match = re.search(r"channel d = (.+?), computed", description)
    if match is None:
        raise FolderError("cases.json has no formula 'channel d = ..., computed'; make the folder again.")
    return parse_formula(match[1])


def _conditioning(case: _Entries, cases: _Entries, given: _Tensors, styles: list[Tensor]) -> Conditioning:
    if case["styles"] > len(styles):
        raise FolderError(
            f"cases.safetensors has {len(styles)} styles, {case.source} uses {case['styles']}; make it again."
        )
    used = styles[: case["styles"]]
    return Conditioning(
        txt=given["txt"],
        vec=given["vec"],
        style=torch.cat(used, dim=1) if used else None,
        content=[given[f"ref{i}"] for i in range(case["refs"])],
        guidance=cases.get("guidance", 0.0),
    )


def _each(cases: _Entries) -> dict[str, _Entries]:
    return {name: _Entries(case, f"case {name} of cases.json") for name, case in cases["cases"].items()}


def _velocities(model: UsoTransformer, cases: _Entries, given: _Tensors, styles: list[Tensor]) -> dict[str, float]:
    errors = {}
    for name, case in _each(cases).items():
        v = velocity(model, _conditioning(case, cases, given, styles))
        t = torch.full((given["noise"].shape[0],), float(case["t"]))
        errors[name] = _difference(pack(v(given["noise"], t)), given[f"{name}.velocity"])
    return errors


def _ids(cases: _Entries, given: _Tensors) -> float:
    grid = token_grid(given["noise"])
    error = 0.0
    for name, case in _each(cases).items():
        _, ref_ids = reference_tokens([given[f"ref{i}"] for i in range(case["refs"])], grid)
        made = {"img_ids": image_ids(*grid), **{f"ref_ids{i}": ids for i, ids in enumerate(ref_ids)}}
        for part, ids in made.items():
            expected = given[f"{name}.{part}"]
            error = max(error, _difference(ids.expand_as(expected) if expected.ndim == 3 else ids, expected))
    return error


def _denoise(model: UsoTransformer, cases: _Entries, given: _Tensors, styles: list[Tensor]) -> dict[str, float]:
    errors = {}
    for name in (name for name in cases if name.startswith("denoise")):
        case = _Entries(cases[name], f"{name} of cases.json")
        v = velocity(model, _conditioning(case, cases, given, styles))
        latent = euler(v, given["noise"], torch.tensor(case["timesteps"], dtype=torch.float64))
        errors[name] = _difference(latent, given[f"{name}.latent"])
    return errors


def _autoencoder(folder: Path) -> dict[str, float]:
    model = Autoencoder(_config(AutoencoderConfig, folder / "ae_config.json")).eval()
    load_strict(model, _Tensors(folder / "ae_tiny.safetensors"), "ae_tiny.safetensors")
    given = _Tensors(folder / "ae_cases.safetensors")
    return {
        "ae.encode": _difference(model.encode(given["pixels"]), given["latent_mean"]),
        "ae.decode": _difference(model.decode(given["latent_mean"]), given["decoded"]),
    }


def _schedules(schedules: Mapping[str, list[float]]) -> float:
    error = 0.0
    for name, times in schedules.items():
        match = re.fullmatch(r"(\d+)x(\d+)@(\d+)", name)
        if match is None:
            raise FolderError(
                f"cases.json has a schedule {name!r}, expected WIDTHxHEIGHT@STEPS; make the folder again."
            )
        width, height, steps = map(int, match.groups())
        error = max(error, _difference(official_schedule(steps, width, height), torch.tensor(times)))
    return error


def _preprocess(folder: Path) -> float:
    given = _Tensors(folder / "preprocess_content.safetensors")
    error = 0.0
    for number in sorted({name.split(".")[0] for name in given}):
        picture = Image.fromarray(given[f"{number}.in"].numpy())
        fitted = fit_content_image(picture, int(given[f"{number}.long_size"]))
        pixels = torch.frombuffer(bytearray(fitted.tobytes()), dtype=torch.uint8).reshape(*fitted.size[::-1], 3)
        error = max(error, _difference(pixels, given[f"{number}.out"]))
    return error
