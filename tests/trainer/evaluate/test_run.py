"""A run draws every picture of its bench once, goes on where it stopped, and mixes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from comfyui_uso.cli import main
from comfyui_uso.trainer.evaluate.bench import read_bench, seed_of
from comfyui_uso.trainer.evaluate.run import batches, draw_bench, is_whole
from comfyui_uso.trainer.evaluate.shards import shard_from
from comfyui_uso.uso_model.errors import UserError
from filelock import FileLock
from PIL import Image

from .cheap import Cheap

Write = Callable[..., Path]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "pictures").iterdir()}


def test_every_picture_is_drawn_once_and_kept(write_small_bench: Write, tmp_path: Path) -> None:
    bench, run = write_small_bench(), tmp_path / "run"
    done = draw_bench(bench, run, Cheap())
    first = files(run)
    assert (done.pictures, done.drawn) == (12, 12) and len(first) == 12
    assert set(first) == {f"row-{row:03d}_{sample}.png" for row in range(6) for sample in range(2)}
    told = json.loads((run / "run.json").read_text())
    assert told["bench"] == read_bench(bench)[2] and told["drawer"]["name"] == "cheap"
    again = Cheap()
    done = draw_bench(bench, run, again)
    assert (done.pictures, done.drawn) == (12, 0) and again.asked == [] and files(run) == first


def test_what_is_missing_or_damaged_is_drawn_again_as_it_was(write_small_bench: Write, tmp_path: Path) -> None:
    bench, run = write_small_bench(), tmp_path / "run"
    draw_bench(bench, run, Cheap())
    first = files(run)
    pictures = run / "pictures"
    (pictures / "row-000_1.png").unlink()
    data = first["row-003_0.png"]
    (pictures / "row-003_0.png").write_bytes(data[: len(data) // 2])
    turned = bytearray(first["row-005_1.png"])
    turned[len(turned) // 2] ^= 1
    (pictures / "row-005_1.png").write_bytes(bytes(turned))
    again = Cheap()
    done = draw_bench(bench, run, again)
    assert files(run) == first and (done.drawn, done.damaged, done.pictures) == (3, 2, 12)
    assert [len(batch) for batch in again.asked] == [4, 4, 4]


def test_shards_make_what_one_run_makes(write_small_bench: Write, tmp_path: Path) -> None:
    bench = write_small_bench(rows=7, samples=3)
    draw_bench(bench, tmp_path / "whole", Cheap())
    for number in (1, 2, 3):
        done = draw_bench(bench, tmp_path / "parts", Cheap(), shard_from(f"{number}/3"))
        assert done.pictures == (8, 8, 5)[number - 1]
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


def test_a_limited_run_is_a_part_of_the_whole(write_small_bench: Write, tmp_path: Path) -> None:
    bench, run = write_small_bench(), tmp_path / "run"
    assert draw_bench(bench, run, Cheap(), limit=1).drawn == 4  # rows 0 and 1, a batch
    part = files(run)
    draw_bench(bench, run, Cheap())
    assert part.items() <= files(run).items() and len(files(run)) == 12


def test_batches_keep_groups_apart_and_seeds_depend_on_the_row_alone(write_small_bench: Write) -> None:
    bench, rows, _ = read_bench(write_small_bench(rows=5, samples=1))
    rows = [row.model_copy(update={"group": None if n < 3 else "b"}) for n, row in enumerate(rows)]
    found = batches(bench, rows, 2)
    assert [[job.row.id[-1] for job in batch] for batch in found] == [["0", "1"], ["2"], ["3", "4"]]
    assert found[1][0].seed == seed_of(bench, rows[2], 0) < 2**53
    assert len({job.seed for batch in found for job in batch}) == 5


@pytest.mark.parametrize(
    ("bench", "drawer", "told"),
    [
        ("other", Cheap(), "bench was"),
        ("bench", Cheap(side=16), "drawer.settings.side was 32 and is now 16"),
        ("bench", Cheap(name="rich"), "drawer.name was cheap and is now rich"),
    ],
)
def test_another_bench_or_model_is_refused(
    bench: str, drawer: Cheap, told: str, write_small_bench: Write, tmp_path: Path
) -> None:
    write_small_bench(name="other", guidance=3.0)
    draw_bench(write_small_bench(), tmp_path / "run", Cheap(), limit=1)
    first = files(tmp_path / "run")
    with pytest.raises(UserError, match=f"{told}.*use another folder"):
        draw_bench(tmp_path / bench, tmp_path / "run", drawer)
    assert files(tmp_path / "run") == first and drawer.asked == []


def test_strange_pictures_and_damaged_runs_are_refused(write_small_bench: Write, tmp_path: Path) -> None:
    bench, run = write_small_bench(), tmp_path / "run"
    (run / "pictures").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(run / "pictures/row-000_0.png")
    with pytest.raises(UserError, match=r"has pictures and no run\.json"):
        draw_bench(bench, run, Cheap())
    for text in ("{", "[]", '{"format": "else"}', '{"id": "a", "place": "b"}'):
        (run / "run.json").write_text(text)
        with pytest.raises(UserError, match=r"run\.json"):
            draw_bench(bench, run, Cheap())


def test_a_changed_reference_and_a_second_process_are_said(write_small_bench: Write, tmp_path: Path) -> None:
    bench, run = write_small_bench(), tmp_path / "run"
    run.mkdir()
    with FileLock(run / ".lock"), pytest.raises(UserError, match=r"is being drawn in .*another folder"):
        draw_bench(bench, run, Cheap())
    for held, shard in ((".lock", (1, 2)), (".lock-2-of-2", (1, 1))):
        with FileLock(run / held), pytest.raises(UserError, match=r"is being drawn in .*another folder"):
            draw_bench(bench, run, Cheap(), shard)
    with FileLock(run / ".lock-2-of-2"):
        assert draw_bench(bench, tmp_path / "run", Cheap(), (1, 2)).drawn == 8
    reference = next(iter((bench / "pictures").iterdir()))
    reference.write_bytes(b"else")
    with pytest.raises(UserError, match="holds something else than its name says; build the bench again"):
        draw_bench(bench, run, Cheap())
    reference.unlink()
    with pytest.raises(UserError, match=r"is not there; build the bench again"):
        draw_bench(bench, run, Cheap())


def test_shards_of_other_batches_are_refused_and_old_runs_go_on(write_small_bench: Write, tmp_path: Path) -> None:
    bench, run = write_small_bench(), tmp_path / "run"
    draw_bench(bench, run, Cheap(), (1, 2))
    other = Cheap()
    other.batch = 3
    with pytest.raises(UserError, match="batch was 4 and is now 3"):
        draw_bench(bench, run, other, (2, 2))
    began = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({k: v for k, v in began.items() if k not in ("batch", "noise")}))
    assert draw_bench(bench, run, Cheap(), (2, 2)).drawn == 4


@pytest.mark.parametrize("path", ["../outside.png", "/etc/passwd", "pictures/../a.png", "a.png", "pictures/cat.png"])
def test_a_bench_of_a_stranger_names_no_file_outside(path: str, write_small_bench: Write, tmp_path: Path) -> None:
    bench = write_small_bench()
    header = json.loads((bench / "bench.json").read_text())
    header["pictures"]["cat"]["path"] = path
    (bench / "bench.json").write_text(json.dumps(header))
    with pytest.raises(UserError, match=r"bench\.json cannot be read .*build the bench again"):
        draw_bench(bench, tmp_path / "run", Cheap())


def test_the_command_line(write_small_bench: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench, run = str(write_small_bench()), str(tmp_path / "run")
    drawer = ["--drawer", f"{Cheap.__module__}:cheap_drawer"]
    assert main(["eval", "run", bench, run, *drawer, "--limit", "1"]) == 0
    assert main(["eval", "run", bench, run, *drawer]) == 0
    assert "12 pictures, 8 drawn now" in capsys.readouterr().out
    for wrong, told in (
        (["--drawer", "else"], "expected one of flux, comfy, or an import path"),
        (["--drawer", "nowhere.at_all:it"], "there is no module nowhere"),
        (["--drawer", f"{__name__}:files"], "correct"),
        (["--drawer", "os:getcwd"], "os:getcwd is no function of one argument"),
        (["--shard", "3/2"], "expected I/N"),
        (["--limit", "0"], "expected 1 or more"),
    ):
        assert main(["eval", "run", bench, run, *wrong]) in (2, 3)
        assert told in capsys.readouterr().err or told == "correct"


def test_a_picture_is_whole_by_its_sums(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.effect_noise((64, 64), 50).save(path)
    data = path.read_bytes()
    assert is_whole(path)
    for damaged in (b"", data[:8], data[:-1], data[:-12], data[:100], b"text named .png"):
        path.write_bytes(damaged)
        assert not is_whole(path), len(damaged)
    assert not is_whole(tmp_path) and not is_whole(tmp_path / "absent.png")


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked")
def test_ten_kills_change_nothing(write_small_bench: Write, tmp_path: Path) -> None:
    bench = write_small_bench(rows=50, samples=2)
    seen = {}
    for name, kills in (("whole", 0), ("killed", 10)):
        command = [sys.executable, str(Path(__file__).with_name("cheap.py")), str(bench), str(tmp_path / name)]
        done = subprocess.run([*command, str(kills)], capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        seen[name] = json.loads(done.stdout)
    assert len(seen["killed"]) == 10 and seen["killed"][-1] < 100, seen
    killed = files(tmp_path / "killed")
    assert len(killed) == 100 and killed == files(tmp_path / "whole")
