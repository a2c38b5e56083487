"""One door for all faults: real studios behind it, a wire before it that can lose packets."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest

from benchmarks.rig import Clip, pan
from benchmarks.wire import free_udp_ports, wired
from tests.faults.stage import House
from tests.server.door.running import running_door

KEY_EVERY = 15
OUTSIDE, INSIDE = "127.0.0.10", "127.0.0.1"


@pytest.fixture(scope="session")
def clips() -> list[Clip]:
    """A scene, another one with faces elsewhere, and the first in a smaller size."""
    return [
        pan("h264", 640, 480, key_every=KEY_EVERY),
        pan("h264", 640, 480, key_every=KEY_EVERY, first=100, negative=True, mirrored=True),
        pan("h264", 480, 360, key_every=KEY_EVERY, first=200),
    ]


@pytest.fixture(scope="package")
def running_house(clips: list[Clip], tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("faults")
    faces = {clip.first + n: boxes.tolist() for clip in clips for n, boxes in enumerate(clip.faces)}
    (folder / "faces.json").write_text(json.dumps(faces))
    fault = folder / "fault"
    command = (sys.executable, "-m", "benchmarks.scripted_studio", str(folder / "faces.json"), str(fault))
    ports = free_udp_ports(20)
    with (
        wired(OUTSIDE, INSIDE, ports) as wire,
        running_door(command, udp_ports=f"{ports[0]}-{ports[-1]}", advertise=OUTSIDE) as door,
    ):
        yield House(door, wire, clips, fault)


@pytest.fixture
def house(running_house: House) -> Iterator[House]:
    """The house, with nothing wrong in it before and after."""
    yield running_house
    running_house.mend_detector()
    running_house.wire.weather = {}
