"""Small video files, made for the test that needs them, and the command in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import av
import numpy as np

SIZE = (320, 240)
FPS = 30
KEY_EVERY = 15
ZERO_LATENCY = {"tune": "zerolatency", "profile": "baseline", "x264-params": "scenecut=0"}


def write_clip(
    path: Path,
    codec: str = "libx264",
    *,
    frames: int = 30,
    rate: int = FPS,
    size: tuple[int, int] = SIZE,
    b_frames: int = 0,
    sound: bool = False,
) -> Path:
    """Grey pictures that grow brighter by 2 a frame from 40 on, a key frame every 15."""
    with av.open(str(path), "w") as box:
        stream = box.add_stream(codec, rate=rate, options=ZERO_LATENCY if codec == "libx264" and not b_frames else {})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = KEY_EVERY
        stream.codec_context.max_b_frames = b_frames
        voice = box.add_stream("aac", rate=44_100) if sound else None
        for number in range(frames):
            picture = np.full((size[1], size[0], 3), 40 + 2 * number, np.uint8)
            picture[: size[1] // 2, : size[0] // 4] //= 2
            box.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        box.mux(stream.encode(None))
        if voice is not None:
            tone = np.sin(np.arange(44_100 * frames // rate) * 0.05).astype(np.float32) * 0.3
            for at in range(0, len(tone) - 1023, 1024):
                frame = av.AudioFrame.from_ndarray(tone[None, at : at + 1024], "fltp", "mono")
                frame.sample_rate, frame.pts = 44_100, at
                box.mux(voice.encode(frame))
            box.mux(voice.encode(None))
    return path


def start(*words: str) -> subprocess.Popen[str]:
    """`fancam …`, running."""
    return subprocess.Popen(
        [sys.executable, "-m", "client.cli.main", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """`fancam …` to its end."""
    process = start(*words)
    out, err = process.communicate(timeout=150)
    return subprocess.CompletedProcess(words, process.returncode, out, err)
