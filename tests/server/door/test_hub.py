"""Streams in told time: who publishes and watches them, and what the studio is asked. No sockets."""

from __future__ import annotations

import pytest

from server.door.orders import MAX_BACKLOG_BYTES
from server.door.streams import Refused, Source
from server.link import NO_FLAGS, Flag, Kind, Message
from tests.server.door.house import MS, FakePublisher, House, S, shown


@pytest.fixture
def house() -> House:
    return House()


def test_no_codec_in_common_is_422(house: House) -> None:
    house.publish()
    with pytest.raises(Refused) as caught:
        house.watch(offered=("av1", "vp9"))
    assert caught.value.status == 422


def test_who_comes_too_early_is_told_when_to_come_back() -> None:
    cold = House(active=False, ever_ready=False)
    with pytest.raises(Refused) as nobody:
        cold.watch()
    assert (nobody.value.status, nobody.value.retry_after_s) == (409, 2)
    cold.publish()
    with pytest.raises(Refused) as warming_up:
        cold.watch()
    assert (warming_up.value.status, warming_up.value.retry_after_s) == (503, 2)


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


def test_fancams_end_with_the_studio_since_its_numbers_begin_anew(house: House) -> None:
    house.publish()
    house.see(7)
    house.watch("fancam/7")
    house.port.active = False
    house.hub.studio_lost()
    assert [feed for feed, _ in house.evicted] == ["fancam/7"]


def test_the_redacted_feed_has_no_sound(house: House) -> None:
    house.publish()
    assert house.hub.audio_of("stage", "redacted") is None
    for feed in ("overlay", "raw", "fancam/7"):
        assert house.hub.audio_of("stage", feed) is house.hub.streams["stage"].audio
