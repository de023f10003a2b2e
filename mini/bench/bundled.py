"""The whole bench of the bundled network in one go: built, drawn, scored and reported."""

from __future__ import annotations

from pathlib import Path

from ...trainer.evaluate.bench import HEADER, read_bench
from ...trainer.evaluate.build import build_bench
from ...trainer.evaluate.drawers.drawer import Inputs
from ...trainer.evaluate.find_measures import find_measures, usual_judges
from ...trainer.evaluate.protocols.protocol import Asked
from ...trainer.evaluate.report import write_report
from ...trainer.evaluate.run import draw_bench
from ...trainer.evaluate.score import score_run
from ...trainer.evaluate.together import read_together
from ...uso_model.errors import UserError
from .drawer import bundled_drawer
from .protocol import CASES, QUICK, mini_bench
from .rows import MODES

__all__ = ["bench_bundled"]


def bench_bundled(out: Path, quick: bool = False) -> list[Path]:
    """Write `bench`, `run` and `run/report` in a folder and return the files of the report.

    Stopped at any moment, the same call goes on.

    Args:
        out: the folder.
        quick: take the first QUICK cases alone.

    Raises:
        UserError: the folder holds a bench of another size.
        OSError: something cannot be written.
    """
    folder, run = out / "bench", out / "run"
    count = QUICK if quick else CASES
    if not (folder / HEADER).is_file():
        build_bench(mini_bench, None, folder, Asked(limit=count), force=True)  # a stopped build has left pictures
    bench, rows, _ = read_bench(folder)
    if bench.protocol != mini_bench.name or len(rows) != count * len(MODES):
        raise UserError(f"{folder} holds another bench, of {len(rows)} rows; choose another folder")
    draw_bench(folder, run, bundled_drawer(Inputs(folder, bench)))
    judges = usual_judges(mini_bench)
    score_run(folder, run, find_measures(mini_bench, judges), [judge.card for judge in judges])
    return write_report(read_together([run]), run / "report", folder)
