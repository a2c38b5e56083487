"""What a stream is told of its redaction and budget, in told time. No sockets."""

from __future__ import annotations

from typing import Any

import pytest

from server.door.streams import Refused
from server.link import Flag, Kind
from tests.server.door.house import MS, House, shown


@pytest.fixture
def house() -> House:
    return House()


def test_panic_stops_the_relay_and_what_was_under_way(house: House) -> None:
    source, _ = house.publish()
    raw, overlay = house.watch("raw"), house.watch("overlay")
    house.unit(source, 0, key=True, data=b"face")
    house.encoded(overlay, 0, Flag.KEY, b"face")
    house.hub.policies.change("stage", {"panic": True}, "a test")
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
    house.hub.policies.change("stage", {"panic": False}, "a test")
    house.unit(source, 9000, key=True, data=b"again")
    assert shown(raw)[-1] == b"again"


@pytest.mark.parametrize("change", [{"zones": [[[0, 0], [1, 0], [1, 1]]]}, {"heads": True}, {"cover": "everyone"}])
def test_a_key_frame_that_was_under_way_when_the_policy_changed_is_not_shown(change: dict[str, Any]) -> None:
    """Whoever waits for a key frame would begin with it."""
    house = House(finds=("face", "person"))
    source, _ = house.publish()
    overlay = house.watch("overlay")
    house.unit(source, 0, key=True)
    house.hub.policies.change("stage", change, "a test")
    house.encoded(overlay, 0, Flag.KEY, b"by the old policy")
    house.now_ns += 50 * MS
    house.unit(source, 3000)
    house.now_ns += 5 * MS
    house.encoded(overlay, 3000, Flag.KEY, b"by the new one")
    assert shown(overlay) == [b"by the new one"]


def test_panic_outlives_the_publisher(house: House) -> None:
    source, _ = house.publish()
    house.hub.policies.change("stage", {"panic": True}, "a test")
    house.hub.stop("stage", source)
    assert "stage" not in house.hub.streams
    house.publish()
    assert house.port.last(Kind.STREAM_OPEN).json()["policy"]["panic"] is True


def test_a_budget_given_to_a_stream_holds_for_later_publishers_too(house: House) -> None:
    source, _ = house.publish()
    assert house.port.last(Kind.STREAM_OPEN).json()["policy"]["budget_ms"] == 100
    house.hub.policies.set_budget("stage", 60)
    told = house.port.last(Kind.POLICY)
    assert (told.ident, told.json()) == (house.hub.streams["stage"].ident, {"budget_ms": 60})
    assert house.hub.describe()["streams"][0]["budget_ms"] == 60
    house.hub.stop("stage", source)
    house.publish()
    assert house.port.last(Kind.STREAM_OPEN).json()["policy"]["budget_ms"] == 60
    house.publish("other")
    assert house.port.last(Kind.STREAM_OPEN).json()["policy"]["budget_ms"] == 100
    with pytest.raises(Refused) as refused:
        house.hub.policies.set_budget("none", 60)
    assert refused.value.status == 404
