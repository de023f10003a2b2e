"""Seeded fuzzing of every reader of strangers' files: each input gives a value or a UserError, and nothing else.

`--fuzz-rounds N` tries N times as many inputs, with other seeds.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator

import pytest

from .mutations import Tally


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    """Return how many times the usual number of inputs is tried."""
    return request.config.getoption("--fuzz-rounds")


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Return a generator that is the same for a test in every run."""
    return random.Random(f"fuzz {request.node.name}")


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """Return a count of inputs, which is checked and told when the test ends."""
    found = Tally()
    yield found
    told = f"{found.tried} inputs, {found.refused} refused, {len(found.unhandled)} unhandled"
    logging.getLogger(__name__).info("%s: %s", request.node.name, told)  # shown by `--log-cli-level=info`
    found.check()
