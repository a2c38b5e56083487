"""Inputs that take each other's place, in told time. No processes."""

from __future__ import annotations

import asyncio

import pytest

from server.door.delay import Delay
from server.door.inputs import Input, Inputs
from server.door.pull import Lost
from server.door.sessions import Sessions
from server.door.streams import Refused
from server.settings import Settings
from tests.server.door.house import House

CAMERA = {"source": "rtsp://camera.example/1", "loop": False, "allow_private": False}


def test_an_input_that_ends_just_as_another_takes_its_place_takes_nothing_along() -> None:
    async def run() -> None:
        house, sessions = House(), Sessions(2, 1)
        delay = Delay(house.hub, house.metrics, 0, lambda: house.now_ns)
        inputs = Inputs(Settings(), house.hub, delay, sessions, house.metrics, lambda: None)
        first, second = Input(inputs, "lobby", CAMERA), Input(inputs, "lobby", CAMERA)
        for one in (first, second):
            one.on_ready()
        assert not first.on_lost(Lost("ended", "it was just over"))
        assert house.hub.streams["lobby"].source is second.source
        sessions.take_place()
        with pytest.raises(Refused):  # the first has given its place back once
            sessions.take_place()
        await inputs.remove("lobby")
        assert house.hub.streams.get("lobby") is None

    asyncio.run(run())
