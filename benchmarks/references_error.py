"""What reusing references changes in USO-mini's pictures, beside what fewer steps change.

    python benchmarks/references_error.py error [--cases 64] [--only NAME ...] [--json FILE]

Held-out cases of `uso mini measure`, each with a style and a subject, are drawn by the nodes inside ComfyUI: USO Load
Mini, Apply, Reuse References and Sampler, 25 steps, CFG 3. Each row of the table is a setting: its distance to the
exact pictures (PSNR), and what USO-mini's judges say. All pictures lie in the folder; stopped at any moment, the same
command goes on. 64 cases take about half an hour of one core, a fourth of it for 101 steps.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from comfy_step import start_comfy
from PIL import Image

STEPS, FINE_STEPS, CFG = 25, 101, 3.0
USUAL_CASES = 64
BLOCK = 16
"""Cases that are drawn with every setting before the next ones are begun."""
FINE_CASES = 16
"""Cases that are drawn with many steps, too, which takes four times as long."""


class Setting(NamedTuple):
    """A row of the table; the defaults are exact."""

    every: int = 1
    form: str = "linear"
    first: int = 1
    last: int = 0
    tolerance: float = 0.0
    steps: int = STEPS

    @property
    def name(self) -> str:
        """The row's name, which is its folder's, too."""
        if self.every == 1:
            return "exact" if self.steps == STEPS else f"{self.steps} steps"
        parts = [f"every {self.every}", self.form]
        parts += [f"first {self.first}"] * (self.first != 1) + [f"last {self.last}"] * (self.last != 0)
        return ", ".join([*parts, *[f"tolerance {self.tolerance:g}"] * (self.tolerance != 0)])


EXACT, FINE = Setting(), Setting(steps=FINE_STEPS)
SETTINGS = (
    EXACT,
    *(Setting(every, "corrected") for every in (2, 3, 5)),
    *(Setting(10, "corrected", tolerance=tolerance) for tolerance in (0.1, 0.15, 0.2)),
    *(Setting(every) for every in (2, 3, 5)),
    *(Setting(10, tolerance=tolerance) for tolerance in (0.15, 0.2)),
    *(Setting(steps=steps) for steps in (22, 17, 13)),
    *(Setting(every, "hold") for every in (2, 3, 5)),
    Setting(8, "corrected"),
    Setting(3, first=3),
    Setting(3, last=2),
    Setting(steps=10),
    FINE,
)


class Drawn(NamedTuple):
    """What is kept of a drawing."""

    pixels: np.ndarray
    """`h w 3` in 0..1, not rounded to 8 bits, which alone would cost 50 dB one of them."""
    refreshes: int
    """Steps that computed the references."""


class Drawer:
    """Draws rows of USO-mini's bench with the pack's nodes."""

    def __init__(self, folder: Path, bench: Any):
        import comfy.utils
        from comfyui_uso.nodes.load_mini import LoadMini

        comfy.utils.PROGRESS_BAR_ENABLED = False
        self.picture = partial(open_picture, folder, bench)
        self.model, self.clip, self.vae, self.vision, self.projector = LoadMini.execute(1.0).result

    @torch.no_grad()
    def __call__(self, row: Any, setting: Setting) -> Drawn:
        """Draw a row; its noise is that of its number, the same for every setting."""
        from comfyui_uso.nodes.apply import Apply
        from comfyui_uso.nodes.content import EncodeContent
        from comfyui_uso.nodes.reuse import ReuseReferences
        from comfyui_uso.nodes.sampler import Sampler
        from comfyui_uso.nodes.style import EncodeStyle, ProjectStyle

        features = EncodeStyle.execute(self.vision, self.picture(row.style)).result[0]
        style = ProjectStyle.execute(features, self.projector).result[0]
        sides = {"long_side": 128, "latent_long_side": 128}
        content, latent, _ = EncodeContent.execute(self.vae, self.picture(row.content), **sides).result
        prompts = (self.text(row.prompt), self.text(""))
        model, positive, negative = Apply.execute(self.model, *prompts, style, content).result
        widgets = setting._asdict()
        steps = widgets.pop("steps")
        model = ReuseReferences.execute(model, **widgets).result[0]
        counted, replays = counting(model)
        seed = int(row.id.rpartition("-")[2])
        settings = (seed, steps, 4.0, CFG, "euler", "official", 1.15, 1.0)
        samples = Sampler.execute(counted, positive, latent, *settings, negative).result[0]
        pixels = self.vae.decode(samples["samples"])[0].float().numpy()
        return Drawn(pixels, steps - len(replays))

    def text(self, words: str) -> Any:
        """Return the conditioning of a prompt."""
        return self.clip.encode_from_tokens_scheduled(self.clip.tokenize(words))


def open_picture(folder: Path, bench: Any, key: str) -> torch.Tensor:
    """Return a picture of the bench as ComfyUI's IMAGE, `1 h w 3`."""
    from comfyui_uso.nodes.graph.convert import image_from_pil
    from comfyui_uso.trainer.evaluate.bench import open_reference

    return image_from_pil(open_reference(folder, bench, key))


def counting(model: Any) -> tuple[Any, list[float]]:
    """Return a MODEL that notes the time of each step that reads what was kept of references."""
    from comfyui_uso.nodes.graph.keys import TURN

    times: list[float] = []
    patched = model.clone()

    def note(q: Any, k: Any, v: Any, extra_options: dict[str, Any] | None = None, **_: Any) -> dict[str, Any]:
        options = extra_options or {}
        turn = options.get(TURN)
        if turn is not None and turn.replays and (options["block_type"], options["block_index"]) == ("double", 0):
            times.append(turn.time)
        return {}

    patched.set_model_attn1_patch(note)
    return patched, times


