"""Small video files with every quirk, made for a test with real encoders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

WIDTH, HEIGHT, FPS = 160, 120, 30
SAMPLE_HZ = 48_000
TURN_90, TURN_180, TURN_270 = ((0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0))
"""Display matrices (a, b, c, d) that turn a picture clockwise."""


def level_of(number: int) -> int:
    """The luma that frame `number` has in its middle."""
    return 40 + 8 * (number % 20)


def drawn(number: int, width: int = WIDTH, height: int = HEIGHT, format_: str = "yuv420p") -> av.VideoFrame:
    """Grey as the number says, with a white top left quarter."""
    rgb = np.full((height, width, 3), round((level_of(number) - 16) * 255 / 219), np.uint8)
    rgb[: height // 4, : width // 4] = 255
    return av.VideoFrame.from_ndarray(rgb, "rgb24").reformat(format=format_)


def write_video(
    path: Path,
    frames: int = 20,
    *,
    width: int = WIDTH,
    height: int = HEIGHT,
    codec: str = "libx264",
    format_: str = "yuv420p",
    times_ms: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    sar: Fraction | None = None,
    sound: str | None = None,
    metadata: dict[str, str] | None = None,
    draw: Callable[[int], av.VideoFrame] | None = None,
) -> Path:
    """A video of `frames` at 30 a second or at `times_ms`, with half a second of a tone per started second when there is `sound`."""
    with av.open(str(path), "w") as box:
        box.metadata.update(metadata or {})
        video = box.add_stream(codec, rate=FPS, options=options or {})
        video.width, video.height, video.pix_fmt = width, height, format_
        if times_ms is not None:
            video.codec_context.time_base = Fraction(1, 1000)
        if sar is not None:
            video.codec_context.sample_aspect_ratio = sar
        tone = box.add_stream(sound, rate=SAMPLE_HZ, layout="mono") if sound else None
        for n in range(frames):
            frame = draw(n) if draw else drawn(n, width, height, format_)
            frame.pts, frame.time_base = (n, Fraction(1, FPS)) if times_ms is None else (times_ms[n], Fraction(1, 1000))
            box.mux(video.encode(frame))
        box.mux(video.encode(None))
        if tone is not None:
            for start in range(0, frames * SAMPLE_HZ // FPS, 1024):
                box.mux(tone.encode(samples(start, tone.format.name)))
            box.mux(tone.encode(None))
    return path


def samples(start: int, format_: str = "s16") -> av.AudioFrame:
    """1024 samples of 440 Hz."""
    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(start, start + 1024) / SAMPLE_HZ)
    values = (wave * 32767).astype(np.int16) if format_.startswith("s16") else wave.astype(np.float32)
    frame = av.AudioFrame.from_ndarray(values[None], format=format_, layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = SAMPLE_HZ, start, Fraction(1, SAMPLE_HZ)
    return frame


def turn(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Write a rotation into an MP4's track header (ISO/IEC 14496-12 §8.3.2), as phones do."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    a, b, c, d = (value << 16 for value in matrix)
    for n, value in enumerate((a, b, 0, c, d, 0, 0, 0, 1 << 30)):
        data[at + 4 * n : at + 4 * n + 4] = value.to_bytes(4, "big", signed=True)
    path.write_bytes(data)


def boxes_of(path: Path) -> list[str]:
    """The kinds of an MP4's outermost boxes, in order."""
    data, at, kinds = path.read_bytes(), 0, []
    while at + 8 <= len(data):
        kinds.append(data[at + 4 : at + 8].decode("latin-1"))
        at += max(int.from_bytes(data[at : at + 4], "big"), 8)
    return kinds
