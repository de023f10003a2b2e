"""A stand-in for the trainer: it speaks the line protocol in a moment and trains nothing."""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
import threading
import time
from pathlib import Path

STOP = threading.Event()


def tell(event: str, **values: object) -> None:
    """Write an event."""
    sys.stdout.write(json.dumps({"event": event, **values}) + "\n")
    sys.stdout.flush()


def log(line: str) -> None:
    """Write a line for people."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def listen() -> None:
    """Wait for the word to stop, or for the end of the input."""
    for line in sys.stdin:
        if line.strip() == "stop":
            break
    STOP.set()


def write_file(path: Path, run: str) -> None:
    """Write a safetensors file without a tensor that matters."""
    head = json.dumps(
        {"__metadata__": {"uso.run": run}, "x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    ).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(head)) + head + bytes(4))


def save(run: Path, step: int, endings: tuple[str, ...] = ("", "-projector", "-with-uso")) -> None:
    """Write what a checkpoint leaves."""
    (run / "checkpoint.txt").write_text(str(step))
    names = [f"{run.name}-{step:07d}{ending}.safetensors" for ending in endings]
    for old in (run / "out").glob("*-with-uso.safetensors"):
        old.unlink()
    for name in names:
        write_file(run / "out" / name, f"id of {run.name}")
    with (run / "log.jsonl").open("a") as lines:
        lines.write(json.dumps({"step": step, "loss": 1 / step}) + "\n")
    sheet = run / "samples" / f"step-{step:07d}.png"
    sheet.parent.mkdir(exist_ok=True)
    sheet.write_bytes(Path(__file__).with_name("fake_sheet.png").read_bytes())
    tell("sample", step=step, path=str(sheet), labels=["a"])
    tell("checkpoint", step=step, path=str(run))
    tell("export", step=step, files=[{"path": str(run / "out" / name)} for name in names])


def main() -> int:
    """Train nothing, as the settings say."""
    words = sys.argv[1:]
    assert words[:3] == ["train", "--progress", "json"], words
    settings = dict(word.split("=", 1) for word in words if "=" in word)
    run, steps, how = Path(settings["loop.run_dir"]), int(settings.get("loop.steps", 4)), settings.get("how", "")
    threading.Thread(target=listen, daemon=True).start()
    run.mkdir(parents=True, exist_ok=True)
    (run / "words.json").write_text(json.dumps(words))
    (run / "run.json").write_text(json.dumps({"id": f"id of {run.name}"}))
    began = run / "began.txt"
    mine = settings.get("lora.rank", "")
    tell("start", protocol=1, run=str(run), name=run.name, pid=os.getpid())
    if began.exists() and began.read_text() != mine and "--allow-change" not in words:
        tell("error", text=f"{run.name} began with other settings", rows=[], crash=None, kind="changed")
        return 2
    began.write_text(mine)
    log("the log of a library")
    sys.stdout.write("no event at all\n")
    if how == "held":
        tell(
            "error", text=f"{run} is being trained by process 7; wait until that ends", kind="user", rows=[], crash=None
        )
        return 2
    if how == "dies":
        log("about to be killed")
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    if how == "crashes":
        log("Traceback: something")
        tell("error", text="step 3: the loss is not finite", rows=["cats/1", "cats/2"], crash=str(run / "crash/step-3"))
        return 1
    if how == "projector":
        save(run, steps, ("-projector",))
    if how in ("nothing", "projector"):
        tell("done", step=steps, steps=steps, files=[])
        return 0
    tell("phase", text="reading networks", seconds=0.0)
    tell("encode", done=1, total=2)
    tell("kind that is not known", key=1)
    done = int((run / "checkpoint.txt").read_text()) if (run / "checkpoint.txt").exists() else 0
    while done < steps and not (STOP.is_set() and how != "deaf"):
        done += 1
        tell("step", step=done, steps=steps, loss=1 / done, learning_rate=1e-4, seconds_per_step=0.1, seconds_left=9.0)
        if how == "floods":
            sys.stderr.write("x" * 100_000 + "\r")
        if how in ("slow", "deaf"):
            time.sleep(0.05)
        if done == 2:
            save(run, done)
    save(run, done)
    tell("warning", text="a note")
    tell("done" if done >= steps else "stopped", step=done, steps=steps, files=[])
    return 0


if __name__ == "__main__":
    sys.exit(main())
