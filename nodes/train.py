"""The node that trains: the trainer in a process of its own, and its LoRA's names for the nodes that load it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import folder_paths
from comfy_api.latest import io, ui

from ..uso_model.errors import UserError
from ..uso_model.untrusted import quoted
from .graph.convert import image_from_pil
from .graph.left_out import NOTHING_TO_SHOW
from .graph.plain_names import plain_name
from .graph.saved import saved_result
from .graph.widgets import checked_widgets
from .sockets import TrainingSetSocket, advanced, schema
from .training.command import prompt_setting, run_settings, train_words, typed_settings
from .training.folders import ROOT, training_folder
from .training.recipes import BY_KIND, is_of_flux, own_recipes_hash, recipe_choices, recipe_path, recipe_values
from .training.sets import TrainingSet

if TYPE_CHECKING:
    from .training.results import Results

__all__ = ["Train"]

GO_ON, NEW_NAME, REFUSE = "go on", "new name", "refuse"
_MOST_BYTES = 60
"""Of a run's name."""


class Asked(NamedTuple):
    """The widgets."""

    recipe: str = BY_KIND
    name: str = "my lora"
    if_changed: str = REFUSE
    steps: int = 0
    rank: int = 0
    size: int = 0
    learning_rate: float = 0.0
    save_every: int = 0
    sample_prompts: str = ""
    seed: int = -1
    python: str = ""
    settings: str = ""

    def values(self, training_set: TrainingSet) -> dict[str, str | float | None]:
        """Return the recipe's settings that widgets stand for; None: the recipe's own."""
        return {
            "loop.steps": self.steps or None,
            "lora.rank": self.rank or None,
            "data.size": self.size or None,
            "loop.learning_rate": self.learning_rate or None,
            "loop.save_every": self.save_every or None,
            "monitor.samples_every": self.save_every or None,
            "monitor.prompts": prompt_setting(self.sample_prompts, training_set),
            "loop.seed": None if self.seed < 0 else self.seed,
        }


_GIVEN: dict[Asked, tuple[tuple[str, str], ...]] = {}
"""Files that were given on since ComfyUI's start: model folder and name in it."""


