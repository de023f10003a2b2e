"""One turn of the paper's loop on USO-mini: draw, filter, train the stylisation expert on, draw again.

    python benchmarks/curate_turn.py --out turn

Pictures in styles that USO-mini's references have never shown are curated: the bundled expert draws a style reference
of each, one judge filters them, the expert learns on from the pairs that pass, and both experts draw for other pictures
in the same styles. What is printed is measured on those, also by a judge that had no part in the filter. Stopped at any
moment, the same command goes on.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from comfyui_uso.cli import main as uso
from comfyui_uso.mini.world import sample_scene, sample_style
from comfyui_uso.mini.world.render import render_style
from comfyui_uso.mini.world.styles import HELD_OUT_STYLES
from comfyui_uso.mini.world.subjects import TRAINING_SUBJECTS
from comfyui_uso.trainer.curate.ledger import Ledger
from comfyui_uso.trainer.curate.run_folder import candidates, read_run
from comfyui_uso.trainer.evaluate.statistics import interval
from PIL import Image

FILTER = "mini_descriptor>=.6"
JUDGES = {"mini_style": "judge apart", "mini_descriptor": "the filter's judge"}
RECIPE = Path(__file__).parents[1] / "mini/recipes/curate.yaml"


class Turn(NamedTuple):
    """Sizes of a turn."""

    out: Path
    pictures: int
    unseen: int
    draw_steps: int
    train_steps: int


def take_turn(turn: Turn) -> dict[str, dict[str, np.ndarray]]:
    """Take a turn and return the scores of each expert's pictures, by `before` and `after` and by judge."""
    turn.out.mkdir(parents=True, exist_ok=True)
    for name, count, seed in (("source", turn.pictures, 1), ("unseen", turn.unseen, 2)):
        write_pictures(turn.out / name, count, seed)
    bundled, trained = {"kind": "mini"}, {"kind": "network", "recipe": str(turn.out / "expert")}
    draw(turn, "first", "source", bundled)
    if not (turn.out / "expert/out").is_dir():
        call("curate", "accept", turn.out / "first", "--where", FILTER, "--split", "validation=0", "--near", "-1")
        call("curate", "pairs", turn.out / "first")
        data = [f"data.manifests={turn.out / 'first/pairs.jsonl'}", f"data.cache={turn.out / 'cache'}"]
        run = [f"loop.run_dir={turn.out / 'expert'}", f"loop.steps={turn.train_steps}"]
        call("train", "mini_expert", *data, *run)
    draw(turn, "before", "unseen", bundled)
    draw(turn, "after", "unseen", trained)
    return {name: scores(turn.out / name) for name in ("first", "before", "after")}


def write_pictures(folder: Path, count: int, seed: int) -> None:
    """Write pictures in styles that no references have shown, with captions."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        name = HELD_OUT_STYLES[number % len(HELD_OUT_STYLES)]
        scene = sample_scene(rng, TRAINING_SUBJECTS[int(rng.integers(len(TRAINING_SUBJECTS)))])
        path = folder / name / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(render_style(scene, sample_style(rng, name))).save(path)
        path.with_suffix(".txt").write_text(scene.caption(), encoding="utf-8")


def draw(turn: Turn, run: str, source: str, expert: dict[str, str]) -> None:
    """Draw and judge style references alone."""
    recipe = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    del recipe["content_kept"], recipe["content_shifted"]
    settings = {"steps": turn.draw_steps}
    recipe |= {
        "source": {"path": str(turn.out / source)},
        "kept": 0,
        "experts": {"stylist": {**expert, "settings": settings}},
        "judges": dict.fromkeys(JUDGES),
    }
    path = turn.out / f"{run}.yaml"
    path.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    call("curate", "run", turn.out / run, path)


def call(*words: str | Path) -> None:
    """Do as the command line does."""
    print("uso", *words, flush=True)
    if code := uso([str(word) for word in words]):
        raise SystemExit(code)


def scores(run: Path) -> dict[str, np.ndarray]:
    """Return the scores of each judge and the style groups, in the order of the pictures; a row without one has 0."""
    _, pipeline = read_run(run)
    found = [progress.scores for progress in candidates(pipeline, Ledger(run))]
    numbers = {judge: np.array([float(one.get(judge, 0)) for one in found]) for judge in JUDGES}
    return {**numbers, "style": np.array([one["group"] for one in found])}


def table(found: dict[str, dict[str, np.ndarray]]) -> str:
    """Return yield and likeness before and after, and their differences with 95 % intervals over the pictures."""
    lines = ["| pictures | expert | yield | " + " | ".join(f"{name} ({what})" for name, what in JUDGES.items()) + " |"]
    lines.append("|---" * 5 + "|")
    for name, told in (("first", "bundled"), ("before", "bundled"), ("after", "trained on")):
        own = found[name]
        kept = own["mini_descriptor"] >= 0.6
        means = " | ".join(f"{own[judge].mean():.3f}" for judge in JUDGES)
        which = "curated" if name == "first" else "unseen"
        lines.append(f"| {which}, {len(kept)} | {told} | {100 * kept.mean():.0f} % | {means} |")
    for judge in JUDGES:
        change = interval(found["after"][judge] - found["before"][judge], found["after"]["style"])
        lines.append(f"\n{judge}: {change.mean:+.3f} on the unseen (95 %: {change.low:+.3f} to {change.high:+.3f})")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("turn"), help="folder to write (%(default)s)")
    parser.add_argument("--pictures", type=int, default=40, help="that are curated (%(default)s)")
    parser.add_argument("--unseen", type=int, default=40, help="on which the experts are compared (%(default)s)")
    parser.add_argument("--draw-steps", type=int, default=10, help="of the sampler (%(default)s)")
    parser.add_argument("--train-steps", type=int, default=200, help="of the expert's training (%(default)s)")
    print(table(take_turn(Turn(**vars(parser.parse_args())))))
