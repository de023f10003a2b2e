"""The node that makes a set for training of pictures."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, get_args

from comfy_api.latest import io, ui

from ..uso_model.errors import UserError
from .graph.convert import image_from_pil
from .graph.left_out import LEFT_OUT
from .graph.node_text import show_on_node
from .graph.pil_pictures import pil_pictures
from .graph.set_folders import SETS, set_manifest
from .graph.widgets import checked_widgets
from .sockets import TrainingSetSocket, schema
from .training.contact_sheet import contact_sheet
from .training.folders import EXAMPLE, NONE, ROOT, picture_folder, picture_folders
from .training.set_names import set_named
from .training.sets import Captions, Kind, Made, Wanted, of_folder, of_images, of_triplets
from .training.standing import made_of, times_lost

__all__ = ["TrainingSetNode"]

KINDS, CAPTIONS = list(get_args(Kind)), list(get_args(Captions))
_SHOWN, _LISTED = 4, 50
"""Sentences on what is wrong under the node, and in the report."""
_LINKED = (None,)
"""What ComfyUI gives `fingerprint_inputs` for an input that comes through a link."""


class TrainingSetNode(io.ComfyNode):
    """Make a set for training of pictures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="USO_TrainingSet",
            display_name="USO Training Set",
            description="Makes a set for USO Train of pictures that share a style or a subject: of a folder, of an "
            f"IMAGE, or of a set of triplets. Each is learnt with another one as its reference. Writes to "
            f"output/{ROOT} and leaves your pictures as they are.",
            search_aliases=["training set", "dataset", "train lora", "load image folder", "captions", "uso"],
            is_input_list=True,
            is_output_node=True,
            inputs=[
                io.Combo.Input(
                    "folder",
                    optional=True,
                    options=[NONE, EXAMPLE, *picture_folders()],
                    default=NONE,
                    tooltip="Folder of pictures under ComfyUI's input or output; example: sixteen that come with the "
                    "pack, for USO-mini; none: the pictures come from images or from a set of triplets.",
                ),
                io.Combo.Input(
                    "kind",
                    optional=True,
                    options=KINDS,
                    default=KINDS[0],
                    tooltip="What the pictures share: style, or subject.",
                ),
                io.Combo.Input(
                    "captions",
                    optional=True,
                    options=CAPTIONS,
                    default=CAPTIONS[0],
                    tooltip="files: a .txt beside each picture, and the caption below where there is none; text: the "
                    "caption below for all; none: no captions.",
                ),
                io.String.Input(
                    "caption",
                    optional=True,
                    default="",
                    multiline=True,
                    tooltip="Caption of the pictures; a list of as many texts as images gives each its own.",
                ),
                io.String.Input(
                    "trigger",
                    optional=True,
                    default="",
                    tooltip="Word that stands in every caption: in the place of [trigger], else in front.",
                ),
                io.String.Input(
                    "name",
                    optional=True,
                    default="",
                    tooltip="Name of the set. Empty: made of what is in it, so that other pictures make another set.",
                ),
                io.Boolean.Input(
                    "sub_folders", optional=True, default=False, tooltip="Look into the folders in the folder, too."
                ),
                io.Image.Input(
                    "images",
                    optional=True,
                    tooltip="Pictures of a batch, or of a list of batches of several sizes, in place of a folder.",
                ),
                io.String.Input(
                    "triplets",
                    optional=True,
                    default="",
                    tooltip=f"Name of a set in output/{SETS}, as USO Save Triplet gives it, in place of a folder.",
                ),
            ],
            outputs=[
                TrainingSetSocket.Output(display_name="training_set", tooltip="The set, for USO Train."),
                io.Image.Output(display_name="contact_sheet", tooltip="The pictures with their names and captions."),
                io.String.Output(display_name="report", tooltip="What is in the set, and what is wrong with it."),
            ],
        )

    @classmethod
    def validate_inputs(cls, folder: Any = None) -> bool | str:
        """Return whether the folder is there, in place of ComfyUI's look at a list that may be older."""
        try:
            for choice in _all(folder):
                _ = choice == NONE or picture_folder(choice)
        except UserError as error:
            return str(error)
        return True

    @classmethod
    def fingerprint_inputs(
        cls, folder: Any = None, triplets: Any = None, sub_folders: Any = False, images: Any = None, **others: Any
    ) -> str:
        """Return what changes when the files of a folder or of a set of triplets do, or a set that was made is gone."""
        sources = _state(folder, triplets, sub_folders)
        inputs = {**others, "folder": folder, "triplets": triplets, "sub_folders": sub_folders}
        known: dict[str, Any] = {
            name: _all(value) for name, value in inputs.items() if value is not None and value != _LINKED
        }
        if _LINKED not in (folder, triplets, sub_folders):
            known["sources"] = sources
        return f"{sources} {times_lost(known)}"

    @classmethod
    def execute(
        cls,
        folder: Any = NONE,
        kind: Any = KINDS[0],
        captions: Any = CAPTIONS[0],
        caption: Any = "",
        trigger: Any = "",
        name: Any = "",
        sub_folders: Any = False,
        images: Any = None,
        triplets: Any = "",
    ) -> io.NodeOutput:
        """Return the set, its contact sheet and the report."""
        make = partial(
            cls._made,
            [choice for choice in _all(folder) if choice != NONE],
            [image for image in _all(images) if image is not None and image is not LEFT_OUT],
            [text for text in _all(triplets) if text.strip()],
            kind=_first(kind),
            captions=_first(captions),
            trigger=_first(trigger),
            name=_first(name),
            sub_folders=_first(sub_folders),
            texts=_all(caption) if any(text.strip() for text in _all(caption)) else [],
        )
        given = {"folder": folder, "kind": kind, "captions": captions, "caption": caption, "trigger": trigger}
        given |= {"name": name, "sub_folders": sub_folders, "triplets": triplets}
        inputs = {key: _all(value) for key, value in given.items()}
        made = made_of({**inputs, "sources": _state(folder, triplets, sub_folders)}, make)
        title = f"{made.set.name}: {made.told[0]}"
        sheet = image_from_pil(contact_sheet(title, made.pictures, made.captions))
        show_on_node(_report(made, _SHOWN))
        return io.NodeOutput(made.set, sheet, _report(made, _LISTED), ui=ui.PreviewImage(sheet, cls=cls))

    @classmethod
    @checked_widgets
    def _made(
        cls,
        folders: Sequence[str],
        given: Sequence[Any],
        sets: Sequence[str],
        kind: Any,
        captions: Any,
        trigger: str,
        name: str,
        sub_folders: bool,
        texts: Sequence[str],
    ) -> Made:
        wanted = Wanted(
            kind=kind,
            captions=captions,
            texts=texts,
            trigger=trigger.strip(),
            name=set_named(name),
            sub_folders=bool(sub_folders),
        )
        sources = [part for part, there in (("folder", folders), ("images", given), ("triplets", sets)) if there]
        if len(sources) != 1 or len(folders) > 1 or len(sets) > 1:
            got = f"pictures from {' and from '.join(sources)}" if sources else "no pictures"
            raise UserError(
                f"Got {got}, expected those of one folder, of images or of one set of triplets: choose a folder, or "
                f"connect images or triplets and set folder to {NONE}."
            )
        if len(texts) > 1 and not given:
            raise UserError(
                f"Got {len(texts)} captions for pictures that are files, expected one for all: write each beside its "
                "picture as a .txt, or connect the pictures to images."
            )
        if folders:
            return of_folder(picture_folder(folders[0]), wanted, EXAMPLE if folders[0] == EXAMPLE else "")
        if sets:
            return of_triplets(Path(set_manifest(sets[0])), wanted)
        return of_images(pil_pictures("training", *given), wanted)