class Train(io.ComfyNode):
    """Train a LoRA."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        usual = Asked()
        return schema(
            node_id="USO_Train",
            display_name="USO Train",
            description="Trains a LoRA on a set of pictures, in a process of its own, and returns its name for the "
            "nodes that load LoRAs. Cancel stops it with a checkpoint, and queueing the same graph again goes on.",
            search_aliases=["train lora", "lora training", "fine-tune", "finetune", "trainer", "dreambooth", "uso"],
            is_output_node=True,
            inputs=[
                TrainingSetSocket.Input("training_set", tooltip="Pictures from USO Training Set."),
                io.Combo.Input(
                    "recipe",
                    optional=True,
                    options=recipe_choices(),
                    default=usual.recipe,
                    tooltip="by kind: the one for FLUX.1 and for what the pictures share; toy: USO-mini, without a "
                    f"download; or another of the pack's, or a YAML file of your own in output/{ROOT}/recipes.",
                ),
                io.String.Input(
                    "name",
                    optional=True,
                    default=usual.name,
                    tooltip="Name of the run and of the files that it writes.",
                ),
                io.Combo.Input(
                    "if_changed",
                    optional=True,
                    options=[REFUSE, NEW_NAME, GO_ON],
                    default=usual.if_changed,
                    tooltip="What to do where a run of that name began with other settings or pictures: refuse; new "
                    "name: add a number; go on: train it on with these.",
                ),
                io.Int.Input(
                    "steps",
                    optional=True,
                    default=usual.steps,
                    min=0,
                    max=1_000_000,
                    tooltip="Steps in all; 0: the recipe's.",
                ),
                io.Int.Input(
                    "rank",
                    optional=True,
                    default=usual.rank,
                    min=0,
                    max=4096,
                    tooltip="Rank of the LoRA; 0: the recipe's.",
                ),
                io.Int.Input(
                    "size",
                    optional=True,
                    default=usual.size,
                    min=0,
                    max=8192,
                    step=16,
                    tooltip="Side in pixels of the square with as many pixels as a picture has in training; 0: the "
                    "recipe's.",
                ),
                io.Float.Input(
                    "learning_rate",
                    optional=True,
                    default=usual.learning_rate,
                    min=0.0,
                    max=10.0,
                    step=0.00001,
                    round=False,
                    tooltip="How far each step goes; 0: the recipe's.",
                ),
                io.Int.Input(
                    "save_every",
                    optional=True,
                    default=usual.save_every,
                    min=0,
                    max=1_000_000,
                    tooltip="Steps between two checkpoints, each with a LoRA and samples; 0: the recipe's.",
                ),
                io.String.Input(
                    "sample_prompts",
                    optional=True,
                    default=usual.sample_prompts,
                    multiline=True,
                    tooltip="Prompts, one a line, of which samples are drawn beside those of the set, with its first "
                    "picture as their reference.",
                ),
                io.Int.Input(
                    "seed",
                    optional=True,
                    default=usual.seed,
                    min=-1,
                    max=2**53,
                    control_after_generate=False,  # the page would draw another one, and so begin another run
                    tooltip="Seed of all that is drawn at random in training; -1: the recipe's.",
                ),
                io.String.Input(
                    "python",
                    optional=True,
                    default=usual.python,
                    tooltip="Full path of the Python that trains, or of its environment; empty: ComfyUI's own.",
                    **advanced(io.String.Input),
                ),
                io.String.Input(
                    "settings",
                    optional=True,
                    default=usual.settings,
                    multiline=True,
                    tooltip="More settings of the recipe, one a line, such as lora.alpha=8 or "
                    "memory.blocks_to_swap=20.",
                    **advanced(io.String.Input),
                ),
            ],
            outputs=[
                io.AnyType.Output(
                    display_name="lora",
                    tooltip="Name of the LoRA that was trained, for any node that takes the name of a LoRA; beside "
                    "USO's own, where the recipe adds to that.",
                ),
                io.AnyType.Output(
                    display_name="lora_whole",
                    tooltip="Name of the LoRA together with USO's, for USO Load Models or USO Load Mini.",
                ),
                io.AnyType.Output(display_name="projector", tooltip="Name of the projector that belongs to it."),
                io.AnyType.Output(
                    display_name="checkpoints",
                    is_output_list=True,
                    tooltip="Names of the LoRAs of all checkpoints, the oldest first, as a list.",
                ),
                io.Image.Output(
                    display_name="samples", is_output_list=True, tooltip="Sheets of samples, the first step first."
                ),
                io.String.Output(display_name="labels", is_output_list=True, tooltip="Step of each sheet, as a list."),
                io.String.Output(display_name="table", tooltip="Checkpoints with their losses, and what was said."),
            ],
        )

    @classmethod
    def validate_inputs(cls, recipe: Any = None) -> bool | str:
        """Return whether the recipe may be there, in place of ComfyUI's look at a list that may be older."""
        choices = recipe_choices()
        if recipe is None or recipe in choices:
            return True
        return f"Got the recipe {quoted(recipe)!r}, expected one of {', '.join(choices)}: choose one."

    @classmethod
    def fingerprint_inputs(cls, recipe: str | None = BY_KIND, **others: Any) -> str:
        """Return what differs when the recipe's file does, and each time once a file that was given on is gone."""
        given = {"recipe": recipe, **others}
        known = {name: given.get(name, usual) for name, usual in Asked()._asdict().items()}
        known = {name: value for name, value in known.items() if value is not None}  # None: it comes through a link
        alike = [files for asked, files in _GIVEN.items() if known.items() <= asked._asdict().items()]
        if alike and not all(folder_paths.get_full_path(kind, file) for kind, file in alike[-1]):
            return str(time.time_ns())  # so that the same graph brings it back
        return own_recipes_hash(recipe or BY_KIND)

    @classmethod
    @checked_widgets
    def execute(cls, training_set: TrainingSet, **widgets: Any) -> io.NodeOutput:
        """Train, or go on, and return the names of what was trained, the samples and the table."""
        # Not above: ComfyUI loads the pack without the trainer, and most of these know it.
        from .training.memory import free_card, free_models, require_room
        from .training.models import model_settings
        from .training.python import require_packages, training_python
        from .training.results import results
        from .training.session import trained

        began, asked = time.monotonic(), Asked(**widgets)
        training_set.require_unchanged()
        run = training_folder("runs", plain_name(asked.name, "a run", _MOST_BYTES).replace("/", "-"))
        path, typed = recipe_path(asked.recipe, training_set.kind), typed_settings(asked.settings)
        interpreter = training_python(asked.python)
        require_packages(interpreter)
        given, values = asked.values(training_set), recipe_values(path)
        files = model_settings(values.get("models"), typed) if is_of_flux(values) else []
        free_models()

        def words(folder: Path) -> list[str]:
            texts = [*files, *run_settings(training_set, folder, given, typed)]
            if is_of_flux(values) and (free := free_card()) is not None:
                require_room(path, texts, free)
            return train_words(interpreter, path, texts, allow_change=asked.if_changed == GO_ON)

        run, told = trained(run, words, new_name=asked.if_changed == NEW_NAME)
        found = results(run)
        loras = [("loras", file) for file in (found.whole, *(lora for _, lora in found.checkpoints)) if file]
        _GIVEN.pop(asked, None)  # the newest one is the last
        _GIVEN[asked] = (*loras, *([("model_patches", found.projector)] if found.projector else []))
        return _output(run, found, training_set, told, time.monotonic() - began)


def _output(run: Path, found: Results, made: TrainingSet, told: list[str], seconds: float) -> io.NodeOutput:
    from ..trainer.data.pictures import open_picture  # see above
    from .training.summary import sample_sheets, table

    images, labels, shown = [], [], []
    for step, path in sample_sheets(run):
        try:
            images.append(image_from_pil(open_picture(path, otherwise="delete it")))
        except UserError as error:  # a sheet of samples is a by-product
            told = [*told, f"the samples of step {step} are left out: {error}"]
            continue
        labels.append(f"step {step}")
        shown.append(saved_result(path))
    return io.NodeOutput(
        found.lora or NOTHING_TO_SHOW,
        found.whole or NOTHING_TO_SHOW,
        found.projector or NOTHING_TO_SHOW,
        [name for _, name in found.checkpoints] or [NOTHING_TO_SHOW],
        images or [NOTHING_TO_SHOW],
        labels or [NOTHING_TO_SHOW],
        table(run, made, found, seconds, told),
        ui=ui.SavedImages(shown),
    )
