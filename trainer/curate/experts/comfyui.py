"""Drawing on ComfyUI servers, by any graph in API format."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import uuid
from collections.abc import Collection
from typing import Any

from PIL import Image

from ....uso_model.errors import UserError
from ...comfy.answers import Interrupted, Lost, NodeFailed, Refused, Unanswered, pictures_of
from ...comfy.graph import BoundGraph, Nodes
from ...comfy.server import Server
from ...evaluate.looks import look_at
from ..recipe import ExpertSettings
from ..steps import Again, Rejected, Request
from .servers import EACH, PATIENCE, Member, Servers
from .titles import TitledGraph, graph_file

__all__ = ["ComfyExpert", "comfy_expert"]

TRIES = 3
"""Of one picture, where a server that has drawn others fails at it."""
LOSSES = 10
"""Of one picture. A server that is started again loses what it was at, however often that is."""
_IDS = uuid.UUID("5c1d1f5e-6a57-4c55-9d0c-75736f637572")
"""Namespace of the ids of prompts. Any would do, but a run must go on with the same."""

_log = logging.getLogger(__name__)


class ComfyExpert:
    """Fills a graph for each request, has one of several servers draw it, and fetches the picture."""

    def __init__(self, graph: TitledGraph, servers: Servers, workers: int | None = None):
        """Take what `comfy_expert` has read; no server is asked yet."""
        self.workers = workers or EACH * len(servers.members)
        self._graph, self._servers = graph, servers

    def check(self, inputs: Collection[str]) -> None:
        """Make sure that the graph takes what it will be given, of `content`, `style` and `prompt`.

        Raises:
            UserError: titles are missing or doubled; all are named.
        """
        self._graph.bound(inputs)

    def describe(self) -> dict[str, Any]:
        """Return the graph's hash and where things go in it; servers may be others of the same files."""
        return {"kind": "comfyui", "graph": self._graph.bound().described()}

    def __call__(self, request: Request) -> Image.Image:
        """Draw; see `Expert`.

        Raises:
            Rejected: the picture is black, as those of numbers that are none are.
            Again: servers that can draw did not draw this one.
            UserError: the graph is wrong, or a server lacks what it needs; no other picture would do better.
        """
        given = {"style": request.style, "content": request.content, "prompt": request.prompt}
        graph = self._graph.bound([name for name, value in given.items() if value])
        server, images = self._drawn(request, graph)
        if len(images) != 1:
            raise UserError(
                f"the node uso:out of {self._graph.file.name} gives {len(images)} pictures on {server}, expected 1: "
                "give the title to a node that saves or previews, and set the batch size to 1"
            )
        (picture,) = images
        if self._graph.sized and picture.size != (request.width, request.height):
            raise UserError(
                f"the node uso:out of {self._graph.file.name} gives {picture.width}x{picture.height} on {server}, "
                f"expected {request.width}x{request.height}: let uso:width and uso:height set the size of the latent, "
                "ask for multiples of 16, or take these titles away"
            )
        if look_at(picture).problem == "black":
            raise Rejected(f"black picture of {self._graph.file.name}", notes={"server": server})
        return picture

    def _drawn(self, request: Request, graph: BoundGraph) -> tuple[str, list[Image.Image]]:
        """Return the pictures of a request, and the name of the server that has drawn them."""
        refusals = interruptions = failures = losses = 0
        while True:
            with self._servers.taken() as member:
                try:
                    images = self._drawn_by(member, request, graph)
                except Unanswered as error:
                    self._servers.fails(member, error)
                except Lost as error:
                    self._servers.fails(member, error)
                    losses += 1
                    if losses >= LOSSES:
                        raise Again(str(error)) from error
                except Refused:
                    # Once may be a server that was started again and has lost an uploaded picture.
                    refusals += 1
                    if refusals > 1:
                        raise
                except Interrupted as error:
                    interruptions += 1
                    if interruptions >= TRIES:
                        raise Again(str(error)) from error
                except UserError as error:
                    memory = isinstance(error, NodeFailed) and error.memory
                    self._servers.fails(member, error, at_once=memory)
                    failures += 1
                    others = any(one.proven for one in self._servers.members)
                    if not (others or failures < len(self._servers.members) if memory else member.proven):
                        raise
                    if failures >= TRIES:
                        raise Again(str(error)) from error
                else:
                    self._servers.works(member)
                    return member.server.name, images

    def _drawn_by(self, member: Member, request: Request, graph: BoundGraph) -> list[Image.Image]:
        server = member.server
        if not member.connected:
            self._connect(member)
        values: dict[str, Any] = {"seed": request.seed, "width": request.width, "height": request.height}
        if request.prompt:  # none leaves the graph's own
            values["prompt"] = request.prompt
        for name, picture in (("style", request.style), ("content", request.content)):
            values[name] = None if picture is None else _uploaded(server, picture.convert("RGB"))
        filled = graph.filled(values)
        key = hashlib.sha256(json.dumps(filled, sort_keys=True).encode()).hexdigest()
        # The id follows from the graph, so that what a driver that was killed had asked for is found again.
        for number in itertools.count():
            prompt = str(uuid.uuid5(_IDS, f"{key}:{number}"))
            try:
                outputs = server.ended(prompt, filled)
                if outputs is not None:
                    return [server.picture(item) for item in pictures_of(outputs, graph.output)]
            except (NodeFailed, Interrupted, Lost):
                continue  # of an earlier try, whose id would find it again
            return _new(server, prompt, filled, graph.output)
        raise AssertionError  # count has no end

    def _connect(self, member: Member) -> None:
        try:
            member.server.connect()
        except UserError as error:
            if member.proven:  # a page of its proxy, say, while it is started again
                raise Unanswered(str(error)) from error
            raise
        member.connected = True
        versions = {one.server.version for one in self._servers.members if one.connected and one.server.version}
        if len(versions) > 1:
            _log.warning("servers are of several versions of ComfyUI (%s): pictures may differ", ", ".join(versions))


def _new(server: Server, prompt: str, filled: Nodes, output: str) -> list[Image.Image]:
    outputs = server.ended(server.submit(filled, prompt, output), filled)
    if outputs is None:
        raise Lost(f"{server.name} has forgotten a graph; it was started again, or its queue was cleared")
    return [server.picture(item) for item in pictures_of(outputs, output)]


def _uploaded(server: Server, picture: Image.Image) -> str:
    """Return the name of a picture on a server, in the folder that is emptied when the server starts."""
    return server.upload(f"uso-{look_at(picture).sha256[:32]}.png", picture, "temp")


def comfy_expert(settings: ExpertSettings) -> ComfyExpert:
    """Return the expert of a graph and of its servers.

    Raises:
        UserError: no graph, or no address.
    """
    if settings.graph is None:
        raise UserError("an expert of kind comfyui needs a graph: set graph to a file in API format")
    graph = TitledGraph(graph_file(settings.graph), settings.settings)
    servers = [Server(address, PATIENCE, "the expert's servers") for address in dict.fromkeys(settings.servers)]
    return ComfyExpert(graph, Servers(servers), settings.workers)
