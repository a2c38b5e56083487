"""One incoming video: its decoder, its tracks, whether what it shows is safe, and who watches."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from engines.codecs.decode import Codec
from engines.frame import F32, RTP_CLOCK_HZ, Detections, Frame, Ledger, Tracks
from engines.pipeline import Analysed, DelayLine, Pipeline
from engines.render.redact import STYLES, Style
from engines.render.zones import EVERYWHERE, Zones
from engines.track.naming import Names
from server.link import Kind
from server.studio.costs import TRACK, Costs, Stopwatch
from server.studio.intake import AccessUnit, Intake, Timeline
from server.studio.ladder import RUNGS
from server.studio.ledger import Tally
from server.studio.meta import TrackList, frame_meta
from server.studio.outbox import Outbox
from server.studio.who import Who

if TYPE_CHECKING:
    from server.studio.feeds import LiveFeed
    from server.studio.inference import Inference

logger = logging.getLogger(__name__)

SILENT_NS: Final = 500_000_000
DEFAULT_BUDGET_MS: Final = 100
"""How long a frame may take from its arrival until it is sent."""
IN_A_ROW: Final = 2
"""So many frames must be analysed one after the other before any of them is shown: at the start, after a cut, a change of
size or a failure."""
LAG_MARGIN: Final = 1.25
LAG_FADES: Final = 32
"""Of the lag one part in so many fades with each frame."""
ORDER: Final = ("redacted", "overlay", "raw")


class Stream:
    """The state of one stream. `push`, `gap` and `set_policy` are called by the link's reader, `detected` and `failed` by the
    inference thread that has its frame, everything else by the feeds."""

    def __init__(
        self,
        ident: int,
        name: str,
        codec: Codec,
        policy: dict[str, Any],
        inference: Inference,
        outbox: Outbox,
        costs: Costs,
        look_ahead: int = 0,
        members: Sequence[str] = (),
        fancam_delay: int = 0,
    ) -> None:
        self.ident, self.name = ident, name
        self.fancam_delay = fancam_delay
        """Frames by which fancams are late."""
        self.tally = Tally()
        self.timeline = Timeline()
        self.pipeline = Pipeline()
        self.panic = False
        self.stale_until = -1
        """Frames up to this RTP time came before the last change of zones, classes, heads or panic, and are not shown any more."""
        self.budget_ns = DEFAULT_BUDGET_MS * 1_000_000
        self.style: Style = "solid"
        self.zones = Zones()
        self.who = Who(name, self.pipeline, members)
        self.size: tuple[int, int] | None = None
        self.tracks = Tracks.empty()
        self._inference, self._outbox, self.costs = inference, outbox, costs
        self._lag_ns = 0
        """How far behind their arrival frames are of late when they are handed to the feeds, and a margin."""
        self._look_ahead, self._lookahead = look_ahead, DelayLine(frames=look_ahead)
        self.rung = RUNGS[0]
        self._since_detect = 0
        self._order = threading.Lock()
        """Held while a frame is tracked: the tracker must see them in order."""
        self._pending: int | None = None
        """RTP time of the latest frame to be detected in, while it waits or is being worked on."""
        self._held: Frame | None = None
        """A frame between two detections that waits for the first of them."""
        self._feeds: tuple[LiveFeed, ...] = ()
        self._feeds_lock = threading.Lock()
        self._in_a_row = self._shot = 0
        self._why = "starting"
        self._last_unit_ns = 0
        self._latest_time = -1
        """Of the units so far, which need not come in the order of their times."""
        self._track_list = TrackList()
        self._swaps_s: list[float] = []
        self._frame_ticks = RTP_CLOCK_HZ / 30
        self._intervals = 0
        self._last_rtp_time: int | None = None
        self.set_policy(policy)
        self._intake = Intake(codec, self._decoded, self._need_key, self.tally, costs)

    @property
    def safe(self) -> bool:
        """Frames are being analysed and shown."""
        return self._in_a_row >= IN_A_ROW and time.monotonic_ns() - self._last_unit_ns < SILENT_NS

    @property
    def fps(self) -> int:
        """Frames a second by the publisher's own time, smoothed."""
        return max(1, min(60, round(RTP_CLOCK_HZ / self._frame_ticks)))

    @property
    def long_side(self) -> int:
        """Of the network's input, px."""
        return self.rung.long_side

    def push(self, data: bytes, rtp_time: int, arrival_ns: int, key: bool) -> None:
        self._last_unit_ns = time.monotonic_ns()
        placed = self.timeline.place(rtp_time, arrival_ns)
        self._latest_time = max(self._latest_time, placed)
        self._intake.push(AccessUnit(data, placed, arrival_ns, key))

    def gap(self) -> None:
        self._intake.gap()

    def set_policy(self, policy: dict[str, Any]) -> None:
        """Take over what the policy states; what it does not mention stays."""
        if not policy.keys().isdisjoint(("zones", "classes", "heads", "panic")):
            self.stale_until = self._latest_time  # before panic's end lets anything pass
        style = policy.get("style", self.style)
        if style in STYLES:
            self.style = style
        else:
            logger.warning("no style %r: the stream keeps %s", style, self.style)
        if "zones" in policy:
            try:
                self.zones = Zones.parse(policy["zones"])
            except ValueError as error:
                logger.warning("%s: %s: the whole picture is a zone", self.name, error)
                self.zones = Zones.parse(EVERYWHERE)
        self.who.set_policy(policy)
        besides = self.pipeline.besides
        besides.classes = frozenset(policy.get("classes", besides.classes))
        besides.heads = bool(policy.get("heads", besides.heads))
        self.budget_ns = int(policy.get("budget_ms", self.budget_ns / 1e6) * 1e6)
        self.panic = bool(policy.get("panic", self.panic))
        for feed in self._feeds:
            feed.wake()

    def close(self) -> None:
        self._intake.close()
        self._inference.forget(self.ident)

    def add(self, feed: LiveFeed) -> None:
        def rank(feed: LiveFeed) -> int:
            return ORDER.index(feed.name) if feed.name in ORDER else len(ORDER)

        with self._feeds_lock:
            self._feeds = tuple(sorted((*self._feeds, feed), key=rank))

    def remove(self, feed: LiveFeed) -> None:
        with self._feeds_lock:
            self._feeds = feeds = tuple(other for other in self._feeds if other is not feed)
        for other in feeds:  # one that gave way to it would wait for the next frame
            other.wake()

    def leader(self) -> LiveFeed | None:
        """The feed whose encoded frames the stream's metadata go with: the redacted one where it is open."""
        feeds = self._feeds
        return feeds[0] if feeds else None

    def has_shown(self, feed: LiveFeed) -> None:
        """A feed is done with a frame: those that gave way to it go on."""
        feeds = self._feeds
        if feeds and feeds[0] is feed:
            for other in feeds[1:]:
                other.wake()

    def why_no_picture(self, now_ns: int) -> str:
        """What the slate says."""
        if now_ns - self._last_unit_ns > SILENT_NS:
            return "waiting for video"
        if self._intake.waits_for_key:
            return "waiting for a key frame"
        return self._inference.trouble or self._why

    def detected(self, frame: Frame, detections: Detections) -> None:
        """Track, and show what has waited long enough. The frames of a stream come one at a time, in order."""
        with self._order:
            self._track(frame, detections)
            held, self._held = self._held, None
            if held is not None and held.rtp_time > frame.rtp_time:
                self._predict(held)
            self._done_with(frame)

    def _predict(self, frame: Frame) -> None:
        """A frame between two detections: its boxes are predicted."""
        self._track(frame, Detections.none_for(frame, complete=False))

    def _track(self, frame: Frame, detections: Detections) -> None:
        size = frame.width, frame.height
        watch = Stopwatch()
        analysed = self.pipeline.track(frame, detections)
        self.costs.note(TRACK, frame.width * frame.height, watch)
        now_ns = time.monotonic_ns()
        self.size, self.tracks = size, analysed.tracks
        self.tally.count("detected" if detections.complete else "predicted")
        stages = frame.ledger.stages_ms()
        self.tally.time(
            {stage: ms for stage, ms in stages.items() if stage in ("decoded", "batched", "detected", "tracked")}
        )
        if analysed.names is not None and detections.complete:
            self._note_swaps(analysed.names)
        listed = self._track_list.update(*size, analysed.tracks, now_ns, analysed.names)
        if listed is not None:
            self._outbox.send_json(Kind.TRACKS, self.ident, listed)
        if analysed.shot != self._shot:
            self._shot, self._in_a_row, self._why = analysed.shot, 0, "a new scene"
        self._in_a_row += detections.complete
        if self._in_a_row < IN_A_ROW:
            self.tally.drop("not_yet_safe")
            return
        for ready, found_later in self._lookahead.push(analysed):
            self._show(ready, found_later)

    def _note_swaps(self, names: Names) -> None:
        for swap in names.swaps:
            stood_s = swap.undone_s - swap.since_s
            self._swaps_s.append(stood_s)
            logger.info(
                "%s: a name went from track %d to %d, %.1f s after it was first doubted",
                self.name,
                swap.from_track,
                swap.to_track,
                stood_s,
            )

    def take_swaps(self) -> list[float]:
        """Of the names that have gone to another track since the last call: seconds for which the first was doubted."""
        swaps_s, self._swaps_s = self._swaps_s, []
        return swaps_s

    def failed(self, reason: str) -> None:
        """A frame could not be analysed: no feed shows it."""
        self._pending = self._held = None
        self._in_a_row, self._why = 0, reason
        self.tally.drop(reason.replace(" ", "_"))

    def dropped(self, frame: Frame, reason: str) -> None:
        """A frame was not analysed because there was no time for it."""
        self.tally.drop(reason)
        self._done_with(frame)

    def _done_with(self, frame: Frame) -> None:
        if self._pending == frame.rtp_time:
            self._pending = None

    def feed_time(self, now_ns: int) -> int:
        """The RTP time of what feeds show at an instant. A slate's time must not run ahead of the frames under way, or these could
        not be shown after it."""
        waiting = round(self._look_ahead * self._frame_ticks)
        return min(self.timeline.at(now_ns) - waiting, self.timeline.at(now_ns - self._lag_ns))

    def due_ns(self, frame: Frame, ledger: Ledger) -> int:
        """When a frame that has been analysed must be sent: its budget is for the work, and what it has waited, by the feed's own
        ledger, comes on top."""
        return frame.arrival_ns + self.budget_ns + (ledger.waited - ledger.tracked if ledger.waited else 0)

    def _show(self, analysed: Analysed, found_later: F32) -> None:
        """Hand an analysed frame to the open feeds, with the boxes (n, 4) xyxy px that later frames have told."""
        frame, feeds = analysed.frame, self._feeds
        lag_ns = round(LAG_MARGIN * (time.monotonic_ns() - frame.arrival_ns))
        self._lag_ns = max(lag_ns, self._lag_ns - self._lag_ns // LAG_FADES)
        if self._look_ahead:
            frame.ledger.waited = time.monotonic_ns()
            self.tally.time({"waited": frame.ledger.stages_ms()["waited"]})
        sure = analysed.detections.belong_to(frame)
        for feed in feeds:
            if sure or not feed.analysed_only:
                feed.offer(analysed, found_later)
        if not feeds and not self.panic:
            meta = frame_meta(frame.rtp_time, frame.width, frame.height, analysed.tracks, frame.ledger)
            self._outbox.send(Kind.META, self.ident, meta, rtp_time=frame.rtp_time, arrival_ns=frame.arrival_ns)

    def _decoded(self, frame: Frame) -> None:
        if self._last_rtp_time is not None:
            ticks = min(max(frame.rtp_time - self._last_rtp_time, RTP_CLOCK_HZ / 120), RTP_CLOCK_HZ)
            self._intervals += 1
            self._frame_ticks += max(0.1, 1 / self._intervals) * (ticks - self._frame_ticks)
        self._last_rtp_time = frame.rtp_time
        frame = self.zones.burn(frame)
        self._since_detect += 1
        if self._since_detect < self.rung.every:
            self._between(frame)
            return
        self._since_detect = 0
        self._pending = frame.rtp_time
        deadline_ns = frame.arrival_ns + self.budget_ns - self._afterwards_ns(frame)
        self._inference.offer(self, frame, deadline_ns)

    def _between(self, frame: Frame) -> None:
        """A frame that is not detected in: shown with predicted boxes, where a feed may do that."""
        if not self.rung.between or all(feed.analysed_only for feed in self._feeds):
            return
        with self._order:
            if self._pending is None:
                self._predict(frame)
            else:
                self._held = frame

    def _afterwards_ns(self, frame: Frame) -> int:
        """How long a frame takes from being detected until it is sent, by the slowest of the feeds."""
        pixels = frame.width * frame.height
        return self.costs.wall_ns(TRACK, pixels) + max((feed.takes_ns(pixels) for feed in self._feeds), default=0)

    def _need_key(self) -> None:
        self._outbox.send(Kind.NEED_KEY, self.ident)
