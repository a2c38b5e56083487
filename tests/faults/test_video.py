"""What comes from the publisher breaks off, changes or is lost: nobody is seen in what viewers get meanwhile and after."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from benchmarks.wire import Weather
from tests.faults.stage import House, Shown, View, published, watched
from tests.server.door.rtc import until


def broken(data: bytes) -> bytes:
    """An access unit whose second half is something else."""
    return data[: len(data) // 2] + bytes(range(256)) * (len(data) // 512)


async def from_clip(view: View, first: int) -> list[Shown]:
    """All pictures of the clip whose numbers begin with `first`, once there are some."""

    def found() -> list[Shown]:
        return [one for one in view.pictures if one.number in range(first, first + 100)]

    await until(lambda: len(found()) >= 10, f"ten pictures from {first} on", 30)
    return found()


def test_an_access_unit_is_damaged(house: House) -> None:
    async def run() -> None:
        async with published(house, "damaged") as camera, watched(house, "damaged") as view:
            for _ in range(4):
                await view.more(8)
                camera.damage = broken
                await until(lambda: camera.damage is None, "a damaged frame")
            await view.more(15)
            view.assert_nobody_was_seen()

    asyncio.run(run())


def test_another_scene_with_new_faces(house: House) -> None:
    """The first frame of it is kept back until the next one has been analysed too."""

    async def run() -> None:
        async with published(house, "cut") as camera, watched(house, "cut") as view:
            await view.more(15)
            camera.showing = 1
            after = await from_clip(view, 100)
            first_sent = next(number for _, number in camera.sent if number >= 100)
            assert after[0].number != first_sent
            view.assert_nobody_was_seen()

    asyncio.run(run())


def test_another_size_and_back(house: House) -> None:
    async def run() -> None:
        async with published(house, "size") as camera, watched(house, "size") as view:
            await view.more(15)
            camera.showing = 2
            smaller = await from_clip(view, 200)
            assert {one.size for one in smaller} == {(480, 360)}
            first_sent = next(number for _, number in camera.sent if number >= 200)
            assert smaller[0].number != first_sent
            camera.showing = 0
            back = len(view.pictures)
            await until(lambda: sum(one.size == (640, 480) for one in view.pictures[back:]) >= 10, "the first size")
            view.assert_nobody_was_seen()

    asyncio.run(run())


def test_the_first_frames_of_a_publisher_who_comes_while_someone_watches(house: House) -> None:
    async def run() -> None:
        async with AsyncExitStack() as viewer:
            async with published(house, "first"):
                view = await viewer.enter_async_context(watched(house, "first"))
                await view.more(10)
            await view.slate()
            async with published(house, "first", showing=1) as camera:
                after = await from_clip(view, 100)
                assert after[0].number != camera.sent[0][1], "one frame alone is not enough"
                view.assert_nobody_was_seen()

    asyncio.run(run())


@pytest.mark.parametrize("loss", [0.05, 0.2])
def test_packets_are_lost_on_all_ways(house: House, loss: float) -> None:
    async def run() -> None:
        stream = f"lost-{loss * 100:.0f}"
        async with published(house, stream), watched(house, stream) as view:
            house.wire.weather = dict.fromkeys(house.wire.ports, Weather(loss=loss))
            await view.more(40, deadline_s=60)
            house.wire.weather = {}
            await view.more(15)
            view.assert_nobody_was_seen()

    lost = house.wire.lost
    asyncio.run(run())
    assert house.wire.lost > lost
