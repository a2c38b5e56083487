"""Fixtures around a studio to be tried: see `benchmarks.rig`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from benchmarks.rig import HEIGHT, WIDTH, Bench, Clip, Door, pan


@pytest.fixture(scope="session")
def clip() -> Clip:
    """With a key frame each half second, since its publisher hears of no request for one."""
    return pan("h264", WIDTH, HEIGHT, key_every=15)


@pytest.fixture(scope="session")
def door_to() -> type[Door]:
    return Door


@pytest.fixture(scope="session")
def make_clip() -> Callable[..., Clip]:
    return pan


@pytest.fixture
def bench(clip: Clip) -> Iterator[Bench]:
    bench = Bench(clip)
    yield bench
    bench.end()
