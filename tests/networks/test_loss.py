"""What is lost on the way is asked for again: pictures go on, and the figures of `fancam bench loss` are what they say."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TypeVar

import pytest

from benchmarks.loss import figures
from benchmarks.wire import Weather, free_udp_ports, wired
from client.watch import Watcher
from tests.server.door.rtc import Peer, Publisher, Viewer, until
from tests.server.door.running import running_door

P = TypeVar("P", bound=Peer)
PATIENCE_S = 20


def shown(*spans: tuple[float, float], every_ms: float = 1000 / 30) -> list[tuple[float, int | None]]:
    """Thirty frames a second during each of the spans (s), nothing between them."""
    frames: list[tuple[float, int | None]] = []
    for begin, end in spans:
        frames += [
            (begin * 1000 + n * every_ms, len(frames) + n) for n in range(round((end - begin) * 1000 / every_ms))
        ]
    return frames


def test_figures_of_an_undisturbed_picture() -> None:
    found = figures(shown((0, 20)), 2000, 12000, 20000)
    assert found["fps"] == pytest.approx(30, abs=0.2)
    assert (found["freezes"], found["recovered_ms"]) == (0, pytest.approx(0, abs=40))
    assert found["longest_gap_ms"] == found["median_gap_ms"] == 33


def test_figures_of_freezes() -> None:
    found = figures(shown((0, 4), (5, 10), (13, 20)), 2000, 12000, 20000)
    assert found["fps"] == pytest.approx(21, abs=0.2)
    assert found["freezes"] == 2
    assert found["longest_gap_ms"] == pytest.approx(3000, abs=50)
    assert found["recovered_ms"] == pytest.approx(1000, abs=50)
    assert figures(shown((0, 11)), 2000, 12000, 20000)["recovered_ms"] is None


def test_a_picture_that_stands_is_a_freeze_though_frames_come() -> None:
    standing = [(ms, 7 if 4000 <= ms < 5000 else number) for ms, number in shown((0, 20))]
    unread = [(ms, None if 4000 <= ms < 5000 else number) for ms, number in shown((0, 20))]
    for frames in (standing, unread):
        assert figures(frames, 2000, 12000, 20000)["freezes"] == 1


async def connected(make: Callable[[], P]) -> P:
    """One that is: who was unlucky for `PATIENCE_S` asks anew, as the page does, for DTLS waits twice as long after each loss."""
    for _ in range(4):
        peer = make()
        assert (await peer.offer()).status == 201
        with contextlib.suppress(AssertionError):
            await until(lambda peer=peer: peer.pc.connectionState == "connected", "a connection", PATIENCE_S)
            return peer
        await peer.ask("DELETE", peer.session)
        await peer.close()
    pytest.fail("no connection")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "weather", [Weather(loss=0.05), Weather(loss=0.2), Weather(jitter_ms=30, reorders=True)], ids=str
)
def test_pictures_go_on_in_bad_weather(weather: Weather) -> None:
    """Both ways of both sides, from the first packet of ICE and DTLS on."""
    ports = free_udp_ports(10)

    async def run() -> None:
        publisher = await connected(lambda: Publisher(door, "/whip/stage"))
        viewer = await connected(lambda: Viewer(door, "/whep/stage/redacted"))
        try:
            await until(lambda: len(viewer.lumas) > 60, "two seconds of pictures", 60)
        finally:
            await publisher.close()
            await viewer.close()

    with (
        wired("127.0.0.9", "127.0.0.1", ports) as wire,
        running_door(udp_ports=f"{ports[0]}-{ports[-1]}", advertise="127.0.0.9") as door,
    ):
        wire.weather = dict.fromkeys(ports, weather)
        asyncio.run(run())
        assert (wire.lost > 0) == (weather.loss > 0)


def test_pictures_go_on_over_a_line_that_takes_less_than_half() -> None:
    """After some seconds: the rate has to be found."""
    ports = free_udp_ports(10)
    units: list[float] = []

    async def run() -> None:
        publisher = Publisher(door, "/whip/stage")
        try:
            assert (await publisher.offer()).status == 201
            await until(lambda: publisher.pc.connectionState == "connected", "a publisher's connection", 60)
            hit = set(wire.ports)
            async with Watcher(f"{door.url}/whep/stage/redacted", on_unit=lambda unit: units.append(len(unit.data))):
                await until(lambda: len(units) > 60, "pictures", 60)
                takes = 8 * sum(units[-30:]) * 0.45
                wire.weather = dict.fromkeys(wire.ports - hit, Weather(bit_s=takes))
                await asyncio.sleep(10)
                assert wire.lost > 0
                shown = len(units)
                await until(lambda: len(units) > shown + 30, "pictures on the narrow line", 15)
        finally:
            await publisher.close()

    with (
        wired("127.0.0.9", "127.0.0.1", ports) as wire,
        running_door(udp_ports=f"{ports[0]}-{ports[-1]}", advertise="127.0.0.9") as door,
    ):
        asyncio.run(run())
