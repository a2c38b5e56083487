"""A file through a live studio: what its redacted feed showed of each source frame."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from benchmarks.rig import Door
from engines.codecs.decode import VideoDecoder
from engines.codecs.encode import Encoder
from engines.codecs.files import VideoFile
from engines.codecs.mux import Mp4Writer
from engines.detect.detector import open_detector
from engines.frame import RTP_CLOCK_HZ, Frame, Ledger, Picture
from server.link import NO_FLAGS, Flag, Kind, Message
from server.studio.canary import finds_known_face
from server.studio.studio import Studio

STREAM: Final = 1
FEED: Final = 10
PUBLISHED_BITS_PER_PIXEL: Final = 0.4
KEY_EVERY_S: Final = 2
SETTLE_S: Final = 1.0
LEAD_S: Final = 3
"""The first picture stands still for so long before the clip begins: the network is compiled for its size meanwhile."""


@dataclass(frozen=True)
class Shown:
    """`video`: the source with every frame that was shown as it was shown; `truth`: the faces of those frames alone."""

    video: Path
    truth: Path
    share: float
    """Of the frames that are judged."""


def redact_live(source: Path, video: Path, truth: Path) -> Shown:
    """Publish a file to a studio at its own speed and put down what the redacted feed showed, frame by frame."""
    ours, theirs = socket.socketpair()
    studio = Studio(theirs, lambda settings: open_detector(), finds_known_face, lambda reason: None)
    thread = threading.Thread(target=studio.run, daemon=True)
    thread.start()
    door = Door(ours)
    try:
        door.hello()
        door.wait(Kind.READY, timeout_s=120)
        door.open_stream(STREAM)
        _publish(source, door)
        time.sleep(SETTLE_S)
        units = door.seen(Kind.ENCODED, FEED)
    finally:
        ours.shutdown(socket.SHUT_RDWR)
        thread.join(5)
        theirs.close()
        ours.close()
    return _put_down(source, video, truth, units)


def _publish(source: Path, door: Door) -> None:
    with VideoFile(source) as file:
        rate = round(PUBLISHED_BITS_PER_PIXEL * file.width * file.height * float(file.fps))
        encoder = Encoder("h264", file.width, file.height, fps=float(file.fps), bit_rate=rate, preset="veryfast")
        started, key_due, opened = time.monotonic(), 0.0, False
        for frame in _with_lead(file):
            at_s = frame.rtp_time / RTP_CLOCK_HZ
            key = at_s >= key_due
            key_due = at_s + KEY_EVERY_S if key else key_due
            picture = _picture(frame)
            for unit in encoder.encode(picture.video_frame, frame.rtp_time, key):
                time.sleep(max(0.0, started + at_s - time.monotonic()))
                flags = Flag.KEY if unit.key else NO_FLAGS
                now_ns = time.monotonic_ns()
                more: dict[str, Any] = {"rtp_time": frame.rtp_time, "arrival_ns": now_ns, "flags": flags}
                door.send(Kind.ACCESS_UNIT, STREAM, body=unit.data, **more)
                if not opened:  # only now: a feed's time starts with its first picture, be it a slate
                    door.open_feed(FEED, stream=STREAM)
                    opened = True
        encoder.close()


def _with_lead(file: VideoFile) -> Iterator[Frame]:
    for number, frame in enumerate(file):
        if number == 0:
            step = round(RTP_CLOCK_HZ / file.fps)
            for ticks in range(0, LEAD_S * RTP_CLOCK_HZ - step // 2, step):
                yield replace(frame, rtp_time=ticks)
        yield replace(frame, rtp_time=frame.rtp_time + LEAD_S * RTP_CLOCK_HZ)


def _put_down(source: Path, video: Path, truth: Path, units: list[Message]) -> Shown:
    decoder = VideoDecoder("h264")
    shown = {unit.rtp_time for unit in units if not unit.flags & Flag.IS_SLATE}
    pictures = _decoded(decoder, units)
    latest: Frame | None = None
    numbers = set()
    with (
        VideoFile(source) as file,
        Mp4Writer(video, file.width, file.height, fps=file.fps, preset="veryfast", crf=18) as writer,
    ):
        for number, frame in enumerate(file):
            out, published = frame, frame.rtp_time + LEAD_S * RTP_CLOCK_HZ
            if published in shown:
                while latest is None or latest.rtp_time < published:
                    latest = next(pictures)
                out = latest
                numbers.add(number)
            writer.write(_picture(out), frame.rtp_time)
    rows = [json.loads(line) for line in truth.read_text().splitlines()]
    share = sum(row["frame"] in numbers for row in rows) / len(rows)
    for row in rows:
        row["faces"] = row["faces"] if row["frame"] in numbers else []
    path = video.with_suffix(".faces.jsonl")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Shown(video, path, share)


def _decoded(decoder: VideoDecoder, units: list[Message]) -> Iterator[Frame]:
    for unit in units:
        yield from decoder.decode(bytes(unit.body), unit.rtp_time, unit.arrival_ns, Ledger())


def _picture(frame: Frame) -> Picture:
    picture = Picture(frame.width, frame.height)
    picture.copy_from(frame)
    return picture
