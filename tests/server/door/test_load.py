"""What the studio's counts mean for streams: their rungs, their drops, and whether there is room for another."""

from __future__ import annotations

from typing import Any

import pytest

from server.door.streams import Refused
from server.link import Kind, Message, json_body
from tests.server.door.house import House, S


def stats(house: House, room: int = 5, rung: str = "full", **drops: int) -> None:
    """What the studio says once a second of the streams that there are."""
    present = {
        str(stream.ident): {
            "name": name, "fps": 30, "rung": rung, "rung_number": 1, "swaps_s": [], "counts": {}, "drops": drops, "stages": {},
        }
        for name, stream in house.hub.streams.items()
    }  # fmt: skip
    body: dict[str, Any] = {
        "rss_bytes": 1, "buckets_ms": [1], "detector": {"counts": {}}, "streams": present, "feeds": {},
        "load": 0.5, "room": room,
    }  # fmt: skip
    house.hub.on_message(Message(Kind.STATS, 0, json_body(body)))


def test_the_rung_and_the_drops_of_a_stream_are_told() -> None:
    house = House()
    house.publish()
    assert house.hub.describe(names=False)["streams"][0]["rung"] == "full"
    stats(house, rung="every 2nd frame detected", detect_no_time=7)
    assert house.hub.describe(names=False)["streams"][0]["rung"] == "every 2nd frame detected"
    told = house.hub.latency("stage")
    assert (told["rung"], told["budget_ms"]) == ("every 2nd frame detected", 100)
    assert told["drops"] == {"detect_no_time": 7}
    assert told["missed"] == 7


def test_without_room_a_new_stream_is_refused_with_503_and_those_that_are_there_may_come_again() -> None:
    house = House()
    house.hub.load.check_room("first")
    house.publish("first")
    stats(house, room=2)
    house.publish("second")
    house.hub.load.check_room("third")
    house.publish("third")
    with pytest.raises(Refused) as refused:
        house.hub.load.check_room("fourth")
    assert (refused.value.status, refused.value.retry_after_s) == (503, 10)
    stats(house, room=0)
    with pytest.raises(Refused):
        house.publish("fourth")
    assert "fourth" not in house.hub.streams
    house.hub.load.check_room("first")
    house.now_ns += 6 * S
    house.publish("first")  # takes over
    house.hub.studio_lost()
    house.hub.load.check_room("fourth")
