"""Streams and feeds in told time: what the studio is asked, what the viewers get. No sockets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.door.feed import FeedClock
from server.door.hub import Hub
from server.door.orders import MAX_BACKLOG_BYTES
from server.door.peers import AccessUnit
from server.door.streams import Refused, Source, Watcher
from server.link import NO_FLAGS, Flag, Kind, Message, Slate, json_body
from server.metrics import Metrics

MS = 1_000_000
S = 1_000 * MS


@dataclass
class Port:
    """A studio that remembers what it was told."""

    active: bool = True
    ever_ready: bool = True
    backlog_bytes: int = 0
    sent: list[Message] = field(default_factory=list)

    def send(
        self,
        kind: Kind,
        ident: int = 0,
        body: bytes = b"",
        flags: Flag = NO_FLAGS,
        rtp_time: int = 0,
        arrival_ns: int = 0,
    ) -> None:
        if self.active:
            self.sent.append(Message(kind, ident, body, flags, 0, rtp_time, arrival_ns))

    def kinds(self) -> list[Kind]:
        return [message.kind for message in self.sent]

    def last(self, kind: Kind) -> Message:
        return [message for message in self.sent if message.kind is kind][-1]


class Recorder:
    """In place of a Broadcast."""

    def __init__(self, codec: str) -> None:
        self.units: list[AccessUnit] = []
        self.rate: int | None = None
        self.dropped = 0
        self.on_key_needed: Any = None

    def drop_queued(self) -> None:
        self.dropped += 1

    def push(self, unit: AccessUnit) -> None:
        self.units.append(unit)

    def bit_rate(self) -> int | None:
        return self.rate


@dataclass
class FakePublisher:
    codec: str = "h264"
    last_packet_ns: int = 0
    keys: int = 0

    def request_key(self) -> None:
        self.keys += 1


@dataclass
class FakeViewer:
    texts: list[dict[str, Any]] = field(default_factory=list)

    def send_metadata(self, text: str) -> None:
        self.texts.append(json.loads(text))


class House:
    """A hub with everything around it; `now_ns` is its clock."""

    def __init__(self, policies: dict[str, dict[str, Any]] | None = None, **port: Any) -> None:
        self.now_ns = 1_000 * S
        self.port = Port(**port)
        self.evicted: list[tuple[str, str]] = []
        self.metrics = Metrics()
        self.hub = Hub(
            self.port, self.metrics, max_feeds=3, keep_audio=False, policies=policies or {}, changed=lambda: None,
            evict=lambda watcher, reason: self.evicted.append((watcher.feed.name, reason)),
            clock_ns=lambda: self.now_ns, make_broadcast=Recorder,
        )  # fmt: skip
        for flag, name in ((Flag.H264, b"h264"), (Flag.VP8, b"vp8")):
            for kind, body in ((Slate.RECONNECTING, b"slate "), (Slate.PANIC, b"panic ")):
                self.hub.on_message(Message(Kind.SLATE, kind, body + name, flag | Flag.KEY))

    def publish(self, name: str = "stage", codec: str = "h264") -> tuple[Source, FakePublisher]:
        source, peer = Source(self.now_ns), FakePublisher(codec)
        self.hub.start(name, source, peer)
        return source, peer

    def watch(self, feed: str = "redacted", offered: Sequence[str] = ("vp8", "h264"), name: str = "stage") -> Watcher:
        watcher = self.hub.watch(name, feed, offered)
        watcher.peer = FakeViewer()
        return watcher

    def unit(self, source: Source, rtp_time: int, key: bool = False, data: bytes = b"au", name: str = "stage") -> None:
        source.peer.last_packet_ns = self.now_ns
        self.hub.on_unit(name, source, AccessUnit(data, rtp_time, key, self.now_ns, self.now_ns - 3 * MS))

    def encoded(self, watcher: Watcher, rtp_time: int, flags: Flag = NO_FLAGS, data: bytes = b"picture") -> None:
        self.hub.on_message(Message(Kind.ENCODED, watcher.feed.ident, data, flags, 0, rtp_time, self.now_ns - 5 * MS))

    def see(self, *tracks: int, name: str = "stage") -> None:
        body = json_body({"width": 640, "height": 360, "tracks": [{"id": track, "seconds": 1} for track in tracks]})
        self.hub.on_message(Message(Kind.TRACKS, self.hub.streams[name].ident, body))

    def wait(self, ms: int) -> None:
        """Time passes, with the hub's ticks."""
        for _ in range(ms // 100):
            self.now_ns += 100 * MS
            self.hub.tick()


def shown(watcher: Watcher) -> list[bytes]:
    return [unit.data for unit in watcher.feed.broadcast.units]


@pytest.fixture
def house() -> House:
    return House()


# Work only for someone


def test_a_feed_is_opened_for_its_first_viewer_and_closed_after_its_last(house: House) -> None:
    house.publish()
    assert Kind.FEED_OPEN not in house.port.kinds()
    first, second = house.watch(), house.watch()
    assert first.feed is second.feed
    assert house.port.kinds().count(Kind.FEED_OPEN) == 1
    wish = house.port.last(Kind.FEED_OPEN).json()
    assert (wish["feed"], wish["codec"], wish["stream"]) == ("redacted", "h264", house.hub.streams["stage"].ident)
    house.hub.leave(first)
    house.wait(5_000)
    assert Kind.FEED_CLOSE not in house.port.kinds()
    house.hub.leave(second)
    house.hub.leave(second)
    house.wait(1_500)
    assert Kind.FEED_CLOSE not in house.port.kinds()
    house.wait(1_000)
    assert house.port.last(Kind.FEED_CLOSE).ident == first.feed.ident


def test_a_feed_is_encoded_once_per_codec_that_is_needed(house: House) -> None:
    house.publish()
    both, only_vp8, again = house.watch(), house.watch(offered=("vp8",)), house.watch(offered=("h264",))
    assert (both.feed.codec, only_vp8.feed.codec) == ("h264", "vp8")
    assert again.feed is both.feed
    assert house.port.kinds().count(Kind.FEED_OPEN) == 2


def test_no_codec_in_common_is_422(house: House) -> None:
    house.publish()
    with pytest.raises(Refused) as caught:
        house.watch(offered=("av1", "vp9"))
    assert caught.value.status == 422


def test_past_max_feeds_is_503_but_the_raw_relay_costs_nothing(house: House) -> None:
    house.publish()
    kept = [house.watch("redacted"), house.watch("overlay"), house.watch("redacted", ("vp8",))]
    with pytest.raises(Refused) as caught:
        house.watch("overlay", ("vp8",))
    assert (caught.value.status, caught.value.retry_after_s) == (503, 5)
    assert house.watch("raw").feed.relay
    house.hub.leave(kept[1])  # lingers, but gives its place to one that is wanted
    assert house.watch("overlay", ("vp8",)).feed.codec == "vp8"


def test_who_comes_too_early_is_told_when_to_come_back() -> None:
    cold = House(active=False, ever_ready=False)
    with pytest.raises(Refused) as nobody:
        cold.watch()
    assert (nobody.value.status, nobody.value.retry_after_s) == (409, 2)
    cold.publish()
    with pytest.raises(Refused) as warming_up:
        cold.watch()
    assert (warming_up.value.status, warming_up.value.retry_after_s) == (503, 2)


# Raw


def test_raw_is_relayed_from_a_key_frame_on_and_the_studio_is_not_asked_for_it(house: House) -> None:
    source, peer = house.publish()
    watcher = house.watch("raw")
    asked = peer.keys
    house.now_ns += S
    house.unit(source, 0, data=b"before")
    assert shown(watcher) == []
    assert peer.keys == asked + 1
    house.unit(source, 3000, key=True, data=b"key")
    house.unit(source, 6000, data=b"after")
    assert shown(watcher) == [b"key", b"after"]
    assert Kind.FEED_OPEN not in house.port.kinds()


def test_raw_is_encoded_for_a_viewer_who_does_not_take_the_publisher_s_codec(house: House) -> None:
    house.publish(codec="vp8")
    assert not house.watch("raw", ("h264",)).feed.relay
    assert house.port.last(Kind.FEED_OPEN).json()["feed"] == "raw"
    assert house.watch("raw", ("h264", "vp8")).feed.codec == "vp8"


def test_a_gap_stops_the_relay_until_a_key_frame_and_reaches_the_studio(house: House) -> None:
    source, peer = house.publish()
    watcher = house.watch("raw")
    house.unit(source, 0, key=True, data=b"1")
    house.now_ns += S
    asked = peer.keys
    house.hub.on_gap("stage", source)
    house.unit(source, 3000, data=b"2")
    house.unit(source, 6000, key=True, data=b"3")
    assert shown(watcher) == [b"1", b"3"]
    assert Kind.GAP in house.port.kinds()
    assert peer.keys > asked


# The way to the studio


def test_units_reach_the_studio_from_the_first_key_frame_on(house: House) -> None:
    source, peer = house.publish()
    assert peer.keys == 1
    house.unit(source, 0)
    house.unit(source, 3000, key=True)
    house.unit(source, 6000)
    units = [message for message in house.port.sent if message.kind is Kind.ACCESS_UNIT]
    assert [(unit.rtp_time, unit.flags) for unit in units] == [(3000, Flag.KEY), (6000, NO_FLAGS)]


def test_a_full_link_drops_whole_units_up_to_a_key_frame_and_counts_them(house: House) -> None:
    source, peer = house.publish()
    house.unit(source, 0, key=True)
    house.port.sent.clear()
    house.port.backlog_bytes = MAX_BACKLOG_BYTES + 1
    house.unit(source, 3000)
    house.unit(source, 6000, key=True)
    assert house.port.kinds() == [Kind.GAP]
    house.port.backlog_bytes = 0
    house.now_ns += S
    asked = peer.keys
    house.unit(source, 9000)
    assert peer.keys == asked + 1
    house.unit(source, 12000, key=True)
    house.unit(source, 15000)
    assert house.port.kinds() == [Kind.GAP, Kind.ACCESS_UNIT, Kind.ACCESS_UNIT]
    text = house.metrics.text().decode()
    assert 'fancam_dropped_frames_total{reason="link_full"} 2.0' in text
    assert 'fancam_dropped_frames_total{reason="before_key"} 1.0' in text


def test_the_publisher_is_asked_for_a_key_frame_at_most_twice_a_second(house: House) -> None:
    _, peer = house.publish()
    ident = house.hub.streams["stage"].ident
    for _ in range(100):
        house.now_ns += 10 * MS
        house.hub.on_message(Message(Kind.NEED_KEY, ident))
    assert peer.keys == 3


def test_a_feed_s_key_requests_coalesce(house: House) -> None:
    house.publish()
    watcher = house.watch()
    for _ in range(100):
        house.now_ns += 10 * MS
        watcher.feed.broadcast.on_key_needed()
    assert house.port.kinds().count(Kind.FEED_KEY) == 2


def test_the_slowest_viewer_s_bit_rate_is_passed_on_but_not_every_wobble(house: House) -> None:
    house.publish()
    watcher = house.watch()
    for rate in (800_000, 810_000, 790_000, 400_000):
        watcher.feed.broadcast.rate = rate
        house.wait(600)
    told = [message.json()["bit_rate"] for message in house.port.sent if message.kind is Kind.FEED_RATE]
    assert told == [800_000, 400_000]


# Slates


def test_a_lost_studio_means_a_slate_at_once_and_pictures_only_from_a_key_frame_on(house: House) -> None:
    source, peer = house.publish()
    watcher = house.watch()
    house.encoded(watcher, 90_000, Flag.KEY, b"1")
    house.port.active = False
    house.hub.studio_lost()
    assert shown(watcher) == [b"1", b"slate h264"]
    house.wait(1_000)
    assert 5 <= len(shown(watcher)) <= 8
    house.port.sent.clear()
    asked = peer.keys
    house.port.active = True
    house.hub.studio_ready()
    assert house.port.kinds() == [Kind.STREAM_OPEN, Kind.FEED_OPEN]
    assert peer.keys == asked + 1
    house.unit(source, 0)
    assert Kind.ACCESS_UNIT not in house.port.kinds()
    count = len(shown(watcher))
    house.encoded(watcher, 180_000, NO_FLAGS, b"refers to what was never shown")
    assert len(shown(watcher)) == count
    assert Kind.FEED_KEY in house.port.kinds()
    house.encoded(watcher, 183_000, Flag.KEY, b"2")
    assert shown(watcher)[-1] == b"2"
    times = [unit.rtp_time for unit in watcher.feed.broadcast.units]
    assert times == sorted(set(times))


def test_a_studio_that_sends_nothing_for_a_feed_is_covered_within_a_second(house: House) -> None:
    house.publish()
    watcher = house.watch()
    house.wait(700)
    assert shown(watcher) == []
    house.wait(300)
    assert shown(watcher) == [b"slate h264"]


def test_a_viewer_s_slate_is_in_its_own_codec(house: House) -> None:
    house.publish()
    watcher = house.watch(offered=("vp8",))
    house.wait(1_000)
    assert set(shown(watcher)) == {b"slate vp8"}


def test_a_publisher_that_is_silent_for_2_s_is_stalled_and_raw_shows_the_slate(house: House) -> None:
    source, _ = house.publish()
    watcher = house.watch("raw")
    house.unit(source, 0, key=True)
    assert house.hub.describe()["streams"][0]["state"] == "live"
    house.wait(2_200)
    assert house.hub.describe()["streams"][0]["state"] == "stalled"
    assert shown(watcher)[1:] == [b"slate h264"]
    house.unit(source, 3000, data=b"refers to what was never shown")
    house.unit(source, 6000, key=True, data=b"back")
    assert shown(watcher)[1:] == [b"slate h264", b"back"]


def test_panic_stops_the_relay_and_what_was_under_way(house: House) -> None:
    source, _ = house.publish()
    raw, overlay = house.watch("raw"), house.watch("overlay")
    house.unit(source, 0, key=True, data=b"face")
    house.encoded(overlay, 0, Flag.KEY, b"face")
    house.hub.set_policy("stage", {"panic": True})
    assert house.port.last(Kind.POLICY).json() == {"panic": True}
    house.unit(source, 3000, key=True, data=b"face 2")
    house.encoded(overlay, 3000, Flag.KEY, b"face 2")
    house.hub.on_audio("stage", source, b"voice", 960)
    house.wait(500)
    assert b"face 2" not in shown(raw) + shown(overlay)
    assert shown(raw)[1] == b"panic h264"
    assert raw.feed.broadcast.dropped == overlay.feed.broadcast.dropped == 1, "what waited for viewers is taken back"
    house.encoded(overlay, 6000, Flag.KEY | Flag.IS_SLATE, b"the studio's slate")
    assert shown(overlay)[-1] == b"the studio's slate"
    assert house.hub.describe()["streams"][0]["state"] == "slate"
    house.hub.set_policy("stage", {"panic": False})
    house.unit(source, 9000, key=True, data=b"again")
    assert shown(raw)[-1] == b"again"


def test_panic_outlives_the_publisher(house: House) -> None:
    source, _ = house.publish()
    house.hub.set_policy("stage", {"panic": True})
    house.hub.stop("stage", source)
    assert "stage" not in house.hub.streams
    house.publish()
    assert house.port.last(Kind.STREAM_OPEN).json()["policy"]["panic"] is True


# Publishers that come and go


def test_a_name_is_taken_until_its_publisher_has_been_silent_5_s(house: House) -> None:
    first, peer = house.publish()
    house.unit(first, 0, key=True)
    house.now_ns += 4_900 * MS
    with pytest.raises(Refused) as caught:
        house.hub.check_free("stage")
    assert caught.value.status == 409
    house.now_ns += 200 * MS
    second = Source(house.now_ns)
    assert house.hub.start("stage", second, FakePublisher()) is peer
    watcher = house.watch("raw")
    house.unit(first, 3000, key=True, data=b"the old one")
    house.unit(second, 50, key=True, data=b"the new one")
    assert shown(watcher) == [b"the new one"]
    house.hub.stop("stage", first)
    assert house.hub.streams["stage"].source is second


def test_viewers_stay_through_a_publisher_s_return_and_their_time_goes_on(house: House) -> None:
    source, _ = house.publish()
    watcher = house.watch()
    house.encoded(watcher, 5_000_000, Flag.KEY)
    house.hub.stop("stage", source)
    house.wait(3_000)
    assert shown(watcher)[-1] == b"slate h264"
    with pytest.raises(Refused) as caught:
        house.watch()
    assert caught.value.status == 409
    house.publish()
    opened = house.port.last(Kind.FEED_OPEN)
    assert opened.ident == watcher.feed.ident
    assert opened.json()["stream"] == house.hub.streams["stage"].ident
    house.encoded(watcher, 77, Flag.KEY, b"again")
    assert shown(watcher)[-1] == b"again"
    times = [unit.rtp_time for unit in watcher.feed.broadcast.units]
    assert times == sorted(set(times))
    assert times[-1] - times[0] == pytest.approx(3 * 90_000, abs=9_000)


def test_viewers_of_a_publisher_that_does_not_return_are_sent_away(house: House) -> None:
    source, _ = house.publish()
    house.watch()
    house.hub.stop("stage", source)
    house.wait(31_000)
    assert [feed for feed, _ in house.evicted] == ["redacted"]
    assert house.hub.describe() == {"streams": []}


def test_the_codec_that_the_publisher_really_sends_counts(house: House) -> None:
    source, peer = house.publish()
    redacted = house.watch()
    house.watch("raw")
    peer.codec = "vp8"
    house.unit(source, 0, key=True)
    assert house.port.last(Kind.STREAM_OPEN).json()["codec"] == "vp8"
    assert house.port.last(Kind.ACCESS_UNIT).ident == house.hub.streams["stage"].ident
    assert house.port.last(Kind.FEED_OPEN).ident == redacted.feed.ident
    assert [feed for feed, _ in house.evicted] == ["raw"]


# Fancams


def test_a_fancam_is_there_as_long_as_its_track(house: House) -> None:
    house.publish()
    with pytest.raises(Refused) as caught:
        house.watch("fancam/7")
    assert caught.value.status == 404
    house.see(3, 7)
    assert [feed["name"] for feed in house.hub.describe()["streams"][0]["feeds"]] == [
        "redacted", "overlay", "raw", "fancam/3", "fancam/7",
    ]  # fmt: skip
    watcher = house.watch("fancam/7")
    house.hub.on_message(Message(Kind.FEED_GONE, watcher.feed.ident, json_body({"reason": "the track has ended"})))
    assert house.evicted == [("fancam/7", "the track has ended")]
    assert house.hub.streams["stage"].watchers == set()


def test_fancams_end_with_the_studio_since_its_numbers_begin_anew(house: House) -> None:
    house.publish()
    house.see(7)
    house.watch("fancam/7")
    house.port.active = False
    house.hub.studio_lost()
    assert [feed for feed, _ in house.evicted] == ["fancam/7"]


# Metadata


def meta(house: House, rtp_time: int) -> None:
    body = json_body(
        {"t": rtp_time, "w": 640, "h": 360, "b": [[7, 1, 2, 3, 4, 90, 1]], "names": ["Ada"], "landmarks": [[1, 2]],
         "l": {"decoded": 1.0, "detected": 2.0, "encoded": 0.5, "sent": 0.1}}
    )  # fmt: skip
    ident = house.hub.streams["stage"].ident
    house.hub.on_message(Message(Kind.META, ident, body, NO_FLAGS, 0, rtp_time, house.now_ns))


def test_metadata_is_keyed_by_the_time_of_the_viewer_s_own_feed(house: House) -> None:
    source, _ = house.publish()
    redacted, raw = house.watch("redacted"), house.watch("raw")
    house.unit(source, 10_000, key=True)
    house.encoded(redacted, 500, Flag.KEY)  # the studio's own line of time
    meta(house, 500)
    assert redacted.peer.texts[-1]["t"] == redacted.feed.broadcast.units[-1].rtp_time
    assert raw.peer.texts[-1]["t"] == raw.feed.broadcast.units[-1].rtp_time
    assert redacted.peer.texts[-1]["b"] == [[7, 1, 2, 3, 4, 90, 1]]


def test_metadata_holds_the_ledger_to_the_last_and_no_names(house: House) -> None:
    source, _ = house.publish()
    watcher = house.watch("redacted")
    house.unit(source, 500, key=True)
    house.encoded(watcher, 500, Flag.KEY)  # 5 ms after its arrival
    meta(house, 500)
    told = watcher.peer.texts[-1]
    assert set(told) == {"t", "w", "h", "b", "l"}
    assert told["l"] == {"arrived": 3.0, "decoded": 1.0, "detected": 2.0, "encoded": 0.5, "sent": 1.5}
    latency = house.hub.latency("stage")
    assert latency["frames"] == 1
    assert latency["p50_ms"]["detected"] == 2.0


# Sound


def test_the_redacted_feed_has_no_sound(house: House) -> None:
    house.publish()
    assert house.hub.audio_of("stage", "redacted") is None
    for feed in ("overlay", "raw", "fancam/7"):
        assert house.hub.audio_of("stage", feed) is house.hub.streams["stage"].audio


# Time


@given(st.lists(st.tuples(st.integers(0, 2**33), st.integers(0, 3 * S), st.booleans()), min_size=1, max_size=30))
def test_a_feed_s_time_only_goes_forward_and_at_the_pace_of_the_clock(steps: list[tuple[int, int, bool]]) -> None:
    clock, now_ns, times = FeedClock(), 0, []
    for rtp_time, waited_ns, has_source in steps:
        now_ns += waited_ns
        times.append((clock.place(rtp_time, now_ns) if has_source else clock.tick(now_ns), now_ns))
    for (before, before_ns), (after, after_ns) in pairwise(times):
        assert after > before
        assert abs((after - before) / 90_000 - (after_ns - before_ns) / 1e9) <= 2 + 1e-3


def test_a_steady_source_keeps_its_own_times() -> None:
    clock = FeedClock()
    assert [clock.place(1000 + 3000 * n, n * 33 * MS + (n % 3) * MS) for n in range(50)] == [
        1000 + 3000 * n for n in range(50)
    ]
