"""The same pipeline over a file: a redacted video, one fancam per person, and what was seen as CSV and JSON.

Frames wait a second (`engines.track.lookahead`), so that a face is covered from before it was first found and a fancam's
path is smoothed without lag. Each source frame gives one redacted frame.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engines.besides import Besides
from engines.codecs.files import VideoFile
from engines.codecs.mux import Audio, Mp4Writer
from engines.detect.detector import Detector
from engines.frame import F32
from engines.people import Fancam, People, Rows, Seen, file_names
from engines.pipeline import Analysed, DelayLine, FancamFeed, Pipeline, RedactedFeed
from engines.policy import Cover
from engines.render.camera import DEFAULT_PRESET, output_size
from engines.render.redact import Style, Unsafe
from engines.render.zones import Zones
from engines.report import Report, write_whole
from engines.runtimes import RuntimeFailure
from engines.track.lookahead import Lookahead
from engines.track.recognise import Recogniser

LEAST_SEEN_S: Final = 1.0
"""People seen for less get no fancam."""
MAX_GAP_S: Final = 1.0
"""The longest gap that can be filled: frames wait little longer."""
FRAMES_AHEAD: Final = 16
"""Analysed frames that wait for the encoders at most."""


@dataclass(frozen=True, slots=True)
class Options:
    fancams: bool = True
    keep_audio: bool = False
    style: Style = "solid"
    preset: str = DEFAULT_PRESET
    max_gap_s: float = MAX_GAP_S
    """Where a person was not found for longer, nothing is filled."""
    x264_preset: str = "veryfast"
    crf: int = 23
    zones: Zones = field(default_factory=Zones)
    """Burnt into everything that is written."""
    cover: Cover = field(default_factory=Cover)
    """Who is covered in the redacted video; the fancams show all."""
    members: tuple[str, ...] = ()
    """Whom the detector tells apart: classes of its that are people."""
    classes: tuple[str, ...] = ()
    """What is covered besides faces, of the classes that the detector knows."""
    heads: bool = False
    """Persons without a visible face have their head covered."""
    report: Path | None = None
    """Folder for report.json and report.html."""


def told(options: Options) -> dict[str, Any]:
    """The options as the summary has them."""
    plain = {name: getattr(options, name) for name in Options.__slots__ if name not in ("report", "members")}
    return {**plain, "zones": options.zones.polygons, "cover": options.cover.told()}


@dataclass(slots=True)
class Person:
    """One track, as it stands in the summary."""

    track: int
    first_s: float
    last_s: float
    frames: int = 0
    filled: int = 0
    fancam: str | None = None
    member: str | None = None
    """Whom the fancam shows, of those the detector tells apart."""


@dataclass(slots=True)
class Summary:
    source: str
    width: int
    height: int
    fps: float
    frames: int = 0
    seconds: float = 0.0
    faces: int = 0
    """Detections of score 0.5 and more, over all frames."""
    broken: int = 0
    """Pieces of the source that could not be decoded."""
    sound: str = "dropped"
    people: list[Person] = field(default_factory=list)
    detector: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, source: VideoFile, options: Options) -> Summary:
        """Of a source of which no frame was looked at yet."""
        return cls(source.path.name, source.width, source.height, float(source.fps), options=told(options))


def process(
    video: Path,
    out: Path,
    detector: Detector,
    options: Options,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Summary:
    """Write `redacted.mp4`, `fancam-<track or member>.mp4`, `tracks.csv` and `summary.json` into the folder `out`.

    `progress` is called with the frames done and expected (0 when unknown). Nothing is left half written.

    Raises:
        FileError: the source cannot be read.
        OSError: the folder cannot be written.
    """
    with VideoFile(video) as source:
        out.mkdir(parents=True, exist_ok=True)
        summary = Summary.of(source, options)
        return write(source, analyse(source, detector, options, summary, progress), out, options, summary)


def analyse(
    source: VideoFile,
    detector: Detector,
    options: Options,
    summary: Summary,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Iterator[Ready]:
    """The frames of a source in order, each with all that is known of it in the end; what can be counted goes into `summary`."""
    detector.warm_up(source.width, source.height)
    summary.detector = detector.describe()
    pipeline, lookahead = Pipeline(detector, besides=Besides(options.classes, options.heads)), DelayLine()
    if options.members:
        pipeline.recogniser = Recogniser(options.members)
    people = People(options.max_gap_s)
    for frame in source:
        analysed = pipeline.analyse(options.zones.burn(frame))
        people.add(analysed)
        summary.frames += 1
        summary.faces += int((analysed.detections.scores >= 0.5).sum())
        for item, extra in lookahead.push(analysed):
            yield Ready.of(item, extra, lookahead, people)
        progress(summary.frames, source.frames_expected)
    for item, extra in lookahead.flush():
        yield Ready.of(item, extra, lookahead, people)
    summary.broken = source.broken


def write(
    source: VideoFile,
    frames: Iterable[Ready],
    out: Path,
    options: Options,
    summary: Summary,
    changes: Sequence[dict[str, Any]] = (),
) -> Summary:
    """Render and write what `process` does, from the frames of `source`; `changes` are for the report: what a person decided.

    Raises:
        OSError: the folder cannot be written.
    """
    with Writers(source, out, options, summary) as writers:
        for ready in frames:
            writers.put(ready)
    write_whole(out / "summary.json", json.dumps(asdict(summary), indent=1) + "\n")
    if writers.report is not None and options.report is not None:
        made = [out / name for name in ("redacted.mp4", *(person.fancam for person in summary.people)) if name]
        writers.report.write(options.report, source.path, made, {**summary.detector, **summary.options}, changes)
    return summary


@dataclass(frozen=True, slots=True)
class Ready:
    """A frame that has waited long enough: what to cover besides, and who is seen where."""

    item: Analysed
    extra_boxes: F32
    extra_ids: tuple[int, ...]
    """Whose the first of the extra boxes are."""
    people: dict[int, Seen]
    """By their tracks."""
    removed: NDArray[np.int32] | None = None
    """(m, 4): covers that a person has looked at and taken away."""

    @classmethod
    def of(cls, item: Analysed, extra: F32, lookahead: Lookahead[Analysed], people: People) -> Ready:
        return cls(item, extra, tuple(lookahead.fills(item)), people.at(item))


class Writers:
    """Renders and encodes in a thread of its own; as a context manager, waits for it and completes or discards all files."""

    def __init__(self, source: VideoFile, out: Path, options: Options, summary: Summary) -> None:
        self._source, self._out, self._options, self._summary = source, out, options, summary
        self._queue: Queue[Ready | None] = Queue(FRAMES_AHEAD)
        self._error: Exception | None = None
        self._thread = Thread(target=self._run, name="writers", daemon=True)
        self._abandoned = self._ended = False
        self._videos: list[Mp4Writer] = []
        self._fancams: list[Fancam] = []
        self.report = Report(source.width, source.height) if options.report is not None else None

    def put(self, ready: Ready) -> None:
        if self._error is not None:
            raise self._error
        self._queue.put(ready)

    def __enter__(self) -> Writers:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._abandoned = kind is not None
        self._queue.put(None)
        self._thread.join()
        if kind is None and self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            with ExitStack() as files:
                self._write_all(files)
                if self._abandoned:
                    raise Abandoned
        except Abandoned:
            pass
        except Exception as error:  # noqa: BLE001  handed to the thread that reads
            self._error = error
            for video in self._videos:
                if video.complete:
                    video.path.unlink(missing_ok=True)
            while not self._ended:
                self._ended = self._queue.get() is None

    def _write_all(self, files: ExitStack) -> None:
        rows = files.enter_context(Rows(self._out / "tracks.csv", self._options.members))
        redacted = RedactedFeed((self._source.width, self._source.height), self._options.style)
        redacted.redactor.shown = self._options.cover.shown(self._options.members)
        video: Mp4Writer | None = None
        fancams: dict[int, Fancam] = {}
        index = 0
        while (ready := self._queue.get()) is not None:
            if video is None:  # the sound's offset is known once the first frame is there
                video = files.enter_context(self._open("redacted.mp4", redacted.size, self._audio(files)))
            try:
                safe = redacted.render(ready.item, ready.extra_boxes, removed=ready.removed)
            except Unsafe as error:
                raise RuntimeFailure(f"the frame at {ready.item.time_s:.2f} s cannot be redacted: {error}") from error
            video.write(safe.picture, ready.item.frame.rtp_time)
            redacted.release(safe)
            if self.report is not None:
                self.report.add(ready.item, ready.extra_boxes, redacted.redactor.shown, ready.removed)
            self._write_people(index, ready, rows, fancams, files)
            self._summary.seconds = ready.item.time_s
            index += 1
        self._ended = True
        self._name(fancams)

    def _write_people(self, index: int, ready: Ready, rows: Rows, fancams: dict[int, Fancam], files: ExitStack) -> None:
        known = {person.track: person for person in self._summary.people}
        for track, seen in ready.people.items():
            state = rows.write(index, track, seen, ready.item)
            person = known.get(track)
            if person is None:
                person = Person(track, ready.item.time_s, 0)
                self._summary.people.append(person)
            person.last_s = ready.item.time_s
            person.frames += 1
            person.filled += state == "filled"
            fancam = fancams.get(track)
            if fancam is not None and fancam.track != track and fancam.track in ready.people:
                if not seen.place.seen:
                    continue
                fancam = None  # it follows somebody else, who is there: these are two
            if fancam is None:
                fancam = self._same(seen, ready, fancams)
            if fancam is None:
                if not self._options.fancams or seen.span_s < LEAST_SEEN_S - 1.5 / self._summary.fps:
                    continue
                fancam = self._new_fancam(track, ready, files)
            fancams[track] = fancam
            fancam.write(ready.item, track, seen)

    def _name(self, fancams: dict[int, Fancam]) -> None:
        """Give the fancams their files' names, once it is known whom they show."""
        made = self._fancams
        members = [None if one.shows is None else self._options.members[one.shows] for one in made]
        for fancam, name in zip(made, file_names([one.key for one in made], members), strict=True):
            fancam.writer.path = self._out / name
        for person in self._summary.people:
            if (shown := fancams.get(person.track)) is not None:
                person.fancam = shown.writer.path.name
                person.member = None if shown.shows is None else self._options.members[shown.shows]

    @staticmethod
    def _same(seen: Seen, ready: Ready, fancams: dict[int, Fancam]) -> Fancam | None:
        """The fancam of the same member, that follows nobody who is there."""
        same = (one for one in fancams.values() if one.member is not None and one.member == seen.member)
        return next((one for one in same if one.track not in ready.people), None)

    def _new_fancam(self, track: int, ready: Ready, files: ExitStack) -> Fancam:
        size = output_size(self._source.width, self._source.height, self._options.preset)
        before = sum(one.key.partition(".")[0] == str(track) for one in self._fancams)
        key = f"{track}.{before + 1}" if before else str(track)
        video = files.enter_context(self._open(f"fancam-{key}.mp4", size))
        feed = FancamFeed(track, size, self._options.preset)
        self._fancams.append(Fancam(feed, video, ready.item.frame.rtp_time, track, key))
        return self._fancams[-1]

    def _open(self, name: str, size: tuple[int, int], audio: Audio | None = None) -> Mp4Writer:
        video = Mp4Writer(
            self._out / name,
            *size,
            fps=self._source.fps,
            preset=self._options.x264_preset,
            crf=self._options.crf,
            sample_aspect_ratio=self._source.sample_aspect_ratio,
            audio=audio,
        )
        self._videos.append(video)
        return video

    def _audio(self, files: ExitStack) -> Audio | None:
        if not self._options.keep_audio:
            return None
        audio = Audio(self._source.path, self._source.start_s)
        files.callback(audio.close)
        self._summary.sound = "kept" if audio.stream is not None else "none"
        return audio


class Abandoned(Exception):
    """Reading failed or was stopped: nothing written may stay."""
