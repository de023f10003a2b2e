"""What users download: the zip that `comfy node pack` makes of the files in git, without those of .comfyignore."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from .house import ROOT, package_modules

LARGEST_ZIP, LARGEST_REST = 40e6, 6e6
"""Bytes of the zip, and of all in it but weights."""


def tracked() -> list[str]:
    """Return the files in git; a copy of the pack that is no checkout has none."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip("not a git checkout, so nothing says what would be packed")
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def patterns() -> list[str]:
    """Return the lines of .comfyignore: folders ending in a slash, and files."""
    lines = (ROOT / ".comfyignore").read_text(encoding="utf-8").splitlines()
    found = [line for line in lines if line and not line.startswith("#")]
    # The packer reads these lines as git does; only the plainest ones are, so that this test need not.
    assert all(re.fullmatch(r"[\w.-]+(/[\w.-]+)*/?", line) for line in found), found
    return found


def packed() -> list[str]:
    """Return what the zip would have."""
    left_out = patterns()
    return [
        name for name in tracked() if not any(name == p or (p.endswith("/") and name.startswith(p)) for p in left_out)
    ]


def test_every_pattern_leaves_something_out() -> None:
    names = tracked()
    idle = [p for p in patterns() if not any(name == p or (p.endswith("/") and name.startswith(p)) for name in names)]
    assert not idle


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the zip."""
    file = tmp_path_factory.mktemp("release") / "pack.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as pack:
        for name in packed():
            pack.write(ROOT / name, name)
    return file


def test_the_zip_is_small(file: Path) -> None:
    assert file.stat().st_size <= LARGEST_ZIP
    with zipfile.ZipFile(file) as pack:
        rest = [info for info in pack.infolist() if not info.filename.endswith(".safetensors")]
    largest = sorted(rest, key=lambda info: -info.compress_size)[:5]
    assert sum(info.compress_size for info in rest) <= LARGEST_REST, [info.filename for info in largest]


def test_the_zip_has_all_that_the_pack_needs() -> None:
    names = set(packed())
    for path in package_modules().values():
        assert path.relative_to(ROOT).as_posix() in names, f"{path} is not packed, or not in git"
    needed = ("pyproject.toml", "README.md", "LICENSE", "NOTICE", "mini/family.yaml", "mini/experiment/claims.yaml")
    assert set(needed) <= names
    assert {f"web/{path.name}" for path in (ROOT / "web").glob("*.js")} <= names
    for folder in (
        "mini/weights",
        "mini/judges",
        "mini/examples",
        "mini/recipes",
        "trainer/recipes",
        "subgraphs",
        "web/docs",
        "locales",
    ):
        assert any(name.startswith(f"{folder}/") for name in names), folder
    assert not any(name.startswith(("tests/", "dev/", "benchmarks/")) for name in names)


@pytest.mark.long
def test_every_kind_of_command_works_from_the_zip(file: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(file) as pack:
        pack.extractall(tmp_path / "site/comfyui_uso")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}

    def uso(*arguments: str) -> str:
        command = [sys.executable, "-m", "comfyui_uso", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, f"uso {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    assert "doctor" in uso("--help")
    uso("mini", "world", "--out", "toy", "--pictures", "0", "--triplets", "16")
    uso("doctor", "toy")
    uso("train", "toy", "loop.steps=2", "loop.batch_size=2")
    assert (tmp_path / "runs/toy/out/toy-0000002.safetensors").is_file()
    assert "read back equal" in uso("export", "runs/toy")
    assert "joint" in uso("mini", "measure", "--cases", "2")
    uso("mini", "sheet", "--out", "sheets")
    uso("demo", "--out", "demo.png")
    assert (tmp_path / "demo.png").stat().st_size > 100_000
