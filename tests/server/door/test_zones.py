"""Streams with privacy zones: no raw feed, whoever watches it already, and the studio is told before the first frame."""

from __future__ import annotations

import asyncio
import json

import pytest

from server.door.broadcast import Broadcast
from server.door.streams import Refused
from server.link import Kind
from tests.server.door.house import House, shown
from tests.server.door.running import Running

ZONES = [[[0.0, 0.5], [1.0, 0.5], [1.0, 1.0], [0.0, 1.0]]]


def test_zones_end_the_raw_feed_at_once_and_it_stays_closed() -> None:
    house = House()
    source, _ = house.publish()
    raw, redacted = house.watch("raw"), house.watch()
    only_vp8 = house.watch("raw", offered=("vp8",))  # through the studio
    house.unit(source, 0, key=True, data=b"all of it")
    house.hub.policies.change("stage", {"zones": ZONES}, "a test")
    assert house.port.last(Kind.POLICY).json() == {"zones": ZONES}
    assert sorted(house.evicted) == [("raw", "the stream has privacy zones")] * 2
    assert redacted.feed.broadcast.dropped == 1, "what waits for its viewers has no zones in it"
    house.unit(source, 3000, key=True, data=b"all of it, later")
    assert b"all of it, later" not in shown(raw) + shown(only_vp8)
    with pytest.raises(Refused) as caught:
        house.watch("raw")
    assert caught.value.status == 403
    assert redacted in house.hub.streams["stage"].watchers
    (described,) = house.hub.describe()["streams"]
    assert described["zones"] == ZONES
    assert "raw" not in [feed["name"] for feed in described["feeds"]]

    house.hub.policies.change("stage", {"zones": []}, "a test")
    house.watch("raw")


def test_what_still_waits_for_a_viewer_of_raw_is_not_sent_once_there_are_zones() -> None:
    async def run() -> None:
        house = House(make_broadcast=Broadcast)
        source, _ = house.publish()
        viewer = house.watch("raw").feed.broadcast.attach()
        house.unit(source, 0, key=True)
        house.unit(source, 3000)
        assert (await viewer.recv()).rtp_time == 0
        house.hub.policies.change("stage", {"zones": ZONES}, "a test")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(viewer.recv(), 0.1)

    asyncio.run(run())


def test_zones_outlive_the_publisher_and_may_be_there_before_the_first() -> None:
    house = House(policies={"stage": {"zones": ZONES}})
    for _ in range(2):
        source, _ = house.publish()
        assert house.port.last(Kind.STREAM_OPEN).json()["policy"]["zones"] == ZONES
        with pytest.raises(Refused):
            house.watch("raw")
        house.hub.stop("stage", source)


@pytest.mark.parametrize(
    "zones", [[[[0, 0], [1, 1]]], [[[0, 0], [1, 0], [2, 0]]], [[[0, 0], [1, 0], ["1", 0]]], {"a": 1}, [[[0, 0]] * 65]]
)
def test_zones_that_are_none_are_refused(door: Running, zones: object) -> None:
    answer = door.ask("PATCH", "/streams/any/redaction", json.dumps({"zones": zones}), Content_Type="application/json")
    assert answer.status == 422
    assert b"zones" in answer.body
