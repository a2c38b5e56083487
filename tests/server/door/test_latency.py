"""What is told of a stream's latency, in told time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.door.latency import LatencyLog, total_ms
from tests.server.door.house import S
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
