"""Time of `uso eval score` against the same encoder in a plain batched loop, and of a second scoring.

    python benchmarks/eval_score.py [--pictures 96] [--side 512] [--width 384] [--blocks 12] [--rounds 3]

The encoder is a ViT of random weights, by default of the size of DINO ViT-S/16 at 224 pixels. The plain loop opens the
pictures, prepares them, and embeds batches of 16. Printed are medians in pictures a second, and the ratios.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from comfyui_uso.trainer.data.pictures import open_picture
from comfyui_uso.trainer.evaluate.bench import Bench, Picture, Row, write_bench
from comfyui_uso.trainer.evaluate.measures import standard_measures
from comfyui_uso.trainer.evaluate.score import score_run
from comfyui_uso.uso_model.judging.judge import Card
from comfyui_uso.uso_model.writing import sha256_of
from PIL import Image
from torch import Tensor
from transformers import ViTConfig, ViTModel

BATCH = 16


class Encoder:
    """A judge of styles: a vision transformer of random weights."""

    def __init__(self, width: int, blocks: int, device: str):
        self.card = Card("random", ("style",), "none", "1", "none", "224 x 224, bicubic", (-1, 1), "none")
        config = ViTConfig(
            hidden_size=width,
            num_hidden_layers=blocks,
            num_attention_heads=max(1, width // 64),
            intermediate_size=4 * width,
        )
        torch.manual_seed(0)
        self.device, self.network = device, ViTModel(config, add_pooling_layer=False).eval().to(device)

    def prepare(self, picture: Image.Image) -> Tensor:
        """Return a picture as `3 224 224`."""
        small = picture.resize((224, 224), Image.Resampling.BICUBIC)
        return torch.from_numpy(np.array(small)).movedim(-1, 0).float() / 127.5 - 1

    @torch.no_grad()
    def embed(self, prepared: Tensor) -> Tensor:
        """Return unit vectors `b D`."""
        return torch.nn.functional.normalize(self.network(prepared.to(self.device)).last_hidden_state[:, 0], dim=-1)

    def embed_pixels(self, pixels: Tensor) -> Tensor:
        """Return unit vectors `b D` of pictures in -1..1."""
        return self.embed(torch.nn.functional.interpolate(pixels, (224, 224), mode="bicubic", antialias=True))


def main() -> None:
    """Print a line for each contestant, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=96)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--width", type=int, default=384, help="of the encoder, a multiple of 64")
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    encoder = Encoder(args.width, args.blocks, device)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        bench, paths = _bench(folder, args.pictures, args.side)
        cache = folder / "features"

        def loop() -> None:
            for start in range(0, len(paths), BATCH):
                pictures = [open_picture(path) for path in paths[start : start + BATCH]]
                encoder.embed(torch.stack([encoder.prepare(picture) for picture in pictures])).float().cpu()

        def score() -> None:
            score_run(bench, folder / "run", standard_measures([encoder], device), [encoder.card], cache)

        def first() -> None:
            shutil.rmtree(cache, ignore_errors=True)
            score()

        encoder.embed(torch.zeros(BATCH, 3, 224, 224))
        rounds: dict[str, list[tuple[float, float]]] = {"plain loop": [], "score": [], "score again": []}
        for _ in range(args.rounds):
            for name, step in (("plain loop", loop), ("score", first), ("score again", score)):
                rounds[name].append(_timed(step))
    wall, busy = ({n: statistics.median(t[i] for t in times) for n, times in rounds.items()} for i in (0, 1))
    for name in rounds:
        print(f"{name}: {args.pictures / wall[name]:.1f} pictures a second, {busy[name]:.2f} s of processor time")
    for better, worse in (("score", "plain loop"), ("score again", "score")):
        of = [_ratios(a, b) for a, b in zip(rounds[worse], rounds[better], strict=True)]
        wall_ratio, busy_ratio = (statistics.median(ratio[i] for ratio in of) for i in (0, 1))
        print(f"{better} beside {worse}: {wall_ratio:.2f} times as fast; by processor time {busy_ratio:.2f}")


def _ratios(slow: tuple[float, float], quick: tuple[float, float]) -> tuple[float, float]:
    return slow[0] / quick[0], slow[1] / quick[1]


def _timed(step: Callable[[], None]) -> tuple[float, float]:
    began, worked = time.perf_counter(), time.process_time()
    step()
    return time.perf_counter() - began, time.process_time() - worked


def _bench(folder: Path, pictures: int, side: int) -> tuple[Path, list[Path]]:
    """Write a bench of one style and its drawings, which are noise over a gradient and hard to compress."""
    rng = np.random.default_rng(0)

    def drawn(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 255, (side // 8, side // 8, 3), np.uint8)).resize((side, side))
        noisy = np.asarray(coarse).astype(int) + rng.integers(-8, 8, (side, side, 3))
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path)
        return path

    bench = folder / "bench"
    reference = drawn(bench / "pictures" / "style.png")
    digest = sha256_of(reference)
    reference = reference.rename(reference.with_name(f"{digest}.png"))
    rows = [
        Row(id=f"r{n}", task="style", prompt="a", prompt_id="a", style="style", style_name="style")
        for n in range(pictures)
    ]
    known = {"style": Picture(path=Path("pictures", reference.name), sha256=digest)}
    write_bench(bench, Bench(protocol="speed", width=side, height=side, pictures=known), rows)
    return bench, [drawn(folder / "run" / "pictures" / f"{row.id}_0.png") for row in rows]


if __name__ == "__main__":
    main()
