"""A video looked at once and kept in mind without its pictures: what a review shows, and what is written in the end."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from engines.codecs.files import FileError, VideoFile
from engines.detect.detector import Detector
from engines.frame import Frame
from engines.offline import Options, Ready, Summary, analyse, write
from engines.pipeline import Analysed
from engines.render.covers import Covers
from engines.render.exempt import cover_all_but, surely
from engines.report import Doubt, Report, file_facts
from engines.review.decisions import Decisions, Plan, Remove
from engines.review.lives import gather
from engines.track.associate import overlaps


@dataclass(frozen=True, slots=True)
class Place:
    """A place to look at: when and why, and whose cover it is."""

    frame: int
    doubt: Doubt
    life: int | None


@dataclass(frozen=True, slots=True)
class _Covered:
    item: Analysed
    extra_ids: tuple[int, ...]
    covers: Covers


class Analysis:
    """All frames of `video` in order, without their pictures: some kilobytes each."""

    def __init__(
        self,
        video: Path,
        detector: Detector,
        options: Options,
        progress: Callable[[int, int], None] = lambda done, of: None,
    ) -> None:
        """Looks at every frame.

        Raises:
            FileError: the video cannot be read.
        """
        self.video, self.options = video, options
        self.shown = options.cover.shown(options.members)
        with VideoFile(video) as source:
            self.width, self.height, self.fps = source.width, source.height, float(source.fps)
            self.file = file_facts(video)
            self.summary = Summary.of(source, options)
            report = Report(source.width, source.height)
            self.frames: list[Ready] = []
            for ready in analyse(source, detector, options, self.summary, progress):
                report.add(ready.item, ready.extra_boxes, self.shown)
                self.frames.append(replace(ready, item=replace(ready.item, frame=_without_picture(ready.item.frame))))
        self.times = [ready.item.time_s for ready in self.frames]
        self.moments, self.lives = gather([self._covered(ready) for ready in self.frames])
        self.places = [self._place(doubt) for doubt in report.doubts()]

    def decided(self, number: int, plan: Plan, frame: Frame) -> Ready:
        """A frame as the decisions want it, with its picture.

        Raises:
            FileError: it is not the frame that was analysed.
        """
        ready, moment = self.frames[number], self.moments[number]
        was = ready.item.frame
        if (frame.rtp_time, frame.width, frame.height) != (was.rtp_time, was.width, was.height):
            raise FileError(f"{self.video}: is not as it was when it was analysed")
        away = plan.removed(number, moment)
        gone = set(moment.lives[away].tolist()) - set(moment.lives[~away].tolist())
        return replace(
            ready,
            item=replace(ready.item, frame=frame),
            extra_boxes=np.concatenate((ready.extra_boxes, plan.extra_boxes(number))),
            people={track: face for track, face in ready.people.items() if track not in gone},
            removed=moment.boxes[away],
        )

    def write(
        self, decisions: Decisions, out: Path, progress: Callable[[int, int], None] = lambda done, of: None
    ) -> Summary:
        """Decode the video once more and write what `engines.offline.process` does, by the decisions.

        Raises:
            FileError: the video is not as it was.
            OSError: the folder cannot be written.
        """
        if file_facts(self.video) != self.file:
            raise FileError(f"{self.video}: is not as it was when it was analysed")
        plan = Plan(decisions)

        def frames(source: VideoFile) -> Iterator[Ready]:
            number = -1
            for number, frame in enumerate(source):
                if number == len(self.frames):
                    raise FileError(f"{self.video}: is longer than when it was analysed")
                yield self.decided(number, plan, self.options.zones.burn(frame))
                progress(number + 1, len(self.frames))
            if number + 1 != len(self.frames):
                raise FileError(f"{self.video}: is shorter than when it was analysed")

        out.mkdir(parents=True, exist_ok=True)
        with VideoFile(self.video) as source:
            summary = replace(self.summary, people=[])
            return write(source, frames(source), out, self.options, summary, self.told(decisions))

    def told(self, decisions: Decisions) -> list[dict[str, Any]]:
        """What the report says of the decisions."""
        lines = []
        for one in decisions:
            if isinstance(one, Remove):
                what = f"cover {one.life} (best score {one.score}) taken away"
            elif one.stretches is not None:
                what = f"cover {one.stretches} prolonged"
            else:
                what = "a cover added"
            lines.append({"time_s": self.times[one.first], "until_s": self.times[one.last], "what": what})
        return lines

    def _covered(self, ready: Ready) -> _Covered:
        item = ready.item
        seen = surely(item.tracks, () if item.wary else self.shown)
        extra = item.with_besides(ready.extra_boxes)
        covers = cover_all_but(seen, item.detections, item.tracks, extra, wary=item.wary)
        return _Covered(item, ready.extra_ids, covers)

    def _place(self, doubt: Doubt) -> Place:
        frame = min(bisect_left(self.times, doubt.time_s - 0.0005), len(self.times) - 1)
        moment = self.moments[frame]
        if doubt.track in self.lives and doubt.track > 0:
            return Place(frame, doubt, doubt.track)
        if not len(moment.boxes):
            return Place(frame, doubt, None)
        same = overlaps(np.array([doubt.box]), moment.boxes.astype(float))[0]
        return Place(frame, doubt, int(moment.lives[same.argmax()]) if same.max() > 0 else None)


def _without_picture(frame: Frame) -> Frame:
    """The frame with planes of its size that take no memory and are black."""
    planes = (
        np.broadcast_to(np.uint8(level), plane.shape)
        for level, plane in ((16, frame.y), (128, frame.u), (128, frame.v))
    )
    y, u, v = planes
    return replace(frame, y=y, u=u, v=v, owner=None)
