"""A safety delay: everything is shown that much later, and panic covers what has not been shown yet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from aiortc import AudioStreamTrack

from server.door.broadcast import AccessUnit
from server.door.delay import MAX_BYTES, Delay
from server.door.streams import Refused, Source
from server.link import Flag, Kind, Message, json_body
from tests.server.door.house import MS, FakePublisher, House, shown
from tests.server.door.rtc import Publisher, Viewer, until
from tests.server.door.running import Running

DELAY_S = 5
FPS = 20


class DelayedHouse(House):
    """A hub behind a delay; `run` lets time pass in steps of 5 ms, `sounds` are what listeners of the stream get."""

    def __init__(self) -> None:
        super().__init__()
        self.delay = Delay(self.hub, self.metrics, DELAY_S, lambda: self.now_ns)
        self.sounds: list[bytes] = []
        self.sent = self.keys = 0
        self.obeys = False

    def begin(self) -> tuple[Source, FakePublisher]:
        source, peer = self.publish()
        stream = self.hub.streams["stage"]
        stream.audio.push = lambda payload, rtp_time: self.sounds.append(payload)  # type: ignore[method-assign]
        return source, peer

    def run(self, ms: int) -> None:
        for step in range(ms // 5):
            self.now_ns += 5 * MS
            self.delay.release()
            if step % 20 == 0:
                self.hub.tick()

    def send(self, source: Source, frames: int, key_every: int = 30) -> None:
        """As many frames at 20 a second, each with its number, and with sound; key frames also where one is asked for."""
        for _ in range(frames):
            data, asked = str(self.sent).encode(), source.peer.keys > self.keys
            self.keys = source.peer.keys
            key = self.sent % key_every == 0 or (asked and self.obeys)
            self.delay.on_unit("stage", source, AccessUnit(data, 4500 * self.sent, key, self.now_ns, self.now_ns))
            self.delay.on_audio("stage", source, data, 2400 * self.sent)
            self.sent += 1
            self.run(1000 // FPS)

    def units(self) -> list[Message]:
        return [message for message in self.port.sent if message.kind is Kind.ACCESS_UNIT]


@pytest.fixture
def house() -> DelayedHouse:
    return DelayedHouse()


def numbers(items: list[bytes]) -> list[int]:
    return [int(item) for item in items if item.isdigit()]


def test_pictures_and_sound_come_later_all_of_them_and_in_order(house: DelayedHouse) -> None:
    source, _ = house.begin()
    raw = house.watch("raw")
    house.send(source, 99)
    assert (numbers(shown(raw)), house.units(), house.sounds) == ([], [], []), "before the delay is over"
    for sent in range(99, 300):
        house.send(source, 1)
        assert sent - 100 <= numbers(shown(raw))[-1] <= sent - 99
    everything = numbers(shown(raw))
    assert everything == list(range(201))
    assert [int(unit.body) for unit in house.units()] == everything
    assert [int(sound) for sound in house.sounds] == everything
    assert 0 <= house.now_ns - house.units()[-1].arrival_ns <= 60 * MS
    house.run(DELAY_S * 1000)
    assert numbers(shown(raw)) == list(range(300))


def test_panic_takes_back_what_has_not_been_shown_and_what_comes_while_it_lasts(house: DelayedHouse) -> None:
    source, peer = house.begin()
    raw = house.watch("raw")
    house.send(source, 200)
    seen, heard = numbers(shown(raw)), len(house.sounds)
    assert 99 <= len(seen) <= 101
    house.hub.policies.change("stage", {"panic": True}, by="test")
    house.send(source, 40)
    house.hub.policies.change("stage", {"panic": False}, by="test")
    ended_at, asked = house.sent, peer.keys
    house.send(source, 3, key_every=1000)
    assert peer.keys > asked, "the next to be held is a key frame, which is asked for at once"
    house.send(source, 200)
    after = numbers(shown(raw))[len(seen) :]
    assert after[0] == 270, "the first key frame"
    assert after == list(range(after[0], after[0] + len(after)))
    assert min(map(int, house.sounds[heard:])) >= ended_at
    assert {int(unit.body) for unit in house.units()} & set(range(len(seen), ended_at)) == set()


def test_panic_of_a_moment_takes_back_all_the_same(house: DelayedHouse) -> None:
    source, _ = house.begin()
    raw = house.watch("raw")
    house.send(source, 200)
    seen = len(numbers(shown(raw)))
    house.hub.policies.change("stage", {"panic": True}, by="test")
    house.hub.policies.change("stage", {"panic": False}, by="test")
    house.send(source, 200)
    assert min(numbers(shown(raw))[seen:]) >= 200


def test_who_needs_a_key_frame_waits_for_one_that_is_held(house: DelayedHouse) -> None:
    source, peer = house.begin()
    house.obeys = True
    house.send(source, 200, key_every=1000)
    assert 4 <= peer.keys <= 6, "one every two seconds, for whoever comes"
    asked = peer.keys
    raw = house.watch("raw")
    house.send(source, 45, key_every=1000)
    assert numbers(shown(raw)), "a picture within two seconds"
    assert peer.keys <= asked + 2


def test_after_a_gap_nothing_is_held_before_a_key_frame(house: DelayedHouse) -> None:
    source, peer = house.begin()
    house.send(source, 10)
    house.delay.on_gap("stage", source)
    asked = peer.keys
    house.run(600)
    house.send(source, 30)
    assert peer.keys > asked
    house.run(DELAY_S * 1000)
    assert [int(unit.body) for unit in house.units()] == [*range(10), *range(30, 40)]


def test_what_is_held_is_shown_when_the_publisher_has_gone(house: DelayedHouse) -> None:
    source, _ = house.begin()
    raw = house.watch("raw")
    house.send(source, 60)
    house.delay.stop("stage", source)
    house.run(1_900)
    assert numbers(shown(raw)) == []
    house.run(1_000)
    assert house.hub.describe()["streams"][0]["state"] == "live"
    house.run(2_200)
    assert numbers(shown(raw)) == list(range(60))
    assert house.hub.streams["stage"].source is None
    with pytest.raises(Refused):
        house.watch("raw")


def test_who_publishes_again_need_not_wait_and_takes_its_place(house: DelayedHouse) -> None:
    source, _ = house.begin()
    raw = house.watch("raw")
    house.send(source, 60)
    house.delay.stop("stage", source)
    again, _ = house.publish()
    house.sent = 600
    house.send(again, 200)
    assert min(numbers(shown(raw))) == 600
    house.delay.stop("stage", again)
    house.hub.policies.change("stage", {"panic": True}, by="test")
    house.run(DELAY_S * 1000 + 100)
    assert house.hub.streams["stage"].source is None, "panic does not keep a stream that has ended"


def test_what_is_held_has_a_bound(house: DelayedHouse) -> None:
    source, _ = house.begin()
    big = MAX_BYTES // 10
    for n in range(12):
        unit = AccessUnit(bytes(big), 3000 * n, n % 6 == 0, house.now_ns, house.now_ns)
        house.delay.on_unit("stage", source, unit)
        house.run(100)
    house.run(DELAY_S * 1000)
    assert len(house.units()) == 10
    assert 'fancam_dropped_frames_total{reason="delay_before_key"} 2.0' in house.metrics.text().decode()
    key = AccessUnit(b"key", 90_000, True, house.now_ns, house.now_ns)
    house.delay.on_unit("stage", source, key)
    house.run(DELAY_S * 1000 + 10)
    assert house.units()[-1].body == b"key"


def test_the_ledger_tells_the_delay_apart_from_the_way_here(house: DelayedHouse) -> None:
    source, _ = house.begin()
    viewer = house.watch()
    unit = AccessUnit(b"au", 0, True, house.now_ns, house.now_ns - 3 * MS)
    house.delay.on_unit("stage", source, unit)
    house.run(DELAY_S * 1000)
    (told,) = house.units()
    house.now_ns += 7 * MS
    picture = Message(Kind.ENCODED, viewer.feed.ident, b"p", Flag.KEY, 0, 0, told.arrival_ns)
    house.hub.on_message(picture)
    meta = {"t": 0, "w": 4, "h": 4, "b": [], "l": {"decoded": 2.0, "sent": 0.1}}
    house.hub.on_message(Message(Kind.META, told.ident, json_body(meta), arrival_ns=told.arrival_ns))
    ledger = viewer.peer.texts[-1]["l"]
    assert ledger == {"arrived": 3.0, "delayed": 5000.0, "decoded": 2.0, "sent": pytest.approx(5.0, abs=0.1)}
    assert house.hub.latency("stage")["p50_ms"]["delayed"] == 5000.0


def test_a_real_viewer_sees_and_hears_it_later_and_panic_comes_in_time(start_door: Callable[..., Running]) -> None:
    door = start_door(delay=2)

    async def run() -> None:
        publisher = Publisher(door, "/whip/stage")
        publisher.camera.period = 160
        publisher.pc.addTrack(AudioStreamTrack())
        assert (await publisher.offer()).status == 201
        began_s = time.monotonic()
        viewer = Viewer(door, "/whep/stage/raw")
        viewer.pc.addTransceiver("audio", "recvonly")
        assert (await viewer.offer()).status == 201
        await until(lambda: viewer.sounds > 20, "sound")
        assert time.monotonic() - began_s > 2.2, "the delay, and 20 packets of 20 ms"
        await until(lambda: sum(luma > 55 for luma in viewer.lumas) > 20, "twenty pictures")
        assert time.monotonic() - began_s > 2.5
        patch = "/streams/stage/redaction"
        await viewer.ask("PATCH", patch, '{"panic": true}', Content_Type="application/json")
        pressed = publisher.camera.luma
        await until(lambda: viewer.lumas[-1] < 55, "the slate")
        last = [luma for luma in viewer.lumas if luma > 55][-1]
        assert 40 < (pressed - last) % 160 < 150, "two seconds of a picture that repeats after 160 frames"
        at, ended = len(viewer.lumas), publisher.camera.luma
        await viewer.ask("PATCH", patch, '{"panic": false}', Content_Type="application/json")
        await until(lambda: sum(luma > 55 for luma in viewer.lumas[at:]) > 10, "the video again")
        again = [luma for luma in viewer.lumas[at:] if luma > 55]
        assert (again[0] - ended) % 160 < 80, "what was held when panic was pressed has been shown"
        await viewer.close()
        await publisher.close()

    asyncio.run(run())
