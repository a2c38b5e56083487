"""The detector's threads: a batch at a time from the scheduler, watched so that one that hangs is replaced."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Final, Protocol

from engines.detect.detector import Detector
from engines.frame import Detections, Frame
from engines.runtimes import batch_for
from server.studio.costs import Costs, Stopwatch, detect_stage, network_pixels
from server.studio.ladder import FULL_SIDE_PX, SMALL_SIDE_PX
from server.studio.ledger import Tally
from server.studio.scheduler import Choice, Scheduler

logger = logging.getLogger(__name__)

COMMON_SIZES: Final = ((640, 360), (640, 480))
"""Their letterboxes (640x384 and 640x480) serve nearly every 16:9 and 4:3 stream: compiled before the studio is ready."""
SIDES_PX: Final = (FULL_SIDE_PX, SMALL_SIDE_PX)
HANG_NS: Final = 1_000_000_000
PREPARE_NS: Final = 180_000_000_000
"""For one size of pictures, with all batches: compilers for GPUs take minutes."""
CHECK_NS: Final = 5_000_000_000
CANARY_INTERVAL_NS: Final = 10_000_000_000
CANARY_RETRY_NS: Final = 1_000_000_000
RAISED_CHECKS: Final = 5
"""In a row: some faults, such as a GPU's after an illegal access, stay until everything is made anew."""
MAX_RESTARTS: Final = 3
RESTARTS_WITHIN_NS: Final = 1_800_000_000_000
"""Those of longer ago are forgiven: a studio serves for days, and a core may be taken from it now and then."""

WARMING_UP: Final = "warming up"
FAILED: Final = "detector failed"
SILENT: Final = "detector does not answer"
CANARY_LOST: Final = "detector failed its check"

LATE: Final = "detect_late"
"""The frame was still waiting when the next one came."""
NO_TIME: Final = "detect_no_time"
"""The frame could no longer be analysed within its budget."""


class Sink(Protocol):
    """What a stream does with the outcome of its frames."""

    ident: int

    @property
    def long_side(self) -> int:
        """Of the network's input for its frames, px."""

    def detected(self, frame: Frame, detections: Detections) -> None: ...

    def failed(self, reason: str) -> None: ...

    def dropped(self, frame: Frame, reason: str) -> None: ...


Job = tuple[Sink, Frame]
Warm = tuple[int, int, int]
"""Width, height and the long side of the network's picture."""


def _by_side(jobs: Sequence[Job]) -> dict[int, list[Job]]:
    """What goes together: by the long side of the network's picture."""
    groups: dict[int, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job[0].long_side, []).append(job)
    return groups


def _largest_px(jobs: Sequence[Job], side: int) -> float:
    return max(network_pixels(frame.width, frame.height, side) for _, frame in jobs)


@dataclass(slots=True, eq=False)
class _Worker:
    deadline_ns: int
    serves: list[Sink] = field(default_factory=list)
    abandoned: bool = False
    """What it still gives is not wanted."""
    retired: bool = False
    """It finishes what it has, and another goes on."""
    raised: int = 0
    """Checks in a row in which the detector raised."""


