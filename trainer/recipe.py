"""Every setting of a training stage: what `uso train` reads from a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from ..uso_model.errors import UserError
from ..uso_model.import_path import is_import_path
from ..uso_model.untrusted import quoted
from .settings.base import Settings
from .settings.data import LARGEST, DataConfig
from .settings.loop import LoopConfig
from .settings.lora import LoraSettings
from .settings.memory import MemoryConfig
from .settings.monitor import MonitorConfig

__all__ = [
    "DESCRIPTOR",
    "FLUX",
    "RENAMED",
    "Against",
    "ConditionsConfig",
    "DropMode",
    "FlowConfig",
    "JudgeReward",
    "Level",
    "ModelsConfig",
    "Needs",
    "PriorPreservationConfig",
    "PriorPrompt",
    "RewardConfig",
    "Stage",
    "StylePath",
    "TimestepSampling",
    "TrainConfig",
    "label",
]

FLUX = "comfyui_uso.trainer.flux_family:FLUX"
"""Import path of the family of FLUX.1."""

Stage = Literal["base", "style", "triplet"]
"""What is trained; see `trainer/train.py`."""

DropMode = Literal["one_of", "independent"]
"""How the paper's sentence on condition dropout is read."""

TimestepSampling = Literal["uniform_shifted", "logit_normal"]
"""How training times are drawn."""

StylePath = Literal["siglip", "vae"]
"""How a style reference reaches the network: as projected SigLIP tokens, or as one more content reference."""

Level = Literal["high", "mid", "low"]
"""A depth of SigLIP."""

PriorPrompt = Literal["empty", "own"]
"""Prompt that comes without references: the empty one, or that of the row."""


Needs = Literal["style", "content", "both", "none"]
"""References that rows must have for a recipe to train what it is for."""

Against = Literal["style", "content"]
"""The references of a row that a judge compares a drawn picture with."""

DESCRIPTOR = "csd"
"""Judge of the style reward where a recipe names none; a family may bring its own style descriptor in its place."""


_LOGGED = ("style", "copy", "descriptor")
"""Names of what is measured on samples anyway."""


def label(judge: str) -> str:
    """Return the name of a judge in logs: of one that is named by import path, that of the object."""
    return judge.rpartition(":")[2]


class ModelsConfig(Settings):
    """Files of the frozen networks: ComfyUI's single files or Hugging Face folders.

    A model family takes this class for its section `models`, or one of its own that adds settings or asks for files;
    see `ModelFamily.models`.
    """

    transformer: Path | None = Field(None, description="FLUX to start from; none: what the family bundles, or nothing")
    projector: Path | None = Field(None, description="projector to start from; none: from nothing")
    new_projector: bool = Field(False, description="begin with an untrained projector where a stage would read one")
    lora: Path | None = Field(None, description="LoRA to start from, such as the published one; see lora.start")
    vae: Path | None = None
    t5: Path | None = None
    clip: Path | None = None
    siglip: Path | None = None
    text_device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="where T5 and CLIP encode prompts; auto: on the GPU if they fit into what is free"
    )
    tokenizers: Path | None = Field(
        None, description="folder with the tokenizers of T5 and CLIP, or a ComfyUI checkout; none: searched for"
    )
    csd: Path | None = Field(None, description="older name of judges.csd: CSD's file, made by `uso csd`")
    judges: dict[str, Path] = Field(default_factory=dict, description="files of judges, for rewards and witnesses")

    @model_validator(mode="after")
    def _one_csd(self) -> ModelsConfig:
        if self.csd is not None and self.judges.get(DESCRIPTOR, self.csd) != self.csd:
            raise UserError(f"csd {self.csd} and judges.csd {self.judges[DESCRIPTOR]} are one setting; leave out csd")
        return self

    @property
    def judge_files(self) -> dict[str, Path]:
        """Files of judges by their names, with CSD's."""
        return {**({} if self.csd is None else {DESCRIPTOR: self.csd}), **self.judges}

    @property
    def named_files(self) -> dict[str, Path]:
        """All files and folders by their settings, such as `vae` and `judges.dino`."""
        files = {name: path for name, path in self if isinstance(path, Path)}
        return files | {f"judges.{name}": path for name, path in self.judges.items()}


class ConditionsConfig(Settings):
    """Condition dropout: references are left out by leaving out their tokens."""

    dropout: float = Field(0.25, ge=0, le=1)
    mode: DropMode = "one_of"
    style_path: StylePath = Field(
        "siglip", description="vae: the style goes the content's way, the paper's run without disentangled encoders"
    )
    style_levels: list[Level] = Field(["high", "mid", "low"], min_length=1, description="depths that give tokens")
    isolated: bool = Field(
        False, description="references see only themselves, so that their keys and values can be kept for all steps"
    )


class FlowConfig(Settings):
    """The flow-matching loss."""

    timestep_sampling: TimestepSampling = "uniform_shifted"
    guidance: tuple[float, float] = Field((1.0, 1.0), description="range of the distilled guidance in training")


class JudgeReward(Settings):
    """What one judge adds to the reward. A number alone is its weight."""

    weight: float = Field(1.0, gt=0)
    margin: float | None = Field(None, description="similarity above which nothing is gained; none: reward.margin")
    against: Against | None = Field(None, description="what it compares with; none: style if it sees style, or content")

    @model_validator(mode="before")
    @classmethod
    def _weight_alone(cls, value: Any) -> Any:
        return {"weight": value} if isinstance(value, (int, float, str)) else value


