"""The Python that trains: found, looked into, and told how to get what it lacks."""

from __future__ import annotations

import sys
from pathlib import Path

import folder_paths
import pytest
from comfyui_uso.nodes.training.python import NEEDED, require_packages, training_python
from comfyui_uso.uso_model.errors import UserError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_what_is_needed_is_what_the_pack_asks_for() -> None:
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    known = {*project["dependencies"], *project["optional-dependencies"]["train"]}
    bare = {need.split(">")[0].split(";")[0].strip().lower() for need in known}
    assert {need.split(">")[0].lower() for need in NEEDED.values()} <= bare


def test_our_own_python_has_all() -> None:
    assert training_python("  ") == sys.executable
    require_packages(sys.executable)


def test_what_is_missing_is_one_sentence_with_the_line_that_installs_it(tmp_path: Path) -> None:
    python = tmp_path / "python_embeded" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -E "$@"\n')
    python.chmod(0o755)
    assert training_python(str(python)) == str(python)
    with pytest.raises(UserError) as error:
        require_packages(str(python))
    sentence = str(error.value)
    assert sentence.startswith("Training needs torch, einops,") and f"{python} -s -m pip install torch" in sentence
    assert '"pydantic>=2"' in sentence and sentence.endswith(", then queue again.")


def test_an_environment_is_named_by_its_folder(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(sys.executable)
    assert training_python(str(tmp_path)) == str(tmp_path / "bin/python")


@pytest.mark.parametrize(
    "typed", ["python", "/", "/absent/python", str(PROJECT), "~no such user/venv", f"/{'x' * 300}/python", "/a\0b"]
)
def test_what_is_no_python(typed: str) -> None:
    with pytest.raises(UserError, match="expected the full path of a Python or of an environment's folder"):
        training_python(typed)


def test_an_environment_in_the_own_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "venv/bin").mkdir(parents=True)
    (tmp_path / "venv/bin/python").symlink_to(sys.executable)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    assert training_python("~/venv") == str(tmp_path / "venv/bin/python")


@pytest.mark.parametrize("kind", ["input", "output", "temp"])
def test_a_python_that_may_have_been_uploaded_is_not_started(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, elsewhere = tmp_path / kind, tmp_path / "elsewhere"
    (place / "bin").mkdir(parents=True)
    elsewhere.mkdir()
    (place / "bin/python").write_text("#!/bin/sh\n")
    (elsewhere / "python").symlink_to(place / "bin/python")
    monkeypatch.setattr(folder_paths, f"{kind}_directory", str(place))
    for typed in (place, place / "bin/python", elsewhere / "python", elsewhere / f"../{kind}/bin/python"):
        with pytest.raises(UserError, match="neither on a network share nor under ComfyUI's input, output or temp"):
            training_python(str(typed))


@pytest.mark.parametrize(
    "typed", [r"\\server\share\python.exe", "//server/share/python", r"\\?\UNC\server\share\python"]
)
def test_a_python_of_a_share_is_not_looked_for(typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.isfile", lambda path: pytest.fail("a share was asked"))
    with pytest.raises(UserError, match="neither on a network share"):
        training_python(typed)


def test_a_python_that_does_not_run(tmp_path: Path) -> None:
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\necho broken pipe dream >&2\nexit 3\n")
    python.chmod(0o755)
    with pytest.raises(UserError, match=r"does not run \(broken pipe dream\): name another one"):
        require_packages(str(python))
