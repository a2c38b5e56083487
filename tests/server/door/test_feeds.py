"""Feeds in told time: when they are opened and closed, and what their viewers get. No sockets."""

from __future__ import annotations

import pytest

from server.door.broadcast import MAX_QUEUED, Broadcast
from server.door.streams import Refused
from server.link import NO_FLAGS, Flag, Kind, Message, json_body
from tests.server.door.house import MS, House, S, shown


@pytest.fixture
def house() -> House:
    return House()


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


def test_past_max_feeds_is_503_but_the_raw_relay_costs_nothing(house: House) -> None:
    house.publish()
    kept = [house.watch("redacted"), house.watch("overlay"), house.watch("redacted", ("vp8",))]
    with pytest.raises(Refused) as caught:
        house.watch("overlay", ("vp8",))
    assert (caught.value.status, caught.value.retry_after_s) == (503, 5)
    assert house.watch("raw").feed.relay
    house.hub.leave(kept[1])  # lingers, but gives its place to one that is wanted
    assert house.watch("overlay", ("vp8",)).feed.codec == "vp8"


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


def test_frames_that_a_slow_viewer_never_gets_are_counted() -> None:
    house = House(make_broadcast=Broadcast)
    house.publish()
    watcher = house.watch()
    watcher.feed.broadcast.attach()
    for number in range(MAX_QUEUED + 5):
        flags = Flag.KEY if number == 0 else NO_FLAGS
        house.encoded(watcher, 3000 * number, flags, b"\x00\x00\x00\x01\x41picture")
    text = house.metrics.text().decode()
    assert f'fancam_dropped_frames_total{{reason="slow_viewer"}} {MAX_QUEUED + 1}.0' in text
    assert 'fancam_dropped_frames_total{reason="viewer_before_key"} 4.0' in text


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