def _state(folder: Any, triplets: Any, sub_folders: Any) -> str:
    """Return what changes when a file of the folder or of the set of triplets does."""
    found = hashlib.sha256()
    try:
        paths = [picture_folder(choice) for choice in _all(folder) if choice != NONE]
        paths += [set_manifest(name).parent for name in _all(triplets) if name.strip()]
    except UserError:  # `execute` has a sentence about it
        paths = []
    for path in paths:
        for inner, folders, files in os.walk(path):
            folders[:] = sorted(folders) if any(_all(sub_folders)) else []
            for name in sorted(files):
                try:
                    status = os.stat(os.path.join(inner, name), follow_symlinks=False)
                except OSError:  # it was taken away meanwhile
                    continue
                found.update(f"{inner}/{name} {status.st_size} {status.st_mtime_ns}\0".encode(errors="replace"))
    return found.hexdigest()


def _all(values: Any) -> list[Any]:
    """Return the values of an input, which come as a list; none where nobody sent it, or it is not known yet."""
    return values if isinstance(values, list) else [] if values is None or values == _LINKED else [values]


def _first(values: Any) -> Any:
    return next(iter(_all(values)), "")


def _report(made: Made, most: int) -> str:
    more = [f"And {len(made.wrong) - most} more of this kind."] if len(made.wrong) > most else []
    return "\n".join([*made.told, *made.wrong[:most], *more])
