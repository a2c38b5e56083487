"""Streams and feeds in told time: what the studio is asked, what the viewers get. No sockets."""

from __future__ import annotations

import pytest

from server.door.orders import MAX_BACKLOG_BYTES
from server.door.streams import Refused, Source
from server.link import NO_FLAGS, Flag, Kind, Message, json_body
from tests.server.door.house import MS, FakePublisher, House, S, shown


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
    house.hub.set_policy("stage", {"panic": True}, "a test")
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
    house.hub.set_policy("stage", {"panic": False}, "a test")
    house.unit(source, 9000, key=True, data=b"again")
    assert shown(raw)[-1] == b"again"


def test_panic_outlives_the_publisher(house: House) -> None:
    source, _ = house.publish()
    house.hub.set_policy("stage", {"panic": True}, "a test")
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


# Sound


def test_the_redacted_feed_has_no_sound(house: House) -> None:
    house.publish()
    assert house.hub.audio_of("stage", "redacted") is None
    for feed in ("overlay", "raw", "fancam/7"):
        assert house.hub.audio_of("stage", feed) is house.hub.streams["stage"].audio


def test_a_budget_given_to_a_stream_holds_for_later_publishers_too(house: House) -> None:
    source, _ = house.publish()
    assert house.port.last(Kind.STREAM_OPEN).json()["policy"]["budget_ms"] == 100
    house.hub.set_budget("stage", 60)
    told = house.port.last(Kind.POLICY)
    assert (told.ident, told.json()) == (house.hub.streams["stage"].ident, {"budget_ms": 60})
    assert house.hub.describe()["streams"][0]["budget_ms"] == 60
    house.hub.stop("stage", source)
    house.publish()
    assert house.port.last(Kind.STREAM_OPEN).json()["policy"]["budget_ms"] == 60
    house.publish("other")
    assert house.port.last(Kind.STREAM_OPEN).json()["policy"]["budget_ms"] == 100
    with pytest.raises(Refused) as refused:
        house.hub.set_budget("none", 60)
    assert refused.value.status == 404
