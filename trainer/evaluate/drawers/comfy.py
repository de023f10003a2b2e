"""Drawing on a ComfyUI server, by any graph in API format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from ....uso_model.errors import UserError
from ...comfy.answers import pictures_of
from ...comfy.graph import BoundGraph, read_graph
from ...comfy.server import Server
from ..bench import TASKS, Row, Task
from .comfy_graph import bind, graph_files
from .drawer import NOISE, Inputs

__all__ = ["ComfyDrawer", "comfy_drawer"]

BATCH = 2
"""Graphs that are queued at once, so that the server need not wait for us."""


class ComfyDrawer:
    """Fills a graph for each picture, queues it and fetches what it gives."""

    noise = NOISE

    def __init__(self, inputs: Inputs, graphs: dict[Task, BoundGraph], server: Server):
        """Take what `comfy_drawer` has read."""
        self.batch = inputs.batch or BATCH
        self._inputs, self._graphs, self._server = inputs, graphs, server
        self._uploaded: dict[str, str] = {}

    def describe(self) -> dict[str, Any]:
        """Return hashes of the graphs and where things go in them; the server may be another one of the same files."""
        return {"name": "comfy", "graphs": {task: graph.described() for task, graph in self._graphs.items()}}

    def __call__(self, rows: Sequence[Row], samples: Sequence[int], seeds: Sequence[int]) -> list[Image.Image]:
        """Draw; see `Drawer`."""
        graphs = [self._filled(row, seed) for row, seed in zip(rows, seeds, strict=True)]
        prompts: list[str] = []
        try:
            prompts += [self._server.submit(graph) for graph in graphs]
            found = []
            for row, prompt, graph in zip(rows, prompts, graphs, strict=True):
                found.append(self._picture(row, self._server.finish(prompt, graph)))
        except BaseException:  # also Ctrl-C: nobody waits for these any more
            self._server.forget(prompts)
            raise
        return found

    def _filled(self, row: Row, seed: int) -> dict[str, Any]:
        bench = self._inputs.bench
        values = {
            "prompt": row.prompt,
            "seed": seed,
            "width": bench.width,
            "height": bench.height,
            "steps": bench.steps,
            "guidance": bench.guidance,
            "style": None if row.style is None else self._uploaded_name(row.style),
            "content": None if row.content is None else self._uploaded_name(row.content),
        }
        return self._graphs[row.task].filled(values)

    def _uploaded_name(self, key: str) -> str:
        """Return the name of a reference on the server, where it is put once."""
        if key not in self._uploaded:
            name = f"uso-{self._inputs.bench.pictures[key].sha256[:24]}.png"
            self._uploaded[key] = self._server.upload(name, self._inputs.picture(key))
        return self._uploaded[key]

    def _picture(self, row: Row, outputs: dict[str, Any]) -> Image.Image:
        images = pictures_of(outputs, self._graphs[row.task].output)
        if len(images) != 1:
            raise UserError(
                f"the graph for task {row.task} gives {len(images)} pictures, expected 1: set its batch size to 1, or "
                "name the node with --bind output=TITLE"
            )
        return self._server.picture(images[0])


def comfy_drawer(inputs: Inputs) -> ComfyDrawer:
    """Return the drawer of a server and of the graphs of all tasks that the bench has.

    Raises:
        UserError: no server, no graph for a task, or something cannot be bound.
    """
    tasks = [task for task in TASKS if task in inputs.bench.counts] or list(TASKS)
    files = graph_files(inputs.graphs, tasks)
    graphs = {task: bind(read_graph(file), inputs.binds, task, file) for task, file in files.items()}
    server = Server(inputs.server)
    server.connect()
    return ComfyDrawer(inputs, graphs, server)
