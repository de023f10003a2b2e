"""Several plans in one work folder, and interruptions anywhere: the real bookkeeping, with quick trainings.

The world is drawn and the folders, marks, checkpoints and records are real. A training is one that copies what it reads
into what it writes, so that a file of another plan would show.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from comfyui_uso.mini.experiment import folders
from comfyui_uso.mini.experiment import reproduce as module
from comfyui_uso.mini.experiment.folders import WorkFolders
from comfyui_uso.mini.experiment.plan import ExperimentPlan
from comfyui_uso.mini.experiment.reproduce import reproduce
from comfyui_uso.mini.experiment.results import CURVES, RESULTS, append_line, read_lines
from comfyui_uso.mini.stage_names import NETWORK_STAGES
from comfyui_uso.mini.world import dataset, triplets
from comfyui_uso.trainer.data import manifest
from comfyui_uso.trainer.engine import checkpoint
from comfyui_uso.trainer.export.names import OWN, PROJECTOR, file_name, meant
from comfyui_uso.trainer.reading import recipe_files
from PIL import Image

SETTINGS = {
    **{stage: {"loop.steps": 1} for stage in ("autoencoder", "encoders", "descriptor", "vision", "decoder", "base")},
    **{stage: {"loop.steps": 1} for stage in ("style", "copy", "triplet")},
    "judges": {"style.steps": 1, "identity.steps": 1},
    "reward": {"loop.steps": 1, "loop.keep_every": 1},
}


def plan(descriptor_steps: int = 1, **changes: Any) -> ExperimentPlan:
    settings = {**SETTINGS, "descriptor": {"loop.steps": descriptor_steps}}
    sizes = {"pictures": 2, "triplets": 4, "cases": 4, "sample_steps": 1, "cfg": 2.0}
    return ExperimentPlan(settings=settings, rows=["full"], seeds=[1], **(sizes | changes))


A, B, C = plan(), plan(pictures=3, triplets=5), plan(descriptor_steps=2)


class Work:
    """Trainings that take no time, and a count of the files that are written, by whom ever."""

    def __init__(self) -> None:
        self.files = 0
        self.fail_at: int | None = None
        self.torn = False
        self.trained: list[str] = []
        self.stop: str | None = None

    def wrote(self, path: Path, atomic: bool = False) -> None:
        """Count a file; at the one that was asked for stop as Ctrl-C does, with half of it on the disk if `torn`."""
        self.files += 1
        if self.files == self.fail_at:
            if self.torn and not atomic:
                path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            raise KeyboardInterrupt

    def write(self, path: Path, *parts: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(hashlib.sha256(b"".join(parts)).hexdigest().encode())
        self.wrote(path)

    def train_stage(self, stage: str, settings: Any) -> None:
        self.trained.append(stage)
        loops = [settings.style, settings.identity] if stage == "judges" else [settings.loop]
        done = 0 if stage == self.stop else loops[0].steps
        for loop in loops:
            loop.run_dir.mkdir(parents=True, exist_ok=True)
            if done and checkpoint.latest(loop.run_dir) is None:
                checkpoint.save(loop.run_dir, done, {"weight": torch.zeros(1)}, None, {})
                self.wrote(loop.run_dir / f"checkpoint-{done:07d}" / "COMPLETE", atomic=True)
        if stage == "judges":
            self.write(settings.out / "judges.txt", b"judges")
        elif stage in NETWORK_STAGES:
            pictures = [path.read_bytes() for folder in settings.data for path in sorted(folder.glob("*.jsonl"))]
            # As the trainings do, one stage reads the files of those before it, and a repeated one its own.
            before = NETWORK_STAGES[: NETWORK_STAGES.index(stage)]
            read = [(settings.out / f"{name}.txt").read_bytes() for name in before]
            self.write(
                settings.out / f"{stage}.txt", stage.encode(), str(settings.loop.steps).encode(), *pictures, *read
            )

    def export_run(self, run_dir: Path, step: int | None = None, out: Path | None = None) -> None:
        """Write the files of a run, made of what its settings name."""
        config = self.configs[run_dir]
        encoders = [path.read_bytes() for path in sorted(config.models.weights.glob("*.txt"))]
        rows = [path.read_bytes() for path in config.data.manifests]
        starts = {name: getattr(config.models, name) for name in ("transformer", "projector", "lora")}
        before = [meant(path, name).read_bytes() for name, path in starts.items() if path is not None]
        for part in {"base": [OWN], "style": [PROJECTOR]}.get(config.stage, [OWN, PROJECTOR]):
            name = file_name(run_dir.name, step or config.loop.steps, part)
            self.write((out or config.folder) / name, part.encode(), *encoders, *rows, *before)

    def measure(self, files: Path, judges: Any, of: Any, modes: Any = ("joint",)) -> dict[str, dict[str, float]]:
        """Return numbers that no other files would give."""
        seen = b"".join([*(path.read_bytes() for path in sorted(files.glob("*.safetensors"))), *judges])
        number = int(hashlib.sha256(seen).hexdigest()[:8], 16) / 2**32
        return {mode: {"style": number} for mode in modes}


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    work = Work()
    work.configs = {}

    def remember(make: Callable[..., Any]) -> Callable[..., Any]:
        def made(*args: Any) -> Any:
            found = make(*args)
            for config in found.values() if isinstance(found, dict) else [found]:
                if hasattr(config, "loop"):
                    work.configs[config.loop.run_dir] = config
            return found

        return made

    def counted(write: Callable[..., Any], place: int, atomic: bool = False) -> Callable[..., Any]:
        def wrote(*args: Any, **named: Any) -> Any:
            found = write(*args, **named)
            work.wrote(Path(args[place]), atomic)
            return found

        return wrote

    monkeypatch.setattr(module, "shared_settings", remember(module.shared_settings))
    monkeypatch.setattr(module, "row_stages", remember(module.row_stages))
    monkeypatch.setattr(module, "train_stage", work.train_stage)
    monkeypatch.setattr(module, "export_run", work.export_run)
    monkeypatch.setattr(
        module,
        "read_judges",
        lambda judges, weights: [(judges / "judges.txt").read_bytes(), (weights / "descriptor.txt").read_bytes()],
    )
    monkeypatch.setattr(module, "drawing", lambda config, files, steps, cfg: files)
    monkeypatch.setattr(module, "measure", work.measure)
    monkeypatch.setattr(module, "cases", lambda count, seed: [])
    monkeypatch.setattr(module, "time_spent", lambda run_dir: 0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: 0.0))
    monkeypatch.setattr(module, "append_line", counted(append_line, 0, atomic=True))
    monkeypatch.setattr(manifest, "atomic_write", counted(manifest.atomic_write, 0, atomic=True))
    monkeypatch.setattr(Image.Image, "save", counted(Image.Image.save, 1))
    yield work


def tree(root: Path, under: str = "*") -> dict[str, str]:
    """Return the bytes of all files as hashes; an optimizer's file holds the time of writing."""
    files = [path for top in root.glob(under) for path in ([top] if top.is_file() else top.rglob("*"))]
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(files)
        if path.is_file() and path.name not in ("optimizer.pt", "COMPLETE")
    }


