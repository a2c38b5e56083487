"""What a source gives, and what is in it."""

from __future__ import annotations

import threading

import av

from server.pull.source import Source

Sent = list[tuple[bytes, int, bool]]
"""Data, RTP time, whether it is a key frame."""


def sent_by(source: Source, seconds: float, pictures: int | None = None) -> tuple[Sent, list[tuple[bytes, int]]]:
    """What a source gives until its end, for so long, or until there are so many pictures."""
    video: Sent = []
    sound: list[tuple[bytes, int]] = []

    def on_video(data: bytes, rtp_time: int, key: bool, arrival_ns: int) -> None:
        video.append((data, rtp_time, key))
        if len(video) == pictures:
            source.stopped.set()

    timer = threading.Timer(seconds, source.stopped.set)
    timer.start()
    source.run(on_video, lambda *part: sound.append(part))
    timer.cancel()
    return video, sound


def lumas(units: list[bytes]) -> list[float]:
    decoder = av.CodecContext.create("h264", "r")
    pictures = [picture for data in units for picture in decoder.decode(av.Packet(data))] + decoder.decode(None)
    return [float(picture.to_ndarray()[: picture.height].mean()) for picture in pictures]


def slices(data: bytes) -> bytes:
    """A unit without parameter sets and start codes' lengths: what must not change on the way."""
    units = data.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")
    return b"|".join(unit for unit in units if unit and unit[0] & 31 in (1, 5))
