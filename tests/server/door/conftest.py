"""Doors for tests: `door` for those that leave nothing behind, `start_door` for those that need one of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.server.door.running import Running, running_door


@pytest.fixture
def start_door() -> Iterator[Callable[..., Running]]:
    """Starts doors that end with the test: `start_door(max_feeds=1)`."""
    with ExitStack() as stack:
        yield lambda *args, **kwargs: stack.enter_context(running_door(*args, **kwargs))


@pytest.fixture(scope="module")
def door() -> Iterator[Running]:
    """One door for a module's tests that leave nothing behind."""
    with running_door() as running:
        yield running
