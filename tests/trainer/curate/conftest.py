"""Pictures and archives of strangers."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from comfyui_uso.trainer.curate.recipe import SourceSettings
from comfyui_uso.trainer.curate.sources.open import KINDS, kind_of_source
from comfyui_uso.trainer.curate.sources.source import Picture
from PIL import Image


@pytest.fixture
def encoded() -> Callable[..., bytes]:
    """Return a function that gives the bytes of a tiny picture; the number makes its colour."""

    def encode(number: int = 0, kind: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (32, 24), **options):
        data = io.BytesIO()
        Image.new(mode, size, number).save(data, kind, **options)
        return data.getvalue()

    return encode


@pytest.fixture
def archive(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a tar of names and bytes, or of headers as they are."""

    def write(*members: tuple[str, bytes] | tarfile.TarInfo, name: str = "a.tar", mode: str = "w") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, mode) as tar:
            for member in members:
                if isinstance(member, tarfile.TarInfo):
                    tar.addfile(member)
                else:
                    info = tarfile.TarInfo(member[0])
                    info.size = len(member[1])
                    tar.addfile(info, io.BytesIO(member[1]))
        return path

    return write


@pytest.fixture
def listed() -> Callable[..., tuple[dict[str, Picture], list[str]]]:
    """Return a function that gives the pictures of a source by their keys, and what is refused."""

    def list_(path: Path, **settings) -> tuple[dict[str, Picture], list[str]]:
        source = SourceSettings(path=path, **settings)
        found = list(KINDS[kind_of_source(path) if source.kind == "auto" else source.kind](path, source.style))
        pictures = [one for one in found if isinstance(one, Picture)]
        assert len({one.key for one in pictures}) == len(pictures)
        return {one.key: one for one in pictures}, [one for one in found if isinstance(one, str)]

    return list_