def draw(out: Path, drawer: Drawer, rows: Sequence[Any], setting: Setting) -> None:
    """Draw what is not there of a setting."""
    from comfyui_uso.trainer.evaluate.bench import picture_name

    folder = out / setting.name
    folder.mkdir(exist_ok=True)
    for row in rows:
        path = folder / f"{row.id}.npz"
        if path.is_file():
            continue
        drawn = drawer(row, setting)
        Image.fromarray((drawn.pixels * 255).round().astype(np.uint8)).save(folder / picture_name(row, 0))
        part = path.with_suffix(".part.npz")
        np.savez(part, **drawn._asdict())
        part.replace(path)


def line(out: Path, rows: Sequence[Any], setting: Setting, measures: Sequence[Any]) -> dict[str, Any]:
    """Return a row of the table: settings, refreshes, and means with their 95 % intervals."""
    from comfyui_uso.trainer.evaluate.score import score_run
    from comfyui_uso.trainer.evaluate.statistics import interval
    from comfyui_uso.trainer.evaluate.summary import interval_of, numbers_of

    units = [(row.style_name, row.prompt_id, row.subject) for row in rows]
    own = read(out / setting.name, rows)
    found: dict[str, Any] = {**setting._asdict(), "name": setting.name, "cases": len(rows)}
    found["refreshes"] = float(np.mean([drawn.refreshes for drawn in own]))
    for name, other in (("psnr", EXACT), ("psnr_to_fine", FINE)):
        there = read(out / other.name, rows)  # of all cases, of the first ones, or of none
        if there and setting != other:
            distances = [psnr(a, b) for a, b in zip(own, there, strict=False)]
            found[name] = asdict(interval(distances, *zip(*units[: len(there)], strict=True)))
    scored = score_run(out / "bench", out / setting.name, measures)
    drawn = {row.id for row in rows}
    scores = [score for score in scored.scores if score.whose == "model" and score.row in drawn]
    for card in scored.header.measures:
        if card.name in ("style", "likeness", "identity", "resemblance"):
            found[card.name] = asdict(interval_of(*numbers_of(scores, card), card))
    return found


def read(folder: Path, rows: Sequence[Any]) -> list[Drawn]:
    """Return the drawings of a setting up to the first that is missing."""
    paths = takewhile(Path.is_file, (folder / f"{row.id}.npz" for row in rows))
    return [Drawn(data["pixels"], int(data["refreshes"])) for data in map(np.load, paths)]


def psnr(drawn: Drawn, other: Drawn) -> float:
    """Return the peak signal-to-noise ratio of two pictures in dB."""
    return float(-10 * np.log10(max(np.square(drawn.pixels - other.pixels).mean(), 1e-12)))


def table(lines: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield a table in Markdown; an asterisk stands where a mean is outside its interval of the exact pictures."""
    names = ("psnr", "psnr_to_fine", "style", "likeness", "identity", "resemblance")
    yield "| setting | refreshes | " + " | ".join(names) + " |"
    yield "|---" * (len(names) + 2) + "|"
    for found in lines:
        cells = [found["name"], f"{found['refreshes']:.1f}"]
        for name in names:
            digits = 1 if name.startswith("psnr") else 3
            if name not in found:
                cells.append("")
                continue
            mean, low, high = (found[name][part] for part in ("mean", "low", "high"))
            bounds = "" if low is None or high is None else f" ({low:.{digits}f} to {high:.{digits}f})"
            real = lines[0].get(name, found[name])
            inside = real["low"] is None or real["low"] <= mean <= real["high"]
            cells.append(f"{mean:.{digits}f}{bounds}{'' if inside or digits == 1 else ' *'}")
        yield "| " + " | ".join(cells) + " |"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of the pictures")
    parser.add_argument("--cases", type=int, default=USUAL_CASES)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="rows of the table, beside exact")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table to a file, too")
    args = parser.parse_args()
    start_comfy()
    from comfyui_uso.mini.bench.cases import CASES_SEED, cases
    from comfyui_uso.mini.bench.protocol import CASES, MiniBench
    from comfyui_uso.trainer.evaluate.bench import HEADER, read_bench
    from comfyui_uso.trainer.evaluate.build import build_bench
    from comfyui_uso.trainer.evaluate.protocols.protocol import Asked

    protocol = MiniBench("references_error", lambda count: cases(count, CASES_SEED), CASES, ("joint",))
    folder = args.out / "bench"
    if not (folder / HEADER).is_file():
        limit = Asked(limit=max(args.cases, USUAL_CASES))
        build_bench(protocol, None, folder, limit, force=True)  # a stopped build has left pictures
    bench, rows, _ = read_bench(folder)
    if len(rows) < args.cases:
        raise SystemExit(f"got {args.cases} cases, but {folder} holds {len(rows)}: choose another folder")
    rows = rows[: args.cases]
    settings = [one for one in SETTINGS if one == EXACT or not args.only or one.name in args.only]
    drawer = Drawer(folder, bench)
    for start in range(0, len(rows), BLOCK):
        for setting in settings:
            most = min(FINE_CASES, len(rows)) if setting == FINE else len(rows)
            draw(args.out, drawer, rows[start : min(start + BLOCK, most)], setting)
            print(f"drawn: {setting.name}, cases from {start}", flush=True)
    measures = protocol.measures(protocol.judges())
    lines = [line(args.out, rows, setting, measures) for setting in settings if setting != FINE]
    print(*table(lines), sep="\n")
    if args.json:
        args.json.write_text(json.dumps(lines, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
