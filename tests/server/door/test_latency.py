"""What is told of a stream's latency, its rung, and whether there is room for another, in told time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.door.latency import LatencyLog, total_ms
from server.door.streams import Refused
from server.link import Kind, Message, json_body
from tests.server.door.house import House, S
from tests.server.door.running import Running

MS = 1_000_000
WORK = st.fixed_dictionaries(
    {stage: st.floats(0, 200) for stage in ("decoded", "batched", "detected", "encoded", "sent")}
)


@given(st.lists(WORK, min_size=1, max_size=50), st.integers(20, 500))
def test_the_stages_sum_to_the_total_and_what_is_over_the_budget_is_late(
    ledgers: list[dict[str, float]], budget: int
) -> None:
    log = LatencyLog()
    for number, ledger in enumerate(ledgers):
        log.add_frame({"arrived": 500.0, "delayed": 5000.0, "waited": 100.0, **ledger}, number * 33 * MS)
    told = log.summary(60, budget, len(ledgers) * 33 * MS)
    totals = sorted(sum(ledger.values()) for ledger in ledgers)
    assert told["frames"] == len(ledgers)
    assert told["late"] == sum(total > budget for total in totals) == told["missed"]
    assert totals[0] - 0.01 <= told["p50_ms"]["total"] <= told["p95_ms"]["total"] <= told["p99_ms"]["total"]
    assert told["p99_ms"]["total"] <= totals[-1] + 0.01
    assert total_ms(told["last_ms"]) == pytest.approx(sum(ledgers[-1].values()))
    assert told["p50_ms"]["waited"] == 100.0


def test_only_the_seconds_asked_for_count_and_a_minute_is_kept() -> None:
    log = LatencyLog()
    for number in range(30 * 90):
        log.add_frame({"decoded": 1.0 if number < 30 * 85 else 9.0}, number * S // 30)
        if number % 30 == 0:
            log.add_drops({"detect_late": 2}, [{"encode_late": 1}, {"encode_late": 3}], number * S // 30)
    now_ns = 90 * S
    assert log.summary(4, 100, now_ns)["p50_ms"]["decoded"] == 9.0
    assert log.summary(4, 100, now_ns)["frames"] == pytest.approx(120, abs=1)
    assert log.summary(60, 100, now_ns)["p50_ms"]["decoded"] == 1.0
    assert log.summary(60, 100, now_ns)["frames"] == 1800
    last = log.summary(4, 100, now_ns)
    assert last["fps"] == pytest.approx(30, abs=0.1)
    assert last["drops"] == {"detect_late": 8, "encode_late": 16}
    assert last["missed"] == 4 * 3, "a frame that two feeds dropped is one miss"


def test_what_no_faster_machine_would_have_shown_is_no_miss() -> None:
    log = LatencyLog()
    log.add_drops({"not_yet_safe": 1, "before_key": 9}, [{"covered by the operator": 20, "unsafe": 1}], 0)
    told = log.summary(10, 100, S)
    assert told["missed"] == 1
    assert told["drops"]["covered by the operator"] == 20
    assert (told["fps"], told["last_ms"], told["p99_ms"]) == (0.0, {}, {})


def test_over_http_a_budget_and_the_seconds_have_their_bounds(door: Running) -> None:
    for body, status in (
        ('{"budget_ms": 60}', 404),
        ('{"budget_ms": 5}', 422),
        ('{"budget_ms": "60"}', 422),
        ("{}", 422),
    ):
        assert door.ask("PATCH", "/streams/none/latency", body, Content_Type="application/json").status == status
    assert door.ask("GET", "/streams/none/latency?seconds=10").status == 404
    for seconds in ("0", "61", "x"):
        assert door.ask("GET", f"/streams/none/latency?seconds={seconds}").status == 422


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
    house.hub.check_room("first")
    house.publish("first")
    stats(house, room=2)
    house.publish("second")
    house.hub.check_room("third")
    house.publish("third")
    with pytest.raises(Refused) as refused:
        house.hub.check_room("fourth")
    assert (refused.value.status, refused.value.retry_after_s) == (503, 10)
    stats(house, room=0)
    with pytest.raises(Refused):
        house.publish("fourth")
    assert "fourth" not in house.hub.streams
    house.hub.check_room("first")
    house.now_ns += 6 * S
    house.publish("first")  # takes over
    house.hub.studio_lost()
    house.hub.check_room("fourth")
