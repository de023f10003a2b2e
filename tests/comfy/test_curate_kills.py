"""Curation on two processes and two real servers, of which any is killed at any moment: nothing is lost or doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from comfyui_uso.mini.example_pictures import examples
from comfyui_uso.trainer.curate.ledger import Ledger

from ..trainer.curate import cheap
from .conftest import COMFY, HERE, make_server_folder
from .server import ComfyServer, free_port, started, wait_until_ready

pytestmark = pytest.mark.long

ROWS, KILLS = (int(os.environ.get(f"USO_TEST_CURATE_{name}", usual)) for name, usual in (("ROWS", 24), ("KILLS", 5)))
SERVERS, PROCESSES, STEPS = 2, 2, 2
IN_FLIGHT = 2 * 2 * SERVERS + PROCESSES
"""Two graphs of each of two experts in the queue of each server."""
SECONDS = 300 + 60 * KILLS + 20 * ROWS
KINDS = ("server", "driver", "worker")


class Site:
    """Two servers, a source and a driver."""

    def __init__(self, folder: Path):
        self.folder, self.calls = folder, folder / "calls"
        self.servers = [self._start(folder / f"server{number}", free_port()) for number in range(SERVERS)]
        source = folder / "source"
        source.mkdir()
        for number in range(ROWS // 2):
            picture = list(examples().values())[number % len(examples())].style.resize((64, 64))
            picture.putpixel((0, 0), (number % 256, number // 256, 0))
            picture.save(source / f"{number:04d}.png")
        on_servers = {
            "servers": [server.address for server in self.servers],
            "settings": {"uso:seed.steps": 3},
        }
        photographer = {
            "kind": "counted_expert:photographer",
            "devices": ["cpu"] * PROCESSES,
            "settings": {"calls": str(self.calls), "steps": 3},
        }
        recipe = {
            "source": {"path": str(source)},
            "width": 64,
            "height": 64,
            "experts": {
                "artist": {**on_servers, "graph": "curate_stylise_mini"},
                "portraitist": {**on_servers, "graph": "curate_destylise_mini"},
                "photographer": photographer,
            },
            "style": {"expert": "artist", "instructions": ["a red cat on a white floor", "a blue teapot"]},
            "content_kept": {"expert": "photographer", "instructions": [""]},
            "content_shifted": {"expert": "portraitist", "instructions": ["a photo"]},
            "reject": {},
        }
        (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
        for server in self.servers:
            wait_until_ready(server)
        self.driver = cheap.start(folder, path=HERE)

    @staticmethod
    def _start(base: Path, port: int) -> ComfyServer:
        if not base.exists():
            make_server_folder(base)
        return started(COMFY, base, port)

    def drawn(self) -> int:
        """Return how often experts were called."""
        asked = sum(server.log.read_text(errors="replace").count("got prompt") for server in self.servers)
        return asked + (len(self.calls.read_text().splitlines()) if self.calls.exists() else 0)

    def kill(self, kind: str, chance: random.Random) -> bool:
        """Kill one of a kind and start it again; False where there is none."""
        if kind == "server":
            number = chance.randrange(SERVERS)
            dead = self.servers[number]
            dead.process.kill()
            dead.process.wait()
            self.servers[number] = self._start(dead.base, int(dead.address.rpartition(":")[2]))
        elif kind == "driver":
            self.driver.kill()
            self.driver.communicate()
            self.driver = cheap.start(self.folder, path=HERE)
        else:
            pids = self.calls.read_text().split() if self.calls.exists() else []
            try:
                os.kill(int(pids[-1]), signal.SIGKILL)
            except (IndexError, ProcessLookupError):
                return False
        return True

    def close(self) -> None:
        """End all."""
        for process in (self.driver, *(server.process for server in self.servers)):
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()


@pytest.fixture
def site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="uso-kills-", ignore_cleanup_errors=True) as folder:
        made = Site(Path(folder))
        try:
            yield made
        finally:
            made.close()


def test_nothing_is_lost_at_kills_of_driver_workers_and_servers(site: Site) -> None:
    chance, killed = random.Random(int(os.environ.get("USO_TEST_CURATE_SEED", 0))), Counter[str]()
    began = time.monotonic()
    each = max(1, ROWS * STEPS // (2 * KILLS + 2))
    while killed.total() < KILLS:
        until = site.drawn() + chance.randint(1, each)
        while site.drawn() < until:
            assert site.driver.poll() is None, site.driver.communicate()[0]
            assert time.monotonic() - began < SECONDS, f"{site.drawn()} pictures, {killed}"
            time.sleep(0.05)
        time.sleep(chance.uniform(0, 1))
        kind = KINDS[killed.total()] if killed.total() < len(KINDS) else chance.choice(KINDS)
        killed[kind] += site.kill(kind, chance)
    try:
        out, _ = site.driver.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        site.driver.kill()
        raise AssertionError(site.driver.communicate()[0]) from None
    assert site.driver.returncode == 0, out
    cheap.whole(site.folder, ROWS)
    ledger, calls = Ledger(site.folder / "run"), site.drawn()
    drawn = Counter(entry.step for entry in ledger.entries())
    assert all(drawn[step] == ROWS for step in ("target", "style", "content")), drawn
    told = f"{ROWS} rows, {calls} calls of experts for {ROWS * STEPS} pictures, killed {dict(killed)}"
    assert calls <= ROWS * STEPS + IN_FLIGHT * KILLS, told
