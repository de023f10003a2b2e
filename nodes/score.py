"""The node that scores pictures by their references, and sorts them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from comfy_api.latest import io

from .graph.folders import BUNDLED
from .graph.left_out import LEFT_OUT, NOTHING_TO_SHOW, needed
from .graph.model_checks import check_given
from .graph.node_text import show_on_node
from .graph.pictures import one_batch
from .graph.score_judges import Column, absent_judge, judge_choices, judge_files, judge_of
from .graph.score_table import counted, ordered, short_table, table
from .graph.scoring import NO_SCORE, Scored, by_pairs, by_pictures, by_words, flat_places, given, scored_pictures
from .graph.widgets import checked_widgets
from .sockets import schema

__all__ = ["Score"]

ROLES: tuple[Literal["style", "subject"], ...] = ("style", "subject")
COLUMNS: tuple[Column, ...] = (*ROLES, "prompt")
STROKES, UNSORTED = "strokes", "none"
WITHOUT_A_NETWORK = (
    "strokes: how edges are drawn and surfaces shaded, compared without a network; colours do not count.",
    "layout: correlation of brightness with the style image; high where its layout was copied.",
)


class Score(io.ComfyNode):
    """Score pictures by their references, and sort them."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node."""
        return schema(
            node_id="USO_Score",
            display_name="USO Score",
            description="Scores pictures by their likeness to a style picture, to a subject picture and to a prompt, "
            "and sorts them. Takes a whole list, such as the pictures of an XY grid, at once. Runs without a download.",
            search_aliases=[
                "score",
                "sort images",
                "rank images",
                "best of",
                "similarity",
                "clip score",
                "xy plot",
                "evaluate",
                "metric",
                "uso",
            ],
            is_input_list=True,
            is_output_node=True,
            inputs=[
                needed(io.Image, "images", tooltip="Pictures to score: a batch, or a list of pictures or of batches."),
                io.Image.Input(
                    "style_image",
                    optional=True,
                    tooltip="Style picture. A batch counts as several pictures of one style: scores are averaged. "
                    "Of a list, each entry belongs to the entry of images with the same number.",
                ),
                io.Image.Input(
                    "subject_image",
                    optional=True,
                    tooltip="Subject picture; batches and lists as in style_image.",
                ),
                io.String.Input(
                    "prompt", optional=True, default="", tooltip="What the pictures should show, in words."
                ),
                *(
                    io.Combo.Input(
                        f"{column}_judge",
                        optional=True,
                        options=judge_choices(),
                        default=BUNDLED,
                        tooltip=f"Network that compares {what}. bundled: {own}; auto: {usual}, found in models/judges "
                        "or models/clip_vision; or a file from there.",
                    )
                    for column, what, own, usual in (
                        ("style", "styles", "USO-mini's, which knows USO-mini's pictures", "CSD or OneIG's"),
                        ("subject", "subjects", "USO-mini's, which knows USO-mini's pictures", "DINO or CLIP"),
                        ("prompt", "a picture with words", "none, there is no such network in the pack", "CLIP"),
                    )
                ),
                io.Combo.Input(
                    "sort_by",
                    optional=True,
                    options=[*COLUMNS, STROKES, UNSORTED],
                    default=COLUMNS[0],
                    tooltip="Score that sorts: style, subject or prompt; strokes compares style without a network; "
                    "none keeps the order.",
                ),
                io.Boolean.Input(
                    "best_first",
                    optional=True,
                    default=True,
                    tooltip="Off: the worst first. What has no score is last.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="sorted",
                    tooltip="The pictures in the new order, as one batch; pictures of another size are fitted to the "
                    "first one's.",
                ),
                io.Float.Output(
                    display_name="scores",
                    is_output_list=True,
                    tooltip="Score of each picture in the new order, as a list.",
                ),
                io.Int.Output(
                    display_name="order",
                    is_output_list=True,
                    tooltip="Number of each picture as it came in, counted from 0, in the new order, as a list.",
                ),
                io.String.Output(display_name="table", tooltip="All scores, and what has to be known about them."),
            ],
        )

    @classmethod
    def validate_inputs(
        cls, style_judge: Any = None, subject_judge: Any = None, prompt_judge: Any = None
    ) -> bool | str:
        """Return whether the chosen files are there, in place of ComfyUI's look at a list that may be older.

        A name that comes by a link is not known yet.
        """
        chosen = zip(COLUMNS, (style_judge, subject_judge, prompt_judge), strict=True)
        absent = (absent_judge(str(name), column) for column, names in chosen for name in given(names))
        return next((sentence for sentence in absent if sentence), True)

    @classmethod
    def fingerprint_inputs(
        cls, style_judge: Any = BUNDLED, subject_judge: Any = BUNDLED, prompt_judge: Any = BUNDLED, **others: Any
    ) -> list[tuple[str, int, int]]:
        """Return what changes when the files of the judges do."""
        return judge_files([name for names in (style_judge, subject_judge, prompt_judge) for name in given(names)])

    @classmethod
    def execute(
        cls,
        images: Any = LEFT_OUT,
        style_image: Any = None,
        subject_image: Any = None,
        prompt: Any = "",
        style_judge: Any = BUNDLED,
        subject_judge: Any = BUNDLED,
        prompt_judge: Any = BUNDLED,
        sort_by: Any = COLUMNS[0],
        best_first: Any = True,
    ) -> io.NodeOutput:
        """Return the sorted pictures, their scores, their numbers and the table."""
        entries = images if isinstance(images, list) else [images]
        if entries and all(entry is None for entry in entries):
            check_given(None, "images", "pictures: connect what draws them")
        references = dict(zip(ROLES, (given(style_image), given(subject_image)), strict=True))
        chosen = zip(COLUMNS, (style_judge, subject_judge, prompt_judge), strict=True)
        judges = {column: str(_first(choice, BUNDLED)) for column, choice in chosen}
        words = ["" if entry is None else str(entry) for entry in given(prompt)]
        by = _first(sort_by, COLUMNS[0])
        return cls._scored(given(images), references, words, judges, sort_by=by, best_first=_first(best_first, True))

    @classmethod
    @checked_widgets
    def _scored(
        cls,
        images: list[Any],
        references: Mapping[str, list[Any]],
        prompt: list[str],
        judges: Mapping[Column, str],
        sort_by: str,
        best_first: bool,
    ) -> io.NodeOutput:
        pictures = scored_pictures(images, "scored")
        if not pictures:
            show_on_node("No pictures came in.")
            return io.NodeOutput(NOTHING_TO_SHOW, [NOTHING_TO_SHOW], [NOTHING_TO_SHOW], "No pictures came in.")
        columns: dict[str, list[float]] = {}
        notes = []
        for role in ROLES:
            if references[role]:
                likeness = judge_of(role, judges[role])
                columns[role], said = by_pictures(pictures, references[role], likeness, role)
                notes += [f"{role}: {likeness.told}.", *said]
        if any(words.strip() for words in prompt):
            if judges["prompt"] == BUNDLED:
                notes.append("prompt: no judge that reads words comes with the pack; choose another prompt_judge.")
            else:
                likeness = judge_of("prompt", judges["prompt"])
                columns["prompt"] = by_words(pictures, prompt, likeness)
                notes.append(f"prompt: {likeness.told}.")
        notes = [*_without_score(pictures), *notes]
        shown = list(columns)
        if references["style"]:
            # Not above: the judges' networks are slow to import.
            from ..uso_model.judging.likeness import layout_likeness, style_likeness

            columns[STROKES] = by_pairs(pictures, references["style"], style_likeness)
            columns["layout"] = by_pairs(pictures, references["style"], layout_likeness)
            shown += [STROKES] if sort_by == STROKES else []
        values = _sorting(columns, sort_by, len(pictures))
        order = list(range(len(pictures))) if sort_by not in columns else ordered(values, best_first)
        if not columns:
            notes.append("Nothing to score by: connect style_image, subject_image or prompt.")
        elif sort_by != UNSORTED and sort_by not in columns:
            notes.append(f"Not sorted: there is no score by {sort_by}.")
        show_on_node(short_table({name: columns[name] for name in shown}, order, notes))
        text = table(columns, order, [*notes, *(WITHOUT_A_NETWORK if references["style"] else ())])
        kept = [one for one in (pictures[number].image for number in order) if one is not None]
        return io.NodeOutput(
            one_batch(kept) if kept else NOTHING_TO_SHOW, [values[number] for number in order], order, text
        )


def _first(entries: Any, default: Any) -> Any:
    """Return the value of a widget, which comes as a list of one."""
    return next(iter(entries), default) if isinstance(entries, list) else entries


def _sorting(columns: dict[str, list[float]], sort_by: str, count: int) -> list[float]:
    """Return the scores of the chosen column, of the first one where none is chosen, NaN where there is none."""
    chosen = next(iter(columns), UNSORTED) if sort_by == UNSORTED else sort_by
    return columns.get(chosen, [NO_SCORE] * count)


def _without_score(pictures: list[Scored]) -> list[str]:
    """Return sentences about pictures that cannot be scored, and about those of one colour."""
    said = []
    for fault in dict.fromkeys(one.fault for one in pictures if one.fault):
        places = [place for place, one in enumerate(pictures) if one.fault == fault]
        said.append(f"{counted(places, len(pictures), 'without a score')} {fault}")
    if flat := flat_places(pictures):
        said.append(counted(flat, len(pictures), "of one colour, whose scores say little"))
    return said
