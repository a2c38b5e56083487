"""A review under way: what was decided so far, what that makes of each frame, and the writing of it in the end."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from engines.codecs.files import FileError
from engines.codecs.seek import FramesByNumber
from engines.frame import Frame, Picture
from engines.offline import Summary
from engines.pipeline import RedactedFeed
from engines.report import SURE_SCORE
from engines.review.analysis import Analysis
from engines.review.decisions import Add, Decisions, Plan, Remove, bounded
from engines.review.document import box_of, frame_of, save

MOST_SIDE_PX: Final = 1920
JPEG_QUALITY: Final = 88
KEPT, DRAFT = "review.json", "review.draft.json"


class Stale(Exception):
    """The order was given by a page that does not show how things stand."""


class Stopped(Exception):
    """Writing was stopped; nothing of it stays."""


class Session:
    """One person's review of one video. Thread-safe.

    `change` takes the page's orders; after each the decisions are kept in DRAFT in the folder `out`, and in KEPT there once
    the files are written.
    """

    def __init__(self, analysis: Analysis, out: Path, decisions: Decisions = ()) -> None:
        self.analysis, self.out = analysis, out
        self.ended = threading.Event()
        """The files are written, and the page has been told."""
        self.summary: Summary | None = None
        self._history = [decisions]
        self._version = 0
        self._lock = threading.Lock()
        self._pictures = threading.Lock()
        self._frames = FramesByNumber(analysis.video, [ready.item.frame.rtp_time for ready in analysis.frames])
        self._feed = RedactedFeed((analysis.width, analysis.height), analysis.options.style)
        self._feed.redactor.shown = analysis.shown
        self._writer: threading.Thread | None = None
        self._done, self._problem = 0, ""
        self._stopping = False

    @property
    def decisions(self) -> Decisions:
        return self._history[-1]

    def about(self) -> dict[str, Any]:
        """What does not change: the video, the lives of its covers and the places to look at."""
        known = self.analysis
        return {
            "name": known.video.name,
            "out": str(self.out),
            "width": known.width,
            "height": known.height,
            "fps": known.fps,
            "times": [round(time_s, 3) for time_s in known.times],
            "sure": SURE_SCORE,
            "lives": [[life.ident, life.first, life.last, round(life.score, 2)] for life in known.lives.values()],
            "places": [
                {"frame": place.frame, "why": place.doubt.why, "box": place.doubt.box, "life": place.life}
                for place in known.places
            ],
        }

    def state(self) -> dict[str, Any]:
        """What does: the decisions, and how far the writing is."""
        with self._lock:
            return self._state()

    def covers(self, number: int) -> dict[str, Any]:
        """The covers of a frame. Raises ValueError: there is no such frame."""
        frame_of(number, len(self.analysis.frames))
        moment, plan = self.analysis.moments[number], Plan(self.decisions)
        away = plan.removed(number, moment)
        return {
            "covers": [
                {"life": life, "box": box, "removed": removed}
                for life, box, removed in zip(moment.lives.tolist(), moment.boxes.tolist(), away.tolist(), strict=True)
            ],
            "added": [{"number": at, "box": box} for at, box in plan.added(number)],
        }

    def picture(self, number: int, *, covered: bool) -> bytes:
        """A frame as JPEG; `covered` as it will be written.

        Raises:
            ValueError: there is no such frame.
            FileError: the video is not as it was.
        """
        frame_of(number, len(self.analysis.frames))
        with self._pictures:
            frame = self.analysis.options.zones.burn(self._frames.get(number))
            if not covered:
                return jpeg(frame)
            ready = self.analysis.decided(number, Plan(self.decisions), frame)
            safe = self._feed.render(ready.item, ready.extra_boxes, removed=ready.removed)
            try:
                return jpeg(safe.picture)
            finally:
                self._feed.release(safe)

    def change(self, order: Any) -> dict[str, Any]:
        """Carry out one of the page's orders, `{"do": …, "version": …}`, and return the new state.

        Raises:
            ValueError: no such order.
            Stale: another page has decided something meanwhile, or the files are being written.
            OSError: the draft cannot be written.
        """
        with self._lock:
            if not isinstance(order, dict) or not isinstance(order.get("do"), str):
                raise ValueError("an order says what to do")
            if order.get("version") != self._version or self._writer is not None:
                raise Stale("the page does not show how things stand: look again")
            if order["do"] == "undo":
                if len(self._history) > 1:
                    self._history.pop()
            else:
                self._history.append(self._ordered(order))
            self._version += 1
            self._keep(DRAFT)
            return self._state()

    def write(self) -> None:
        """Begin to write the files. Raises Stale: that has begun already."""
        with self._lock:
            if self._writer is not None:
                raise Stale("the files are being written already")
            self._problem, self._done = "", 0
            self._writer = threading.Thread(target=self._write, name="review", daemon=True)
            self._writer.start()

    def close(self) -> None:
        """Stops a writing under way, of which nothing stays."""
        self._stopping = True
        if self._writer is not None:
            self._writer.join()
        self._frames.close()

    def _state(self) -> dict[str, Any]:
        if self.summary is not None:
            self.ended.set()
        return {
            "version": self._version,
            "decisions": [_short(one) for one in self.decisions],
            "can_undo": len(self._history) > 1,
            "writing": self._writer is not None and self.summary is None,
            "done": self._done,
            "written": self.summary is not None,
            "problem": self._problem,
        }

    def _ordered(self, order: dict[str, Any]) -> Decisions:
        known, decisions, what = self.analysis, self.decisions, order["do"]
        count = len(known.frames)
        if what == "add":
            first, last = frame_of(order.get("first"), count), frame_of(order.get("last"), count)
            box = box_of(order.get("box"), known.width, known.height)
            return (*decisions, Add(((first, box),)).within(*sorted((first, last))))
        if what in ("key", "span", "drop"):
            at = frame_of(order.get("number"), len(decisions))
            one = decisions[at]
            if what == "drop":
                return decisions[:at] + decisions[at + 1 :]
            if not isinstance(one, Add):
                raise ValueError("only an added cover can be moved")
            if what == "key":
                frame, box = frame_of(order.get("frame"), count), box_of(order.get("box"), known.width, known.height)
                return (*decisions[:at], one.with_key(frame, box), *decisions[at + 1 :])
            return (*decisions[:at], one.within(*self._span(order)), *decisions[at + 1 :])
        life = known.lives.get(order["cover"]) if isinstance(order.get("cover"), int) else None
        if life is None:
            raise ValueError("there is no such cover")
        if what == "remove":
            return (*decisions, Remove.of(life, *self._span(order), known.moments))
        if what == "bounds":
            return bounded(decisions, life, *self._span(order), known.moments)
        raise ValueError("an order is add, key, span, drop, remove, bounds or undo")

    def _span(self, order: dict[str, Any]) -> tuple[int, int]:
        count = len(self.analysis.frames)
        first, last = frame_of(order.get("first"), count), frame_of(order.get("last"), count)
        if first > last:
            raise ValueError("a span ends before it begins")
        return first, last

    def _keep(self, name: str) -> None:
        made_with = {**self.analysis.summary.detector, **self.analysis.summary.options}
        self.out.mkdir(parents=True, exist_ok=True)
        save(self.out / name, self.decisions, self.analysis.file, made_with)

    def _write(self) -> None:
        try:
            summary = self.analysis.write(self.decisions, self.out, self._progress)
            self._keep(KEPT)
            (self.out / DRAFT).unlink(missing_ok=True)
            self.summary = summary
        except Stopped:
            pass
        except Exception as error:  # noqa: BLE001  told on the page, which can try again
            with self._lock:
                self._problem, self._writer = str(error) or type(error).__name__, None

    def _progress(self, done: int, of: int) -> None:
        self._done = done
        if self._stopping:
            raise Stopped


def _short(decision: Add | Remove) -> dict[str, Any]:
    if isinstance(decision, Remove):
        return {"kind": "remove", "cover": decision.life, "first": decision.first, "last": decision.last}
    frames = [frame for frame, _ in decision.keys]
    kind = "add" if decision.stretches is None else "stretch"
    told = {"kind": kind, "first": decision.first, "last": decision.last, "keys": frames}
    return told if decision.stretches is None else {**told, "cover": decision.stretches}


def jpeg(picture: Frame | Picture) -> bytes:
    """Made in memory; at most MOST_SIDE_PX on its longer side."""
    planes = np.concatenate([plane.reshape(-1) for plane in (picture.y, picture.u, picture.v)])
    colours = cv2.cvtColor(planes.reshape(picture.height * 3 // 2, picture.width), cv2.COLOR_YUV2BGR_I420)
    scale = MOST_SIDE_PX / max(picture.width, picture.height)
    if scale < 1:
        colours = cv2.resize(colours, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", colours, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise FileError("a picture could not be made")
    return data.tobytes()
