"""One outgoing video: rendered and encoded once for all its viewers, on a thread of its own, and never left without a safe picture.

A feed shows analysed frames only. When none comes, its last picture stays for 500 ms, then a slate says why; in panic
the slate comes at once. The redacted feed's encoder takes `RedactedFrame` and nothing else.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from engines.codecs.decode import Codec
from engines.codecs.encode import Encoder
from engines.frame import F32, Frame, Ledger, Picture, RedactedFrame
from engines.pipeline import Analysed, Due, FancamFeed, Feed, RedactedFeed, make_feed
from engines.render.followed import OUT_OF_SIGHT
from engines.render.redact import Redactor, Unsafe
from server.link import NO_FLAGS, Flag, Kind
from server.studio.costs import RENDER, Stopwatch, encode_stage
from server.studio.ledger import Tally
from server.studio.load import shown_fps
from server.studio.meta import frame_meta
from server.studio.outbox import Outbox
from server.studio.scheduler import TRY_NS
from server.studio.streams import Stream
from server.studio.who import Exemptions

logger = logging.getLogger(__name__)

HOLD_NS: Final = 500_000_000
UNKNOWN_SIZE: Final = (640, 360)
"""Of the slate of a stream that has not shown a picture yet."""
FIRST_PICTURE_NS: Final = 150_000_000
"""How long a feed of a stream that is well waits for its first picture before it shows the slate."""
SLATE_INTERVAL_NS: Final = 200_000_000
KEY_INTERVAL_NS: Final = 500_000_000
GONE_NS: Final = 1_000_000_000
PANIC: Final = "covered by the operator"
NO_TIME: Final = "encode_no_time"
"""The frame could no longer be rendered and encoded within its budget."""

BIT_RATES: Final = (
    (320 * 240, 600_000),
    (270 * 480, 800_000),
    (640 * 480, 1_500_000),
    (1280 * 720, 2_500_000),
    (1920 * 1088, 4_000_000),
)


def default_bit_rate(width: int, height: int) -> int:
    """Bits per second for a picture of this size at 30 frames a second: that of the next larger usual size."""
    return next((rate for pixels, rate in BIT_RATES if width * height <= pixels), BIT_RATES[-1][1])


class LiveFeed:
    """The thread of one open feed in one codec. `on_gone` is called, from that thread, when nothing more will come of it."""

    def __init__(
        self,
        ident: int,
        name: str,
        codec: Codec,
        bit_rate: int | None,
        stream: Stream,
        outbox: Outbox,
        on_gone: Callable[[LiveFeed, str], None],
    ) -> None:
        self.ident, self.name, self.codec = ident, name, codec
        self.stream = stream
        self.tally = Tally()
        self._bit_rate = bit_rate
        self._outbox, self._on_gone = outbox, on_gone
        self._changed = threading.Condition()
        self._slot: tuple[Analysed, F32] | None = None
        self._at_work = self._closed = False
        self._done_time = -1
        """RTP time of the latest frame that this feed has dealt with."""
        self._key_wanted = True
        self._renderer: Feed | None = None
        self.delay = stream.fancam_delay if name.startswith("fancam/") else 0
        """Frames by which this feed is late."""
        self._missed = False
        """The one this fancam follows was not in the latest frame."""
        if stream.size is not None:
            self._renderer = make_feed(name, *stream.size, delay=self.delay)
        self._redactor = Redactor()
        self._encoder: Encoder | None = None
        self._encoder_size = (0, 0)
        self._encoder_fps = 30
        self._preset = stream.rung.preset
        self._shown: str | None = None
        """What viewers see at present: "picture", "slate" or PANIC."""
        self._shot = 0
        now_ns = time.monotonic_ns()
        fps = shown_fps(name, stream.fps, stream.rung, analysed_only=self.analysed_only)
        first_ns = FIRST_PICTURE_NS + round(self.delay / fps * 1e9)
        self._slate_due_ns = now_ns + (first_ns if stream.safe else 0)
        self._last_key_ns = 0
        self._last_pts = -1
        self._alive_ns = now_ns
        self._thread = threading.Thread(target=self._run, name=f"feed-{name}", daemon=True)
        self._thread.start()

    @property
    def analysed_only(self) -> bool:
        """Whether no frame may be shown that was not analysed: wherever somebody is covered."""
        return self.name == "redacted" or (self.name.startswith("fancam/") and self.stream.who.now.others_covered)

    def owes(self, rtp_time: int) -> bool:
        """A frame up to this time waits for this feed or is being worked on."""
        return self._done_time < rtp_time and (self._at_work or self._slot is not None)

    @property
    def size(self) -> tuple[int, int]:
        return self._encoder_size

    @property
    def bit_rate(self) -> int:
        usual = default_bit_rate(*self._encoder_size)
        return min(self._bit_rate or usual, usual)  # what a viewer could take is no reason to send more

    def takes_ns(self, pixels: int) -> int:
        """How long it takes to render and encode a frame of so many pixels."""
        width, height = self._encoder_size
        costs = self.stream.costs
        return costs.wall_ns(RENDER, pixels) + costs.wall_ns(encode_stage(self.codec, self._preset), width * height)

    def offer(self, analysed: Analysed, found_later: F32) -> None:
        """Show this frame next, in place of one that still waits; `found_later` (n, 4) xyxy px are faces in it that later
        frames have told."""
        with self._changed:
            if self._slot is not None:
                self.tally.drop("encode_late")
            self._slot = analysed, found_later
            self._changed.notify()

    def request_key(self) -> None:
        self._key_wanted = True

    def set_bit_rate(self, bit_rate: int | None) -> None:
        self._bit_rate = bit_rate

    def wake(self) -> None:
        """Something has changed that may call for a slate at once."""
        with self._changed:
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            ready = self._wait()
            if self._closed:
                break
            try:
                if ready is None:
                    self._show_slate()
                else:
                    self._show(*ready)
            except Exception as error:  # noqa: BLE001 (a feed that dies would show its last picture for ever)
                self.tally.drop("failed")
                logger.warning("feed %s failed: %r", self.name, error)
                self._drop_encoder()
                self._slate_due_ns = max(self._slate_due_ns, time.monotonic_ns() + SLATE_INTERVAL_NS)
            if ready is not None:
                self._done_time = ready[0].frame.rtp_time
            self._at_work = False
            self.stream.has_shown(self)
        self._drop_encoder()

    def _wait(self) -> tuple[Analysed, F32] | None:
        """The next frame to be shown, or None when a slate is due or the feed is closed."""
        with self._changed:
            while not self._closed:
                now_ns = time.monotonic_ns()
                due_ns = self._slate_due_ns
                if self.stream.panic:
                    if self._slot is not None:
                        self._slot = None
                        self.tally.drop(PANIC)
                    if self._shown != PANIC:
                        return None
                elif self._slot is not None and not self._gives_way(self._slot[0].frame):
                    ready, self._slot = self._slot, None
                    self._at_work = True
                    return ready
                if now_ns >= due_ns:
                    return None
                self._changed.wait((due_ns - now_ns) / 1e9)
        return None

    def _gives_way(self, frame: Frame) -> bool:
        """A fancam is late on purpose: the feed that is not takes a frame first, with the cores and the interpreter to itself."""
        leader = self.stream.leader()
        return leader is not None and leader.delay < self.delay and leader.owes(frame.rtp_time)

    def _show(self, analysed: Analysed, found_later: F32) -> None:
        exemptions = self.stream.who.now
        renderer = self._renderer_for(analysed.frame.width, analysed.frame.height, exemptions)
        due: Due | None = None
        if isinstance(renderer, FancamFeed):
            due = renderer.take_in(analysed, found_later)
            if due is None:
                return
            analysed = due.analysed
        frame, ledger = analysed.frame, replace(analysed.frame.ledger)
        if self.delay:
            ledger.waited = time.monotonic_ns()
        if not self._in_time(frame, ledger):
            return
        watch = Stopwatch()
        result = self._render(renderer, analysed, found_later, due)
        if result is None:
            return
        try:
            self.stream.costs.note(RENDER, frame.width * frame.height, watch)
            ledger.rendered = time.monotonic_ns()
            if not self._still_allowed(frame, exemptions):
                return
            if analysed.shot != self._shot:  # the first picture after a cut refers to none before it
                self._shot, self._shown = analysed.shot, None
            self._encode(result, frame.rtp_time, frame.arrival_ns, "picture", ledger)
        finally:
            renderer.release(result)
        now_ns = time.monotonic_ns()
        self._alive_ns = now_ns
        self._missed = False
        self._slate_due_ns = now_ns + HOLD_NS
        self._tell(analysed, ledger)

    def _in_time(self, frame: Frame, ledger: Ledger) -> bool:
        """Whether the frame comes after all that were shown, and soon enough; else it is counted as dropped."""
        if frame.rtp_time <= self._last_pts:
            self.tally.drop("out_of_order")
            return False
        if self._too_late(frame, ledger):
            self.tally.drop(NO_TIME)
            return False
        return True

    def _render(
        self, renderer: Feed, analysed: Analysed, found_later: F32, due: Due | None
    ) -> RedactedFrame | Picture | None:
        """What is shown of the frame, which the caller gives back; None where that is nothing."""
        try:
            if isinstance(renderer, FancamFeed) and due is not None:
                result: RedactedFrame | Picture | None = renderer.show(due)
            else:
                result = renderer.render(analysed, found_later)
        except Unsafe as error:
            self.tally.drop("unsafe")
            logger.warning("feed %s: a frame that is not safe to show: %s", self.name, error)
            return None
        if result is None:
            self._miss_track()
        return result

    def _still_allowed(self, frame: Frame, exemptions: Exemptions) -> bool:
        """False, and counted, when panic was declared or the policy changed while the frame was being rendered."""
        if self.stream.panic:
            self.tally.drop(PANIC)
            return False
        if self.stream.who.now != exemptions or frame.rtp_time <= self.stream.stale_until:
            self.tally.drop("policy_changed")
            return False
        return True

    def _renderer_for(self, width: int, height: int, exemptions: Exemptions) -> Feed:
        """The renderer of the stream's present size; a fancam keeps the one it has, and so its own size, for life."""
        fancam = self.name.startswith("fancam/")
        if self._renderer is None or (not fancam and self._renderer.size != (width, height)):
            self._renderer = make_feed(self.name, width, height, delay=self.delay)
        if isinstance(self._renderer, RedactedFeed):
            self._renderer.redactor.style = self.stream.style
            self._renderer.redactor.shown = exemptions.shown
        elif isinstance(self._renderer, FancamFeed):
            self._redactor.style = self.stream.style
            self._renderer.redactor = self._redactor if exemptions.others_covered else None
        return self._renderer

    def _too_late(self, frame: Frame, ledger: Ledger) -> bool:
        """Whether there is no time left for the frame; when none has been shown for a while, a late one is better than none."""
        now_ns = time.monotonic_ns()
        ready_ns = now_ns + self.takes_ns(frame.width * frame.height)
        return ready_ns > self.stream.due_ns(frame, ledger) and now_ns - self._alive_ns < TRY_NS

    def _miss_track(self) -> None:
        """The person this fancam follows is not there: the last picture stays for a moment, then the slate says so; the feed
        ends when they cannot come back."""
        self._missed = True
        renderer = self._renderer
        ended = isinstance(renderer, FancamFeed) and renderer.ended
        if ended and time.monotonic_ns() - self._alive_ns > GONE_NS:
            self._on_gone(self, "the track has ended")

    def _show_slate(self) -> None:
        now_ns = time.monotonic_ns()
        reason = OUT_OF_SIGHT if self._missed and self.stream.safe else self.stream.why_no_picture(now_ns)
        reason = PANIC if self.stream.panic else reason
        width, height = self._renderer.size if self._renderer is not None else UNKNOWN_SIZE
        pts = self.stream.feed_time(now_ns)
        waiting = self._renderer.next_time if isinstance(self._renderer, FancamFeed) else None
        if waiting is not None:  # what is late on purpose is still to be shown after this
            pts = min(pts, waiting - 1)
        pts = max(pts, self._last_pts + 1)
        slate = self._redactor.slate(width, height, reason, pts)
        try:
            self._encode(slate, pts, now_ns, PANIC if self.stream.panic else "slate", Ledger())
        finally:
            slate.release()
        self._slate_due_ns = time.monotonic_ns() + SLATE_INTERVAL_NS

    def _encode(self, result: RedactedFrame | Picture, pts: int, arrival_ns: int, shows: str, ledger: Ledger) -> None:
        """Encode and send one picture; the only way to this feed's encoder."""
        if isinstance(result, RedactedFrame):
            picture = result.picture
        elif self.name == "redacted" or shows != "picture":
            raise TypeError(f"the redacted feed takes RedactedFrame, not {type(result).__name__}")
        else:
            picture = result
        encoder = self._encoder_for(picture.width, picture.height, fresh=shows != self._shown)
        now_ns = time.monotonic_ns()
        key = shows != self._shown or (self._key_wanted and now_ns - self._last_key_ns >= KEY_INTERVAL_NS)
        if key:
            self._key_wanted = False
        watch = Stopwatch()
        units = encoder.encode(picture.video_frame, pts, key)
        self.stream.costs.note(encode_stage(self.codec, self._preset), picture.width * picture.height, watch)
        ledger.encoded = time.monotonic_ns()
        self._shown, self._last_pts = shows, pts
        slate_flag = NO_FLAGS if shows == "picture" else Flag.IS_SLATE
        for unit in units:
            if unit.key:
                self._last_key_ns = now_ns
            flags = slate_flag | (Flag.KEY if unit.key else NO_FLAGS)
            self._outbox.send(Kind.ENCODED, self.ident, unit.data, flags, unit.pts_90k, arrival_ns)
            self.tally.count("bytes", len(unit.data))
        ledger.sent = time.monotonic_ns()
        self.tally.count("encoded" if shows == "picture" else "slates")

    def _encoder_for(self, width: int, height: int, *, fresh: bool) -> Encoder:
        """The encoder for this size and rung; where a key frame is due anyway (`fresh`), for the present frame rate too."""
        fps, preset = self.stream.fps, self.stream.rung.preset
        stale = fresh and not 0.75 < fps / self._encoder_fps < 1.33
        stale = stale or (self.codec == "h264" and self._preset != preset)
        if self._encoder is None or self._encoder_size != (width, height) or stale:
            self._drop_encoder()
            self._encoder_size, self._encoder_fps, self._preset = (width, height), fps, preset
            highest = default_bit_rate(width, height)
            self._encoder = Encoder(self.codec, width, height, fps=fps, bit_rate=highest, preset=preset)
        if self._encoder.fps != fps:
            self._encoder.fps = fps
        if self._encoder.bit_rate != self.bit_rate:
            self._encoder.bit_rate = self.bit_rate
        return self._encoder

    def _drop_encoder(self) -> None:
        encoder, self._encoder, self._shown = self._encoder, None, None
        if encoder is not None:
            encoder.close()

    def _tell(self, analysed: Analysed, ledger: Ledger) -> None:
        stages = ledger.stages_ms()
        own: dict[str, float] = {stage: stages[stage] for stage in ("rendered", "encoded", "sent") if stage in stages}
        own["total"] = (ledger.encoded - ledger.arrived) / 1e6
        if ledger.sent > self.stream.due_ns(analysed.frame, ledger):
            self.tally.count("late")
        self.tally.time(own)
        if self.stream.leader() is self:
            frame = analysed.frame
            meta = frame_meta(frame.rtp_time, frame.width, frame.height, analysed.tracks, ledger)
            self._outbox.send(Kind.META, self.stream.ident, meta, rtp_time=frame.rtp_time, arrival_ns=frame.arrival_ns)
