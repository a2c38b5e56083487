"""From access units to frames: one decoder thread a stream, behind a short queue that never lets delay build up."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from engines.codecs.decode import Codec, DecodeError, VideoDecoder
from engines.frame import RTP_CLOCK_HZ, Frame, Ledger
from server.studio.costs import DECODE, Costs, Stopwatch
from server.studio.ledger import Tally

logger = logging.getLogger(__name__)

MAX_UNITS: Final = 8
KEY_REQUEST_INTERVAL_NS: Final = 500_000_000
MAX_JUMP_TICKS: Final = 2 * RTP_CLOCK_HZ
MIN_SIDE_PX: Final = 32


@dataclass(frozen=True, slots=True)
class AccessUnit:
    data: bytes
    rtp_time: int
    arrival_ns: int
    key: bool


class Timeline:
    """The RTP time of a stream's feeds: the publisher's own, as long as it goes with the clock to within 2 s.

    A publisher that starts its time anew is shifted, so that what viewers get never jumps; slates take their time from it too.
    """

    def __init__(self) -> None:
        self._anchor: tuple[int, int] | None = None
        self._offset = 0

    def place(self, rtp_time: int, arrival_ns: int) -> int:
        """The feeds' RTP time of an access unit."""
        if self._anchor is None:
            placed = rtp_time
        else:
            expected = self.at(arrival_ns)
            placed = rtp_time + self._offset
            if abs(placed - expected) > MAX_JUMP_TICKS:
                self._offset += expected - placed
                placed = expected
        self._anchor = placed, arrival_ns
        return placed

    def at(self, now_ns: int) -> int:
        """The feeds' RTP time that belongs to an instant."""
        if self._anchor is None:
            self._anchor = now_ns * RTP_CLOCK_HZ // 1_000_000_000, now_ns
        rtp_time, ns = self._anchor
        return rtp_time + (now_ns - ns) * RTP_CLOCK_HZ // 1_000_000_000


def crop_to_even(frame: Frame) -> Frame:
    """Without its last line or column where a side is odd: 4:2:0 encoders take even sizes only. A view, nothing is copied."""
    width, height = frame.width & ~1, frame.height & ~1
    if (width, height) == (frame.width, frame.height):
        return frame
    half_w, half_h = width // 2, height // 2
    y, u, v = frame.y[:height, :width], frame.u[:half_h, :half_w], frame.v[:half_h, :half_w]
    return Frame(y, u, v, frame.rtp_time, frame.arrival_ns, frame.ledger, frame.owner)


class Intake:
    """Decodes one stream's access units and hands each frame to `on_frame`, from a thread of its own."""

    def __init__(
        self,
        codec: Codec,
        on_frame: Callable[[Frame], None],
        need_key: Callable[[], None],
        tally: Tally,
        costs: Costs,
    ) -> None:
        self._codec: Codec = codec
        self._on_frame, self._need_key, self._tally, self._costs = on_frame, need_key, tally, costs
        self._units: deque[AccessUnit] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._asked_ns = -KEY_REQUEST_INTERVAL_NS
        self.waits_for_key = True
        self._thread = threading.Thread(target=self._run, name="decode", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self._units)

    def push(self, unit: AccessUnit) -> None:
        """Queue a unit; a full queue is emptied up to the next key frame, which is asked for."""
        with self._changed:
            if len(self._units) >= MAX_UNITS:
                self._tally.drop("decode_late", len(self._units))
                self._units.clear()
                self.waits_for_key = True
            if unit.key:
                self.waits_for_key = False
            if not self.waits_for_key:
                self._units.append(unit)
                self._changed.notify()
                return
        self._tally.drop("before_key")
        self._ask_for_key()

    def gap(self) -> None:
        """Frames were lost: what refers to them is not decoded."""
        with self._changed:
            self.waits_for_key = True

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._units.clear()
            self._changed.notify()

    def _ask_for_key(self) -> None:
        now_ns = time.monotonic_ns()
        if now_ns - self._asked_ns >= KEY_REQUEST_INTERVAL_NS:
            self._asked_ns = now_ns
            self._need_key()

    def _run(self) -> None:
        decoder = VideoDecoder(self._codec)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._units)
                if self._closed:
                    return
                unit = self._units.popleft()
            try:
                self._decode(decoder, unit)
            except Exception as error:  # noqa: BLE001 (whatever a stranger sends ends nothing but its own picture)
                self._tally.drop("decode_error")
                logger.warning("an access unit cannot be decoded: %r", error)
                decoder = VideoDecoder(self._codec)
                with self._changed:
                    keys = [i for i, waiting in enumerate(self._units) if waiting.key]
                    self._units = deque(list(self._units)[keys[0] :]) if keys else deque()
                    self.waits_for_key = self.waits_for_key or not keys
                if not keys:
                    self._ask_for_key()

    def _decode(self, decoder: VideoDecoder, unit: AccessUnit) -> None:
        ledger = Ledger(arrived=unit.arrival_ns)
        watch = Stopwatch()
        for frame in decoder.decode(unit.data, unit.rtp_time, unit.arrival_ns, ledger):
            self._costs.note(DECODE, frame.width * frame.height, watch)
            if min(frame.width, frame.height) < MIN_SIDE_PX:
                raise DecodeError(f"a picture of {frame.width}x{frame.height}, at least {MIN_SIDE_PX} a side")
            ledger.decoded = ledger.decoded or time.monotonic_ns()
            self._tally.count("decoded")
            self._on_frame(crop_to_even(frame))
