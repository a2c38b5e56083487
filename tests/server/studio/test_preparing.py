"""Preparing for each size of pictures has a deadline of its own, and a worker that was given up does not go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from server.studio import inference
from server.studio.costs import Costs
from server.studio.inference import COMMON_SIZES, SIDES_PX, Inference
from server.studio.ledger import Tally
from server.studio.studio import STOOD_STILL_NS

SIZES = len(COMMON_SIZES) * len(SIDES_PX)
DEADLINE_S, LIMIT_S = 1.0, 60


class SlowToPrepare:
    batches = (1,)
    long_side = 640

    def __init__(self, takes_s: Callable[[int], float]) -> None:
        self.prepared, self._takes_s = 0, takes_s

    def warm_up(self, width: int, height: int) -> None:
        time.sleep(self._takes_s(self.prepared))
        self.prepared += 1


def prepared(
    monkeypatch: pytest.MonkeyPatch, makers: list[Callable[[int], float]]
) -> tuple[list[SlowToPrepare], Tally]:
    """The detectors made, one after another, until one is ready."""
    monkeypatch.setattr(inference, "PREPARE_NS", round(DEADLINE_S * 1e9))
    made, ready, tally = [], threading.Event(), Tally()

    def make() -> SlowToPrepare:
        made.append(SlowToPrepare(makers[len(made)]))
        return made[-1]

    engine = Inference(
        make, lambda _: True, tally, Costs(), on_ready=lambda _: ready.set(), on_fatal=lambda reason: None,  # type: ignore[arg-type, return-value]
    )  # fmt: skip
    try:
        last_ns = time.monotonic_ns()
        limit_ns = last_ns + LIMIT_S * 1_000_000_000
        while not ready.wait(0.05):  # as the studio's ticker
            now_ns = time.monotonic_ns()
            if now_ns - last_ns > STOOD_STILL_NS:
                engine.allow(now_ns - last_ns)
            last_ns = now_ns
            engine.watch(now_ns)
            assert now_ns < limit_ns
        time.sleep(max(maker(0) for maker in makers[: len(made)]))  # what was given up comes back
    finally:
        engine.close()
    return made, tally


def test_sizes_that_take_longer_together_than_one_may_are_all_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    (detector,), tally = prepared(monkeypatch, [lambda _: 0.4 * DEADLINE_S])
    assert detector.prepared == SIZES
    assert "hung" not in tally.take()["counts"]


def test_a_worker_that_was_given_up_prepares_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = lambda number: 3 * DEADLINE_S if number == 0 else 0.0  # noqa: E731
    made, _tally = prepared(monkeypatch, [stuck, lambda _: 0.0])
    assert [detector.prepared for detector in made] == [1, SIZES]
