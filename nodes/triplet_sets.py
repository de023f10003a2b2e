"""The nodes that save triplets to a set, for training, and read them again."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfy_api.latest import io, ui
from torch import Tensor

from ..uso_model.errors import UserError
from ..uso_model.untrusted import quoted
from .graph.convert import image_from_pil
from .graph.left_out import LEFT_OUT, NOTHING_TO_SHOW, needed
from .graph.model_checks import check_given
from .graph.node_text import show_on_node
from .graph.pictures import one_batch
from .graph.pil_pictures import pil_pictures
from .graph.saved import saved_result
from .graph.set_folders import SETS, all_manifests, found_manifest, set_folder, set_manifest
from .graph.widgets import checked_widgets
from .sockets import schema

if TYPE_CHECKING:
    from ..trainer.curate.triplet_set import TripletSet

__all__ = ["LoadTriplet", "SaveTriplet"]

logger = logging.getLogger(__name__)

NAME = "my set"
LAYOUTS = ("shifted", "preserved")
_FARTHEST = 1_000_000_000


class SaveTriplet(io.ComfyNode):
    """Add a target and its references to a set."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="USO_SaveTriplet",
            display_name="USO Save Triplet",
            description=f"Adds a picture and its references to a set in output/{SETS}, which uso check and uso train "
            "read as it is. A triplet that is there already is not added again.",
            search_aliases=["save triplet", "dataset", "training set", "curate", "train lora", "save image", "uso"],
            is_output_node=True,
            inputs=[
                needed(
                    io.Image,
                    "target",
                    tooltip="Picture to learn. Each picture of a batch becomes a triplet with the same references.",
                ),
                io.Image.Input(
                    "style", optional=True, tooltip="Style picture; a batch counts as several styles of the triplet."
                ),
                io.Image.Input(
                    "content",
                    optional=True,
                    tooltip="Subject picture; a batch counts as several subjects of the triplet.",
                ),
                io.Image.Input("style_2", optional=True, tooltip="More style pictures, of another size."),
                io.Image.Input("content_2", optional=True, tooltip="More subject pictures, of another size."),
                io.String.Input(
                    "prompt",
                    optional=True,
                    default="",
                    multiline=True,
                    tooltip="Caption of the target; usually empty where the layout is preserved.",
                ),
                io.Combo.Input(
                    "layout",
                    optional=True,
                    options=list(LAYOUTS),
                    default=LAYOUTS[0],
                    tooltip="preserved: the target shows the subject where the subject picture has it. shifted: in "
                    "another place or pose.",
                ),
                io.String.Input(
                    "set_name",
                    optional=True,
                    default=NAME,
                    tooltip=f"Name of the set, a folder in output/{SETS}; sub-folders may stand before it: ink/cats.",
                ),
            ],
            outputs=[
                io.String.Output(display_name="set_name", tooltip="Name of the set, for USO Load Triplet."),
                io.Int.Output(display_name="count", tooltip="Number of triplets in the set."),
                io.String.Output(display_name="folder", tooltip="Folder of the set, for uso train data=FOLDER."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, set_name: str | None = NAME, **others: Any) -> str:
        """Return what differs each time as long as the set is not there, so that the same graph fills it again."""
        return "" if set_name is None or _found_in(set_name) is not None else str(time.time_ns())

    @classmethod
    @checked_widgets
    def execute(
        cls,
        target: Tensor = LEFT_OUT,
        style: Tensor | None = None,
        content: Tensor | None = None,
        style_2: Tensor | None = None,
        content_2: Tensor | None = None,
        prompt: str = "",
        layout: Any = LAYOUTS[0],
        set_name: str = NAME,
    ) -> io.NodeOutput:
        """Add the triplets, show them, and return the set's name, size and folder."""
        from ..trainer.curate.triplet_set import Triplet  # not above: ComfyUI loads the pack without the trainer

        folder = set_folder(set_name)
        if target is LEFT_OUT:
            logger.warning("USO Save Triplet saves nothing: no target comes in.")
            show_on_node("Nothing was saved: no target came in.")
            return io.NodeOutput(NOTHING_TO_SHOW, NOTHING_TO_SHOW, NOTHING_TO_SHOW)
        check_given(target, "target", "a picture to learn: connect what draws it")
        styles, contents = pil_pictures("style", style, style_2), pil_pictures("content", content, content_2)
        if not styles and not contents:
            raise UserError(
                "Got a target without references, expected a style or a content picture: connect what it was made of."
            )
        triplets = [Triplet(one, styles, contents, prompt, layout) for one in pil_pictures("target", target)]
        added = _opened(folder).add(triplets)
        said = f"{added.new} added" if added.new else "There already"
        show_on_node(f"{said}; {added.total} in {quoted(set_name)}")
        shown = dict.fromkeys(path for row in added.rows for path in row.pictures)
        return io.NodeOutput(
            set_name, added.total, str(folder), ui=ui.SavedImages([saved_result(path) for path in shown])
        )


class LoadTriplet(io.ComfyNode):
    """Read a triplet of a set."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="USO_LoadTriplet",
            display_name="USO Load Triplet",
            description=f"Reads a triplet of a set in output/{SETS}, or of any folder with a manifest.jsonl under "
            "ComfyUI's output or input: its target, references and prompt.",
            search_aliases=["load triplet", "dataset", "training set", "browse set", "load image", "manifest", "uso"],
            inputs=[
                io.String.Input(
                    "set_name",
                    optional=True,
                    default=NAME,
                    tooltip=f"Name of a set in output/{SETS}, or path of a folder under output or input.",
                ),
                io.Int.Input(
                    "index",
                    optional=True,
                    default=0,
                    min=-_FARTHEST,
                    max=_FARTHEST,
                    control_after_generate=True,
                    tooltip="Number of the triplet, counted from 0; -1 is the last one. Counts only what fits where.",
                ),
                io.String.Input(
                    "where",
                    optional=True,
                    default="",
                    tooltip="Condition on scores, layout, split, prompt, id, weight, styles or contents, such as "
                    "csd>=.5 and layout='shifted'. Empty: all triplets.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="target", tooltip="The picture to learn."),
                io.Image.Output(
                    display_name="style",
                    tooltip="The style pictures as one batch; those of another size are fitted to the first one's. "
                    "Where there is none, what it goes to does not run.",
                ),
                io.Image.Output(display_name="content", tooltip="The subject pictures, likewise."),
                io.String.Output(display_name="prompt", tooltip="Caption of the target."),
                io.String.Output(display_name="layout", tooltip="preserved or shifted."),
                io.String.Output(display_name="id", tooltip="Name of the triplet in the manifest."),
                io.Int.Output(display_name="count", tooltip="Number of triplets that fit where."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, set_name: str | None = NAME, **others: Any) -> list[tuple[str, int, int]]:
        """Return what changes when the set grows; a name that comes by a link may be any set's."""
        paths = all_manifests() if set_name is None else [_found_in(set_name)]
        return [(str(path), (status := path.stat()).st_mtime_ns, status.st_size) for path in paths if path]

    @classmethod
    @checked_widgets
    def execute(cls, set_name: str = NAME, index: int = 0, where: str = "") -> io.NodeOutput:
        """Return pictures, texts and the number of triplets to choose from."""
        from ..trainer.curate.triplet_set import rows_where  # not above: see SaveTriplet
        from ..trainer.data.manifest import read_manifest

        every = read_manifest(set_manifest(set_name), split=None)
        rows = rows_where(every, where) if where.strip() else every
        if not rows:
            raise UserError(
                f"Got where = {quoted(where)!r}, which holds of none of the {len(every)} triplets in "
                f"{quoted(set_name)}, expected a condition that some fit: change it."
            )
        if not -len(rows) <= index < len(rows):
            raise UserError(
                f"Got index = {index}, expected a number from 0 to {len(rows) - 1}, or from -{len(rows)} to -1 from "
                f"the end: {quoted(set_name)} has {len(rows)} triplets{' that fit where' if where.strip() else ''}."
            )
        row = rows[index]
        show_on_node(f"Number {index % len(rows)} of {len(rows)}: {row.layout}, {quoted(row.prompt) or 'no prompt'}")
        pictures = (_batch([row.target]), _batch(row.style), _batch(row.contents))
        return io.NodeOutput(*pictures, row.prompt, row.layout, row.id, len(rows))


@functools.lru_cache(maxsize=256)
def _opened(folder: Path) -> TripletSet:
    """Return the set of a folder, the same one each time: it has a journal, which would otherwise be a new file."""
    from ..trainer.curate.triplet_set import TripletSet  # not above: see SaveTriplet

    return TripletSet(folder)


def _found_in(set_name: str) -> Path | None:
    """Return the manifest of a set; None also for a name that is none, about which `execute` has a sentence."""
    try:
        return found_manifest(set_name)
    except UserError:
        return None


def _batch(paths: Sequence[Path]) -> Any:
    from ..trainer.data.pictures import open_picture  # not above: see SaveTriplet

    return one_batch([image_from_pil(open_picture(path)) for path in paths]) if paths else NOTHING_TO_SHOW
