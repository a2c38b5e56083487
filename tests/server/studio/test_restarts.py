"""A detector that hangs is replaced for as long as that happens seldom."""

from __future__ import annotations

import threading
import time

import pytest

from server.studio.costs import Costs
from server.studio.inference import MAX_RESTARTS, SILENT, Inference
from server.studio.ledger import Tally
from tests.server.studio.test_batches import LIMIT_S, BatchDetector, Stream, frame, until

HOUR_NS = 3_600_000_000_000


@pytest.mark.parametrize(("apart_ns", "is_fatal"), [(HOUR_NS // 60, True), (HOUR_NS, False)])
def test_a_studio_ends_for_detectors_that_hang_often_and_not_for_those_that_hang_in_days(
    apart_ns: int, is_fatal: bool
) -> None:
    made: list[BatchDetector] = []
    fatal: list[str] = []
    release, stream = threading.Event(), Stream(1)

    def make() -> BatchDetector:
        made.append(BatchDetector(lambda: release.wait(LIMIT_S)))  # type: ignore[arg-type, return-value]
        return made[-1]

    engine = Inference(
        make, lambda _: True, Tally(), Costs(), on_ready=lambda _: None, on_fatal=fatal.append,  # type: ignore[arg-type, return-value]
    )  # fmt: skip
    try:
        now_ns = time.monotonic_ns()
        for number in range(MAX_RESTARTS + 1):
            engine.offer(stream, frame(number), time.monotonic_ns() + HOUR_NS)
            until(lambda n=number: len(made) == n + 1 and made[n].calls)  # type: ignore[misc]
            now_ns += apart_ns
            engine.watch(now_ns)
        assert stream.reasons == [SILENT] * (MAX_RESTARTS + 1)
        assert bool(fatal) == is_fatal
    finally:
        release.set()
        engine.close()