def test_plans_in_one_folder_keep_to_themselves(work: Work, tmp_path: Path) -> None:
    alone = {}
    for name, own in {"A": A, "B": B, "C": C}.items():
        (alone[name],) = read_lines(reproduce(own, tmp_path / f"only-{name}"))
    root = tmp_path / "together"
    results = reproduce(A, root)
    of_a = tree(root, "data-*") | tree(root, "weights-*") | tree(root, "runs")
    for own in (B, A, C, A):
        reproduce(own, root)
    assert read_lines(results) == [alone["A"], alone["B"], alone["C"]]
    assert len({record["numbers"]["joint"]["style"] for record in alone.values()}) == 3
    assert tree(root).items() >= of_a.items(), "the first plan's files were written over"
    for own, count in ((A, 2), (B, 3), (C, 2)):
        for folder in WorkFolders(root, own).data:
            assert len((folder / "captions.jsonl").read_text(encoding="utf-8").splitlines()) == count
    assert WorkFolders(root, A).data == WorkFolders(root, C).data, "what both have in common is made once"
    points = read_lines(root / CURVES)
    assert len(points) == len({(point["plan"], point["run"], point["step"]) for point in points}) == 3


def test_another_seed_is_measured_with_the_own_encoders(work: Work, tmp_path: Path) -> None:
    for own in (A, C):
        reproduce(own, tmp_path / "together")
    later = read_lines(reproduce(A, tmp_path / "together", seeds=[1, 2]))[-1]
    assert later == read_lines(reproduce(A, tmp_path / "alone", seeds=[2]))[-1]


