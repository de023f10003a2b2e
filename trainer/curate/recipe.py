"""What a run of curation is told: one YAML file, checked when it is read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from ..evaluate.short_names import ShortNames
from ..settings.base import Settings
from .where import parse_where

__all__ = [
    "CAPTIONER",
    "JUDGE",
    "REJECT",
    "CurateConfig",
    "ExpertSettings",
    "MakeSettings",
    "SourceSettings",
    "VlmSettings",
]

CAPTIONER, JUDGE = "captioner", "vlm"
"""Who captions and who judges, beside the experts."""
REJECT = {
    "the style reference shows nothing": "contrast_style<3",
    "the content reference shows nothing": "contrast_content<3",
    "the style reference is cut off": "cut_style>=.4",
    "the content reference is cut off": "cut_content>=.4",
    "the style reference is noise": "grain_style>=60",
    "the content reference is noise": "grain_content>=60",
    "the style reference is the target": "phash_style<=4 and change_style<9",
    "the content reference is the target": "phash_content<=4 and change_content<9",
}
"""Reasons and expressions of a recipe that names none."""


class SourceSettings(Settings):
    """Where stylised pictures come from."""

    path: Path
    """Folder, manifest (.jsonl), WebDataset (.tar, or a folder of them) or parquet (file or folder)."""
    kind: str = "auto"
    style: str = "folder"
    """Name of a style group: `folder` takes the picture's folder, anything else is a column or key of the source."""
    licence: str = ""
    """Of all pictures, where the source names none."""


class ExpertSettings(Settings):
    """Who draws."""

    kind: str = "comfyui"
    """comfyui, network, command, or an import path package.module:function of these settings."""
    graph: Path | None = None
    """comfyui: graph in API format; a name without a folder is one of those that come with the package."""
    servers: list[str] = Field(default_factory=lambda: ["http://127.0.0.1:8188"], min_length=1)
    """comfyui: their addresses."""
    recipe: str | None = None
    """network: recipe, or folder of a run, that names the model's files."""
    files: Path | None = None
    """network: folder of an exported LoRA and projector."""
    argv: list[str] = Field(default_factory=list)
    """command: program and arguments with {input}, {output} and the like."""
    devices: list[str] = Field(default_factory=list)
    """network: a process for each, such as cuda:0; none: this process."""
    workers: int | None = Field(None, ge=1, le=1024)
    """Calls at once; None: as the expert says."""
    gpus: float = Field(0.0, ge=0)
    """Graphics cards of each worker, or a share of one, on a Ray cluster: each worker is then an actor of its own."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Of the expert itself, such as steps."""
    cost_per_hour: float = Field(0.0, ge=0)
    """Of one worker, in any currency, for `plan` and `status`."""


class MakeSettings(Settings):
    """How one kind of reference is made."""

    expert: str
    """Name among `experts`."""
    instructions: str | list[str] = ""
    """Name of a shipped YAML list, a file like it, or the instructions themselves; empty: the usual list."""
    subjects: Path | list[str] | None = None
    """style: YAML file of classes, text file with a subject a line, or the subjects themselves; None: the shipped."""


class VlmSettings(Settings):
    """A vision language model that judges what embeddings do not settle."""

    model: str
    endpoint: str = ""
    """Address of an OpenAI-compatible server; empty: `model` is a folder that transformers reads."""
    key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the key; the key itself is never written."""
    workers: int = Field(4, ge=1, le=1024)
    timeout: float = Field(120.0, gt=0)
    """Seconds for one answer."""
    tries: int = Field(5, ge=1, le=100)
    """Of one question, after which the row stays unjudged until the next run."""
    patience: float = Field(120.0, ge=0)
    """Seconds for which an endpoint that is away is waited for, before the run stops."""
    longest: int = Field(768, ge=28, le=8192)
    """Pixels of the longer side of the pictures that are sent."""
    settled: str = ""
    """Rows of which this holds are not asked about; a threshold, so changing it redoes nothing."""
    cost_in: float = Field(0.0, ge=0, le=1e6)
    """Of a million tokens of questions."""
    cost_out: float = Field(0.0, ge=0, le=1e6)

    @field_validator("settled")
    @classmethod
    def _parsed(cls, value: str) -> str:
        parse_where(value)
        return value

    @field_validator("endpoint")
    @classmethod
    def _an_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0):
            raise ValueError("expected an address such as http://127.0.0.1:8000/v1")
        if "@" in parts.netloc or parts.query or parts.fragment:  # what stands here would be written into run.yaml
            raise ValueError(
                "expected an address without names, passwords and ?; the key stands in the environment: key_env"
            )
        return value.rstrip("/")

    @field_validator("key_env")
    @classmethod
    def _a_variable(cls, value: str) -> str:
        if not re.fullmatch("[A-Z_][A-Z0-9_]*", value):  # somebody may have put the key itself here
            raise ValueError("expected the name of an environment variable, in capitals, and never the key itself")
        return value


class CurateConfig(Settings):
    """A run of curation."""

    source: SourceSettings
    width: int = Field(1024, ge=16, le=8192)
    height: int = Field(1024, ge=16, le=8192)
    """Of drawn pictures."""
    kept: int = Field(1, ge=0, le=100)
    """Rows of each picture whose content reference keeps the layout."""
    shifted: int = Field(1, ge=0, le=100)
    """Rows of each picture whose content reference shows another pose or place."""
    experts: dict[str, ExpertSettings]
    style: MakeSettings | None = None
    """Stylise: the style reference, a new subject in the target's style."""
    content_kept: MakeSettings | None = None
    """De-stylise, same layout."""
    content_shifted: MakeSettings | None = None
    """De-stylise, another pose or place."""
    judges: dict[str, Path | None] = Field(default_factory=dict)
    """Name, or import path, of each judge and its file; None: found among `folders`."""
    folders: list[Path] = Field(default_factory=list)
    """Where weights of judges are looked for."""
    caption: VlmSettings | None = None
    """Who says what pictures show of which the source does not say it, for rows of shifted layouts."""
    vlm: VlmSettings | None = None
    judge_device: str = ""
    """Where judges run, such as cuda:1; empty: the GPU, if there is one."""
    reject: dict[str, str] = Field(default_factory=lambda: dict(REJECT))
    """Reason to expression: a row of which one holds goes no further. Thresholds: changing them redoes nothing."""
    attempts: int = Field(3, ge=1, le=100)
    """Of a step that goes wrong."""
    seed: int = 0

    @field_validator("experts")
    @classmethod
    def _named_apart(cls, value: dict[str, ExpertSettings]) -> dict[str, ExpertSettings]:
        for name in value:
            if name in (CAPTIONER, JUDGE):
                does = "captions" if name == CAPTIONER else "judges"
                raise ValueError(f"{name!r} is who {does}; name the expert otherwise")
        return value

    @field_validator("reject")
    @classmethod
    def _parsed(cls, value: dict[str, str]) -> dict[str, str]:
        for reason, text in value.items():
            if not parse_where(text).names:
                raise ValueError(
                    f"the expression of {reason!r} names no score, so that it holds of all rows or of none"
                )
        return value

    def spelt_out(self, names: ShortNames) -> CurateConfig:
        """Return it with import paths in the place of short names of experts' kinds and of judges."""
        experts = {
            name: one.model_copy(update={"kind": names.get(one.kind, one.kind)}) for name, one in self.experts.items()
        }
        judges = {names.get(name, name): file for name, file in self.judges.items()}
        return self.model_copy(update={"experts": experts, "judges": judges})
