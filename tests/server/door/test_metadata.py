"""What a viewer is told of each frame, on its data channel."""

from __future__ import annotations

from server.link import NO_FLAGS, Flag, Kind, Message, json_body
from tests.server.door.house import House


def meta(house: House, rtp_time: int) -> None:
    body = json_body(
        {"t": rtp_time, "w": 640, "h": 360, "b": [[7, 1, 2, 3, 4, 90, 1]], "names": ["Ada"], "landmarks": [[1, 2]],
         "l": {"decoded": 1.0, "detected": 2.0, "encoded": 0.5, "sent": 0.1}}
    )  # fmt: skip
    ident = house.hub.streams["stage"].ident
    house.hub.on_message(Message(Kind.META, ident, body, NO_FLAGS, 0, rtp_time, house.now_ns))


def test_metadata_is_keyed_by_the_time_of_the_viewer_s_own_feed() -> None:
    house = House()
    source, _ = house.publish()
    redacted, raw = house.watch("redacted"), house.watch("raw")
    house.unit(source, 10_000, key=True)
    house.encoded(redacted, 500, Flag.KEY)  # the studio's own line of time
    meta(house, 500)
    assert redacted.peer.texts[-1]["t"] == redacted.feed.broadcast.units[-1].rtp_time
    assert raw.peer.texts[-1]["t"] == raw.feed.broadcast.units[-1].rtp_time
    assert redacted.peer.texts[-1]["b"] == [[7, 1, 2, 3, 4, 90, 1]]


def test_metadata_holds_the_ledger_to_the_last_and_no_names() -> None:
    house = House()
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
