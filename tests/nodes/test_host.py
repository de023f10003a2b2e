"""The check of ComfyUI's version."""

from __future__ import annotations

import pytest
from comfyui_uso.nodes.host import check_host, host_version


def test_this_comfyui_is_new_enough() -> None:
    assert host_version()
    for version in (host_version(), "0.17.0", "0.18.1", "1.0.0", ""):
        check_host(version)


@pytest.mark.parametrize("version", ["0.3.75", "0.16.4", "0.9"])
def test_an_older_one_is_refused_in_one_sentence(version: str) -> None:
    with pytest.raises(RuntimeError, match=rf"need ComfyUI 0\.17\.0 or newer, this is {version}: update"):
        check_host(version)