def test_records_without_a_hash_are_kept_and_count_for_no_plan(work: Work, tmp_path: Path) -> None:
    old = {"row": "full", "seed": 1, "numbers": {"joint": {"style": 0.5}}}
    append_line(tmp_path / RESULTS, old)
    for _ in "ab":
        reproduce(A, tmp_path)
    first, *others = read_lines(tmp_path / RESULTS)
    assert first == old and [record["row"] for record in others] == ["full"] and "plan" in others[0]


def test_a_row_is_measured_again_where_the_measuring_has_changed(work: Work, tmp_path: Path) -> None:
    reproduce(A, tmp_path)
    trained = list(work.trained)
    records = read_lines(reproduce(plan(cases=6), tmp_path))
    assert work.trained == trained, "what is trained stays"
    assert [record["cases"] for record in records] == [4, 6] and records[0]["plan"] != records[1]["plan"]
    # Which rows and seeds are run decides nothing about any one of them.
    assert len(read_lines(reproduce(A.model_copy(update={"seeds": [1, 2]}), tmp_path))) == 3


@pytest.mark.long
@pytest.mark.parametrize("torn", [False, True])
def test_an_interruption_at_any_file_changes_nothing(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torn: bool
) -> None:
    def render(scene: Any, style: Any = None) -> np.ndarray:
        return np.random.default_rng(scene.seed).integers(0, 256, (8, 8, 3), np.uint8)

    for place in (dataset, triplets):
        monkeypatch.setattr(place, "render_photo", render)
        monkeypatch.setattr(place, "render_style", render)
    for place in (folders, recipe_files):
        monkeypatch.setattr(place, "read_yaml", cache(place.read_yaml))
    reproduce(A, tmp_path / "whole")
    expected, count, everything = tree(tmp_path / "whole"), work.files, len(work.trained)
    assert count > 60
    for number in range(1 + torn, count + 1, 2):  # the other half is the other case
        root = tmp_path / f"{number}"
        work.files, work.fail_at, work.torn, work.trained = 0, number, torn, []
        with pytest.raises(KeyboardInterrupt):
            reproduce(A, root)
        work.fail_at = None
        reproduce(A, root)
        assert tree(root) == expected, f"interrupted at file {number}"
        assert len(work.trained) <= everything + 1, "more was repeated than the step that was interrupted"
        work.trained.clear()
        reproduce(A, root)
        assert not work.trained


@pytest.mark.parametrize("stage", ["vision", "judges", "base", "triplet"])
def test_a_stopped_training_is_no_finished_one(work: Work, tmp_path: Path, stage: str) -> None:
    """Ctrl-C ends a training early without an error; nothing may be built on what it has written."""
    reproduce(A, tmp_path / "whole")
    work.stop, work.trained = stage, []
    with pytest.raises(KeyboardInterrupt, match="was stopped at step 0; the same command continues it"):
        reproduce(A, tmp_path / "work")
    assert work.trained[-1] == stage
    work.stop = None
    reproduce(A, tmp_path / "work")
    assert tree(tmp_path / "work") == tree(tmp_path / "whole")


def test_records_name_the_run_that_they_were_measured_on(work: Work, tmp_path: Path) -> None:
    (record,) = read_lines(reproduce(A, tmp_path))
    assert (tmp_path / "runs" / record["run"] / "trained.done").is_file()
    assert json.dumps(record["numbers"])