class Inference:
    """Detects in the newest frames of all streams.

    `make_detector` is called in each worker's thread; `canary` says whether a detector finds what it must find in a known
    picture. `on_ready` is called with the first detector that is warm and has passed, and with each that takes its place by
    `renew`; `on_fatal` when detectors have hung or failed more often than restarting them is worth.
    """

    def __init__(
        self,
        make_detector: Callable[[], Detector],
        canary: Callable[[Detector], bool],
        tally: Tally,
        costs: Costs,
        *,
        on_ready: Callable[[Detector], None],
        on_fatal: Callable[[str], None],
    ) -> None:
        self._make_detector, self._canary, self._tally, self._costs = make_detector, canary, tally, costs
        self._on_ready, self._on_fatal = on_ready, on_fatal
        self._scheduler: Scheduler[Job] = Scheduler(self._latency_ns)
        self._changed = threading.Condition()
        self._closed = False
        self._restarts_ns: deque[int] = deque()
        self._batches: tuple[int, ...] = (1,)
        self._told_ready = False
        self.trouble: str | None = WARMING_UP
        """Why no frame of any stream is analysed at present, or None."""
        self._workers: list[_Worker] = []
        self._start_worker()

    def offer(self, stream: Sink, frame: Frame, deadline_ns: int) -> None:
        """Let a frame wait for its turn, in place of an older one of its stream; by `deadline_ns` it shall be analysed."""
        with self._changed:
            replaced = self._scheduler.offer(stream.ident, (stream, frame), deadline_ns)
            self._changed.notify()
        if replaced is not None:
            stream.dropped(replaced[1], LATE)

    def forget(self, stream: int) -> None:
        with self._changed:
            self._scheduler.forget(stream)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def renew(self) -> None:
        """Make another detector while the present ones serve; when it is warm and has passed its check it takes their place. One that
        does not come so far is given up."""
        threading.Thread(target=self._run, args=(_Worker(0), True), name="inference", daemon=True).start()

    def allow(self, extra_ns: int) -> None:
        """The process itself stood still for so long: no worker is to blame for it."""
        with self._changed:
            for worker in self._workers:
                if worker.deadline_ns:
                    worker.deadline_ns += extra_ns

    def watch(self, now_ns: int) -> None:
        """Replace the workers that have been at one batch for longer than their deadline."""
        for worker in list(self._workers):
            with self._changed:
                late = 0 < worker.deadline_ns < now_ns and not worker.abandoned
                worker.abandoned |= late
                served = list(worker.serves)
            if late:
                self._tally.count("hung")
                self._replace(worker, served, SILENT, now_ns)

    def _latency_ns(self, frames: Sequence[Job]) -> int:
        """As measured: one run for those of one size of the network's picture."""
        groups = _by_side(frames)
        return sum(
            self._costs.wall_ns(detect_stage(batch_for(len(group), self._batches)), _largest_px(group, side))
            for side, group in groups.items()
        )

    def _start_worker(self) -> None:
        worker = _Worker(time.monotonic_ns() + PREPARE_NS)
        self._workers.append(worker)
        threading.Thread(target=self._run, args=(worker,), name="inference", daemon=True).start()

    def _replace(self, worker: _Worker, served: Sequence[Sink], reason: str, now_ns: int) -> None:
        logger.error("%s: starting another one", reason)
        self._restarts_ns.append(now_ns)
        while now_ns - self._restarts_ns[0] > RESTARTS_WITHIN_NS:
            self._restarts_ns.popleft()
        self._workers.remove(worker)
        for stream in served:
            with self._changed:
                self._scheduler.done(stream.ident)
            stream.failed(reason)
        if len(self._restarts_ns) > MAX_RESTARTS:
            self._on_fatal(f"{reason}, after {MAX_RESTARTS} restarts")
        elif not (self._closed or worker.retired):
            if not self._workers:
                self.trouble = reason
            self._start_worker()

    def _run(self, worker: _Worker, renewing: bool = False) -> None:
        warm: set[Warm] = set()
        try:
            detector = self._make_detector()
            for (width, height), side in product(COMMON_SIZES, SIDES_PX):
                if not renewing:
                    worker.deadline_ns = time.monotonic_ns() + PREPARE_NS
                self._warm_up(detector, warm, width, height, side)
                if worker.abandoned:
                    return
            if renewing:
                self._succeed(worker, detector)
        except Exception as error:  # noqa: BLE001 (whatever a runtime raises: the process must live to show the slate)
            logger.warning("the detector cannot be started: %r", error)
            if renewing:
                return
            time.sleep(1)
            if not worker.abandoned:
                self._replace(worker, (), FAILED, time.monotonic_ns())
            return
        with self._changed:
            self._batches = detector.batches
            self._scheduler.most = detector.batches[-1]
        canary_due_ns = 0
        while True:
            if time.monotonic_ns() >= canary_due_ns:
                passed = self._check(worker, detector)
                canary_due_ns = time.monotonic_ns() + (CANARY_INTERVAL_NS if passed else CANARY_RETRY_NS)
                if passed and not self._told_ready:
                    self._told_ready = True
                    self._on_ready(detector)
                if worker.raised >= RAISED_CHECKS:
                    self._replace(worker, (), FAILED, time.monotonic_ns())
                    return
            jobs = self._next(worker, canary_due_ns)
            if worker.abandoned or self._closed:
                return
            if worker.retired and not jobs:
                self._workers.remove(worker)
                return
            for side, group in _by_side(jobs).items():
                self._serve(worker, detector, warm, side, group)

    def _succeed(self, worker: _Worker, detector: Detector) -> None:
        """Take the place of the workers there are.

        Raises:
            RuntimeError: the detector does not find the known face.
        """
        detector.long_side = FULL_SIDE_PX
        if not self._canary(detector):
            raise RuntimeError("it did not find the known face")
        self._on_ready(detector)
        with self._changed:
            for other in self._workers:
                other.retired = True
            self._workers.append(worker)
            self._changed.notify_all()

    def _check(self, worker: _Worker, detector: Detector) -> bool:
        worker.deadline_ns = time.monotonic_ns() + CHECK_NS
        raised = 0
        try:
            detector.long_side = FULL_SIDE_PX
            passed = self._canary(detector)
        except Exception as error:  # noqa: BLE001 (as above)
            logger.warning("the detector failed in its check: %r", error)
            passed, raised = False, worker.raised + 1
        with self._changed:
            if worker.abandoned or worker.retired:
                return False
            worker.raised = raised
            worker.deadline_ns = 0
            self.trouble = None if passed else CANARY_LOST
        if not passed:
            self._tally.count("canary_lost")
            logger.warning("the detector failed its check: it did not find the known face")
        return passed

    def _next(self, worker: _Worker, until_ns: int) -> list[Job]:
        """Wait for frames; none at `until_ns`, or when this worker is to end."""
        with self._changed:
            while not (self._closed or worker.abandoned or worker.retired):
                now_ns = time.monotonic_ns()
                choice = self._scheduler.pick(now_ns)
                if choice.batch or choice.hopeless:
                    return self._take(worker, choice, now_ns)
                if now_ns >= until_ns:
                    return []
                self._changed.wait((until_ns - now_ns) / 1e9)
        return []

    def _take(self, worker: _Worker, choice: Choice[Job], now_ns: int) -> list[Job]:
        """What is to be done of a choice; frames for which there is no time are let go."""
        for late in choice.hopeless:
            stream, frame = late.frame
            stream.dropped(frame, NO_TIME)
        jobs = [waiting.frame for waiting in choice.batch]
        worker.serves = [stream for stream, _ in jobs]
        worker.deadline_ns = now_ns + HANG_NS if jobs else 0
        for _, frame in jobs:
            frame.ledger.batched = now_ns
        return jobs

    def _serve(self, worker: _Worker, detector: Detector, warm: set[Warm], side: int, jobs: Sequence[Job]) -> None:
        found: Sequence[Detections | None] = [None] * len(jobs)
        try:
            found = self._detect(worker, detector, warm, jobs, side)
        except Exception as error:  # noqa: BLE001 (as above)
            self._failed(error)
        detected_ns = time.monotonic_ns()
        for (stream, frame), detections in zip(jobs, found, strict=True):
            with self._changed:
                if worker.abandoned:
                    return
            self._hand_on(worker, stream, frame, detections, detected_ns)

    def _hand_on(
        self, worker: _Worker, stream: Sink, frame: Frame, detections: Detections | None, detected_ns: int
    ) -> None:
        trouble: str | None = FAILED
        try:
            if self.trouble is not None:
                trouble = self.trouble
            elif detections is not None and detections.belong_to(frame):
                frame.ledger.detected = detected_ns
                stream.detected(frame, detections)
                trouble = None
        except Exception as error:  # noqa: BLE001 (as above)
            self._failed(error)
        with self._changed:
            if worker.abandoned:
                return
            worker.serves.remove(stream)
            worker.deadline_ns = time.monotonic_ns() + HANG_NS if worker.serves else 0
        if trouble is not None:
            stream.failed(trouble)
        with self._changed:
            self._scheduler.done(stream.ident)
            self._changed.notify()

    def _failed(self, error: Exception) -> None:
        self._tally.count("failed")
        logger.warning("a frame could not be analysed: %r", error)

    def _detect(
        self, worker: _Worker, detector: Detector, warm: set[Warm], jobs: Sequence[Job], side: int
    ) -> list[Detections]:
        frames = [frame for _, frame in jobs]
        for size in {(frame.width, frame.height) for frame in frames}:
            if (*size, side) not in warm:
                worker.deadline_ns = time.monotonic_ns() + PREPARE_NS
                self._warm_up(detector, warm, *size, side)
                worker.deadline_ns = time.monotonic_ns() + HANG_NS
        detector.long_side = side
        watch = Stopwatch()
        found = detector.detect(frames)
        self._costs.note(detect_stage(batch_for(len(frames), self._batches)), _largest_px(jobs, side), watch)
        return found

    @staticmethod
    def _warm_up(detector: Detector, warm: set[Warm], width: int, height: int, side: int) -> None:
        detector.long_side = side
        detector.warm_up(width, height)
        warm.add((width, height, side))