class RewardConfig(Settings):
    """The reward: by style (SRL in arXiv v1, ASR in the CVPR version), by subject, or by several judges."""

    judges: dict[str, JudgeReward] = Field(
        {DESCRIPTOR: JudgeReward()},
        min_length=1,
        description="judges that are pleased, by name or import path: a weight, or {weight, margin, against}",
    )
    start: int = Field(ge=0, description="S: first step with the reward")
    weight: float = Field(1.0, gt=0, description="lambda after S")
    warmup: int = Field(0, ge=0, description="steps over which lambda rises to its weight; 0: a jump at S")
    every: int = Field(1, gt=0, description="steps between two rewarded ones")
    form: Literal["refl", "endpoint"] = Field("refl", description="refl: one-step x0 (paper); endpoint: the true end")
    size: int = Field(512, gt=0, le=LARGEST, multiple_of=16, description="rolled-out picture, as data.size")
    steps: int = Field(25, gt=0, description="steps of the whole rollout")
    last: int = Field(11, gt=0, description="the gradient enters at a random one of the last so many steps")
    active: int = Field(3, gt=0, description="endpoint: steps that carry a gradient")
    guidance: float = Field(4.0, description="distilled guidance of the rollout")
    cfg: float = Field(1.0, description="classifier-free guidance of the rollout; 1, none, where guidance is distilled")
    margin: float = Field(1.0, description="similarity above which nothing is gained; 1: the paper's -cos")

    @model_validator(mode="after")
    def _within_the_rollout(self) -> RewardConfig:
        if max(self.last, self.active) > self.steps:
            raise UserError(f"last {self.last} and active {self.active} must not exceed steps {self.steps}")
        return self


class PriorPreservationConfig(Settings):
    """Without references the trained model is to go on as it was; see `trainer/objective/prior_preservation.py`."""

    weight: float = Field(1.0, gt=0, description="of this term beside the flow-matching loss")
    every: int = Field(1, gt=0, description="steps between two with this term")
    prompt: PriorPrompt = Field(
        "empty", description="empty: the negative side of classifier-free guidance; own: the row's prompt"
    )


class TrainConfig(Settings):
    """One stage."""

    stage: Stage
    family: str = Field(FLUX, description="import path of the model family, package.module:object")
    needs: Needs = Field("none", description="references without which the rows do not serve this recipe")
    data: DataConfig
    models: ModelsConfig
    lora: LoraSettings = LoraSettings()
    train_projector: bool = Field(False, description="stage triplet: train the projector too (CVPR); v1 freezes it")
    conditions: ConditionsConfig = ConditionsConfig()
    flow: FlowConfig = FlowConfig()
    reward: RewardConfig | None = None
    prior_preservation: PriorPreservationConfig | None = None
    memory: MemoryConfig = MemoryConfig()
    monitor: MonitorConfig = MonitorConfig()
    out: Path | None = Field(None, description="folder the trained files are written to; none: `out` in the run's")
    loop: LoopConfig

    @model_validator(mode="after")
    def _consistent(self) -> TrainConfig:
        memory = self.memory
        if memory.base != "fp32" and self.loop.precision == "no":
            raise UserError(f"memory.base {memory.base} needs loop.precision bf16, or fp16")
        if memory.blocks_to_swap and not memory.checkpointing:
            raise UserError(
                "memory.blocks_to_swap needs memory.checkpointing: blocks are computed again when they are back"
            )
        if memory.compile and memory.in_ram:
            raise UserError("memory.compile needs all blocks on the GPU: blocks_to_swap 0 and modulation resident")
        if memory.compile and (self.lora.dropout or self.lora.rank_dropout):
            raise UserError("memory.compile cannot draw dropout: lora.dropout and lora.rank_dropout must be 0")
        if self.stage == "base" and (memory.base != "fp32" or memory.in_ram):
            raise UserError("stage base trains the transformer itself: memory.base must be fp32 and nothing in RAM")
        if self.stage == "style" and self.conditions.style_path == "vae":
            raise UserError("stage style trains the projector, which conditions.style_path vae does without")
        if self.stage == "triplet" and self.models.new_projector and not self.train_projector:
            raise UserError(
                "models.new_projector begins with an untrained projector: train it with train_projector true"
            )
        rewards = () if self.reward is None else self.reward.judges
        judges = dict.fromkeys([*rewards, *(self.monitor.witnesses or ()), *self.models.judge_files])
        for name in judges:
            if not (name.isidentifier() or is_import_path(name)):
                raise UserError(
                    f"got the judge {quoted(name)}, expected a name or an import path package.module:object"
                )
        labels = [*_LOGGED, *map(label, judges)]
        if len(set(labels)) < len(labels):
            raise UserError(
                f"of the judges {', '.join(judges)} two would be logged under one name, or one as what is measured "
                "anyway; leave one out, or rename its object"
            )
        if self.stage == "base" and self.reward is not None:
            raise UserError("stage base has no references and so no reward")
        if self.stage != "triplet" and self.prior_preservation is not None:
            raise UserError(
                f"prior_preservation holds a LoRA to what it is added to, and stage {self.stage} trains none; "
                "leave it to stage triplet"
            )
        return self

    @property
    def folder(self) -> Path:
        """Folder of the trained files."""
        return self.loop.run_dir / "out" if self.out is None else self.out


RENAMED = {
    "loop.decay": "loop.schedule",
    "flow.time_law": "flow.timestep_sampling",
    "memory.stream_blocks": "memory.blocks_to_swap",
    "preserve": "prior_preservation",
}
"""Names by which older recipes, run folders and command lines know some settings, and today's."""
