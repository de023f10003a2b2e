"""The ComfyUI nodes: sockets in, sockets out. The only part of the package that knows ComfyUI."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .apply import Apply
from .content import EncodeContent
from .example import ExamplePair, register_thumbnails
from .graph.score_judges import register_judges
from .host import check_host, host_version
from .load_mini import LoadMini
from .load_models import LoadModels
from .mix_styles import MixStyles
from .pages import register_pages
from .reference import StyleReference, SubjectReference
from .reuse import ReuseReferences
from .sampler import Sampler
from .scheduler import Scheduler
from .score import Score
from .style import EncodeStyle, ProjectStyle
from .style_files import LoadStyle, SaveStyle, register_folder
from .train import Train
from .training_set import TrainingSetNode
from .triplet_sets import LoadTriplet, SaveTriplet

__all__ = ["NODES", "UsoExtension", "comfy_entrypoint"]

NODES: list[type[io.ComfyNode]] = [
    LoadModels,
    LoadMini,
    ExamplePair,
    StyleReference,
    SubjectReference,
    EncodeStyle,
    ProjectStyle,
    EncodeContent,
    MixStyles,
    SaveStyle,
    LoadStyle,
    Apply,
    ReuseReferences,
    Scheduler,
    Sampler,
    Score,
    SaveTriplet,
    LoadTriplet,
    TrainingSetNode,
    Train,
]


class UsoExtension(ComfyExtension):
    """Hand the nodes to ComfyUI."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """Return every node of the pack."""
        return NODES


async def comfy_entrypoint() -> ComfyExtension:
    """Return the extension; ComfyUI calls this when it loads the pack, and prints the error of an older one."""
    check_host(host_version())
    register_folder()
    register_judges()
    register_thumbnails()
    register_pages()
    return UsoExtension()
