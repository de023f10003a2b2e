"""What users download: the zip that `comfy node pack` makes of the files in git, without those of .comfyignore."""

from __future__ import annotations

import re
import subprocess
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


def test_the_zip_is_small(tmp_path: Path) -> None:
    file = tmp_path / "pack.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as pack:
        for name in packed():
            pack.write(ROOT / name, name)
    assert file.stat().st_size <= LARGEST_ZIP
    with zipfile.ZipFile(file) as pack:
        rest = [info for info in pack.infolist() if not info.filename.endswith(".safetensors")]
    largest = sorted(rest, key=lambda info: -info.file_size)[:5]
    assert sum(info.file_size for info in rest) <= LARGEST_REST, [info.filename for info in largest]


def test_the_zip_has_all_that_the_pack_needs() -> None:
    names = set(packed())
    for path in package_modules().values():
        assert path.relative_to(ROOT).as_posix() in names, f"{path} is not packed, or not in git"
    needed = ("pyproject.toml", "README.md", "LICENSE", "NOTICE", "mini/family.yaml", "mini/experiment/claims.yaml")
    assert set(needed) <= names
    for folder in (
        "mini/weights",
        "mini/judges",
        "mini/examples",
        "mini/recipes",
        "trainer/recipes",
        "web/docs",
        "locales",
    ):
        assert any(name.startswith(f"{folder}/") for name in names), folder
    assert not any(name.startswith(("tests/", "dev/", "benchmarks/")) for name in names)
