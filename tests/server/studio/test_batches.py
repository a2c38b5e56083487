"""Frames of several streams go through a detector that takes batches in one call, and each comes back to its own stream."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest

from engines.frame import Detections, Frame
from server.studio import __main__ as studio
from server.studio import inference
from server.studio.costs import Cost, Costs, detect_stage
from server.studio.inference import FAILED, SILENT, Inference
from server.studio.ledger import Tally
from server.studio.plans import Plans

BATCHES = (1, 4)
LIMIT_S = 60
FAST = {detect_stage(1): Cost(1, 1), detect_stage(4): Cost(1, 1.5)}
"""Four together take half as long again as one."""


class BatchDetector:
    """Says of each frame its own RTP time as a box; `fault` is called first."""

    batches = BATCHES
    long_side = 640

    def __init__(self, fault: Callable[[], None]) -> None:
        self.calls: list[int] = []
        self._fault = fault

    def warm_up(self, width: int, height: int) -> None:
        pass

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        self.calls.append(len(frames))
        self._fault()
        return [
            Detections(
                np.full((1, 4), frame.rtp_time, np.float32), np.ones(1, np.float32), np.zeros(1, np.int32),
                np.full((1, 5, 2), np.nan, np.float32), frame.rtp_time, frame.width, frame.height, complete=True,
                names=("face",), face_names=("face",),
            )
            for frame in frames
        ]  # fmt: skip


@dataclass
class Stream:
    ident: int
    long_side: int = 640
    found: list[tuple[Frame, Detections]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def detected(self, frame: Frame, detections: Detections) -> None:
        self.found.append((frame, detections))

    def failed(self, reason: str) -> None:
        self.reasons.append(reason)

    def dropped(self, frame: Frame, reason: str) -> None:
        self.reasons.append(reason)


def frame(number: int, height: int = 48) -> Frame:
    planes = [np.zeros(shape, np.uint8) for shape in ((height, 64), (height // 2, 32), (height // 2, 32))]
    return Frame(*planes, number, 0)


@contextmanager
def running(detector: BatchDetector) -> Iterator[Inference]:
    """Ready, with the costs known."""
    ready, costs = threading.Event(), Costs()
    costs.begin_with(FAST)
    engine = Inference(
        lambda: detector, lambda _: True, Tally(), costs,  # type: ignore[arg-type, return-value]
        on_ready=lambda _: ready.set(), on_fatal=lambda reason: None,
    )  # fmt: skip
    assert ready.wait(LIMIT_S)
    try:
        yield engine
    finally:
        engine.close()


def until(done: Callable[[], bool]) -> None:
    limit = time.monotonic() + LIMIT_S
    while not done():
        assert time.monotonic() < limit
        time.sleep(0.002)


def offer_all(engine: Inference, streams: Sequence[Stream], gate: threading.Event, detector: BatchDetector) -> None:
    """A frame of each, all of them waiting at once: the engine is kept busy meanwhile with one of a stream that nobody asks of."""
    later = time.monotonic_ns() + 100_000_000_000
    engine.offer(Stream(99), frame(99), later)
    until(lambda: len(detector.calls) == 1)
    for stream in streams:
        engine.offer(stream, frame(stream.ident, 48 if stream.ident % 2 else 36), later)
    gate.set()


def test_what_waits_goes_out_in_one_call_and_comes_back_to_its_stream() -> None:
    gate = threading.Event()
    detector = BatchDetector(lambda: gate.wait(LIMIT_S) and None)
    streams = [Stream(number) for number in range(1, 5)]
    with running(detector) as engine:
        offer_all(engine, streams, gate, detector)
        until(lambda: all(stream.found for stream in streams))
        assert detector.calls == [1, 4]
        for stream in streams:
            ((analysed, found),) = stream.found
            assert analysed.rtp_time == found.rtp_time == stream.ident
            assert 0 < analysed.ledger.batched <= analysed.ledger.detected
        for stream in streams:  # none of them is still thought to be at work
            engine.offer(stream, frame(50 + stream.ident), time.monotonic_ns() + 100_000_000_000)
        until(lambda: all(len(stream.found) == 2 for stream in streams))


def test_streams_on_different_rungs_go_out_in_a_call_each() -> None:
    gate = threading.Event()
    detector = BatchDetector(lambda: gate.wait(LIMIT_S) and None)
    streams = [Stream(1), Stream(2, 416), Stream(3, 416)]
    with running(detector) as engine:
        offer_all(engine, streams, gate, detector)
        until(lambda: all(stream.found for stream in streams))
    assert sum(detector.calls) == 4
    assert len(detector.calls) >= 3


def test_a_batch_that_fails_fails_for_each_of_its_streams() -> None:
    gate = threading.Event()

    def fault() -> None:
        gate.wait(LIMIT_S)
        if len(detector.calls) == 2:
            raise RuntimeError("no")

    detector = BatchDetector(fault)
    streams = [Stream(number) for number in range(1, 4)]
    with running(detector) as engine:
        offer_all(engine, streams, gate, detector)
        until(lambda: all(stream.reasons for stream in streams))
        assert [stream.reasons for stream in streams] == [[FAILED]] * 3
        assert not any(stream.found for stream in streams)
        engine.offer(streams[0], frame(7), time.monotonic_ns() + 100_000_000_000)
        until(lambda: bool(streams[0].found))


def test_a_batch_that_hangs_is_told_to_each_of_its_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "HANG_NS", 50_000_000)
    gate, never = threading.Event(), threading.Event()

    def fault() -> None:
        gate.wait(LIMIT_S)
        if len(detector.calls) == 2:
            never.wait(LIMIT_S)

    detector = BatchDetector(fault)
    streams = [Stream(number) for number in range(1, 4)]
    with running(detector) as engine:
        offer_all(engine, streams, gate, detector)
        until(lambda: len(detector.calls) == 2)
        time.sleep(0.1)
        engine.watch(time.monotonic_ns())
        until(lambda: all(stream.reasons for stream in streams))
        assert [stream.reasons for stream in streams] == [[SILENT]] * 3
        never.set()
        time.sleep(0.05)
        assert not any(stream.found for stream in streams), "what came from the one that hung must not be shown"


def test_a_studio_on_a_gpu_has_the_address_space_that_cuda_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = []
    monkeypatch.setattr(studio.resource, "setrlimit", lambda which, limit: limits.append((which, limit)))
    monkeypatch.setattr(studio, "open_networks", lambda networks, **wishes: wishes["runtime"])
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    opened = [studio.make_detector({"runtime": kind}, Plans()) for kind in ("auto", "torch_cuda")]
    assert opened == ["auto", "torch_cuda"]  # type: ignore[comparison-overlap]
    assert limits == [(resource.RLIMIT_AS, (most, most))]
