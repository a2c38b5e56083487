"""What a source gives, and what is in it."""

from __future__ import annotations

import threading

import av

from server.pull.source import Source

Sent = list[tuple[bytes, int, bool]]
"""Data, RTP time, whether it is a key frame."""


def sent_by(source: Source, seconds: float) -> tuple[Sent, list[tuple[bytes, int]]]:
    """What a source gives until its end, or for so long."""
    video: Sent = []
    sound: list[tuple[bytes, int]] = []
    timer = threading.Timer(seconds, source.stopped.set)
    timer.start()
    source.run(lambda *unit: video.append(unit[:3]), lambda *part: sound.append(part))
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
