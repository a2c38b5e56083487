"""A better detector takes the place of the one that serves, without a frame that is not analysed; a bad one does not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from benchmarks.rig import Bench, KnowingDetector
from engines.frame import Detections, Frame
from server.link import Flag, Kind
from server.studio.costs import Costs
from server.studio.inference import Inference
from server.studio.ledger import Tally
from tests.server.studio.test_batches import LIMIT_S, BatchDetector, Stream, frame, until


class Named(BatchDetector):
    """Warms up when it may; `blind`: it does not find what it is tried with."""

    def __init__(self, name: str, blind: bool = False) -> None:
        super().__init__(lambda: None)
        self.name, self.blind, self.may_warm_up = name, blind, threading.Event()
        self.threads: set[int] = set()

    def warm_up(self, width: int, height: int) -> None:
        assert self.may_warm_up.wait(LIMIT_S)

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        self.threads.add(threading.get_ident())
        return super().detect(frames)


class House:
    """An engine whose first detector is `old`, and whose next ones are of `then`."""

    def __init__(self, *then: Callable[[], Named]) -> None:
        self.old = Named("old")
        self.old.may_warm_up.set()
        self.ready: list[str] = []
        self.stream = Stream(1)
        made = iter([lambda: self.old, *then])
        self.engine = Inference(
            lambda: next(made)(), lambda detector: not detector.blind, Tally(), Costs(),  # type: ignore[arg-type, return-value, attr-defined]
            on_ready=lambda detector: self.ready.append(detector.name), on_fatal=pytest.fail,  # type: ignore[attr-defined]
        )  # fmt: skip
        until(lambda: self.ready == ["old"])

    def analyse(self, number: int) -> None:
        """One more frame, waited for."""
        before = len(self.stream.found)
        self.engine.offer(self.stream, frame(number), time.monotonic_ns() + 100_000_000_000)
        until(lambda: len(self.stream.found) == before + 1)


def test_the_old_one_serves_until_the_new_one_has_passed_its_check() -> None:
    new = Named("new")
    house = House(lambda: new)
    house.engine.renew()
    for number in range(3):
        house.analyse(number)
    assert (house.ready, new.calls) == (["old"], [])
    new.may_warm_up.set()
    until(lambda: house.ready == ["old", "new"])
    until(lambda: len(house.engine._workers) == 1)
    served = len(house.old.calls)
    for number in range(3, 6):
        house.analyse(number)
    assert len(house.old.calls) == served
    assert len(new.calls) == 3
    assert house.stream.reasons == []
    assert [found.rtp_time for _, found in house.stream.found] == list(range(6))
    house.engine.close()


def broken() -> Any:
    raise RuntimeError("the plan does not load")


@pytest.mark.parametrize("next_one", [broken, lambda: Named("blind", blind=True)])
def test_one_that_fails_leaves_the_old_one_serving(next_one: Callable[[], Named]) -> None:
    made: list[Named] = []

    def make() -> Named:
        detector = next_one()
        made.append(detector)
        detector.may_warm_up.set()
        return detector

    house = House(make)
    threads = threading.active_count()
    house.engine.renew()
    until(lambda: threading.active_count() <= threads)
    house.analyse(1)
    assert house.ready == ["old"]
    assert house.engine.trouble is None
    assert house.stream.reasons == []
    assert not any(detector.calls for detector in made)
    house.engine.close()


def test_viewers_see_no_slate_when_a_plan_that_was_built_takes_over(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for is what the second detector says that it is."""
    monkeypatch.setattr("server.studio.feeds.HOLD_NS", 1_500_000_000)
    renewed = threading.Event()

    class Second(KnowingDetector):
        def describe(self) -> dict[str, Any]:
            return {"runtime": "tensorrt", "model": "known boxes"}

    def make() -> KnowingDetector:
        detector = (Second if bench.detectors else KnowingDetector)(bench.clip)
        if not bench.detectors:
            detector.warm.set()
        return detector

    door = bench.start(make, renewed=renewed, runtime="tensorrt")
    assert door.wait(Kind.READY)[0].json()["asked"] == "tensorrt"
    door.open_stream(1)
    door.open_feed(10)
    publisher = bench.publish(door)

    def shown(count: int) -> None:
        door.wait(Kind.ENCODED, 10, count=count, where=lambda unit: not unit.flags & Flag.IS_SLATE, timeout_s=LIMIT_S)

    shown(10)
    before = len(door.seen(Kind.ENCODED, 10))
    renewed.set()
    shown(before + 60)  # two seconds
    _, second = bench.detectors
    second.warm.set()
    assert "asked" not in door.wait(Kind.READY, count=2, timeout_s=LIMIT_S)[1].json()
    shown(len(door.seen(Kind.ENCODED, 10)) + 20)
    assert second.calls > 5
    units = door.seen(Kind.ENCODED, 10)
    publisher.stop()
    after = bench.decoded(units)[before:]
    assert not any(unit.flags & Flag.IS_SLATE for unit in units[before:])
    assert max(bench.likeness(bench.clip, frame) for frame in after) < 0.4
