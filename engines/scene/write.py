"""A scene as an H.264 file and its truth as JSON lines."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path
from typing import TextIO

import av
import numpy as np

from engines.frame import Picture
from engines.scene.demo import FPS, LOOP_S, demo_scene
from engines.scene.scene import Scene

AUDIO_HZ, BEEP_HZ, BEEP_S = 48_000, 1_000, 0.04
_CHUNK = 1024  # what AAC takes at a time


def write_scene(
    path: str | Path,
    truth_path: str | Path | None = None,
    *,
    scene: Scene | None = None,
    seconds: float = LOOP_S,
    fps: int = FPS,
    marker: bool = False,
    audio: bool = False,
    crf: int = 20,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write `seconds` of a scene (the demo without one) as MP4; returns the number of frames.

    The video is H.264 constrained baseline without B-frames, a keyframe every second, 4:2:0 limited range BT.601. `marker`
    draws the frame's number into every frame; `audio` adds an AAC track with a beep at the start of every second. The truth
    has a line a frame. Both files appear when they are complete. `progress` is called with (frames done, all frames).
    """
    scene = scene or demo_scene()
    count = round(seconds * fps)
    if count < 1 or fps < 1:
        raise ValueError(f"nothing to write: {seconds} s at {fps} frames a second")
    places = [Path(path)] + ([Path(truth_path)] if truth_path else [])
    parts = [place.with_name(f".{place.name}.{os.getpid()}.part") for place in places]
    try:
        with open(parts[1], "w", encoding="utf-8") if truth_path else nullcontext() as truth:
            _write(parts[0], truth, scene, count, fps, marker, audio, crf, progress)
        for part, place in zip(parts, places, strict=True):
            os.replace(part, place)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
    return count


def truth_line(scene: Scene, n: int, fps: int) -> dict:
    """The JSON object of frame n."""
    t = n / fps
    return {
        "file": f"{n:06d}", "frame": n, "time_s": round(t, 6), "width": scene.width, "height": scene.height,
        "faces": [face.to_json() for face in scene.truth(t)],
        "people": [{"id": who, "xyxy_px": [round(v, 2) for v in box]} for who, box in scene.people(t).items()],
    }  # fmt: skip


def _write(part: Path, truth: TextIO | None, scene: Scene, count: int, fps: int, marker: bool, audio: bool, crf: int,
           progress: Callable[[int, int], None] | None) -> None:  # fmt: skip
    with av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"}) as box:
        video = box.add_stream(
            "libx264", rate=fps, options={"crf": str(crf), "preset": "veryfast", "profile": "baseline", "bf": "0"}
        )
        video.width, video.height, video.pix_fmt = scene.width, scene.height, "yuv420p"
        video.gop_size = fps
        video.codec_context.color_range, video.codec_context.colorspace = 1, 6  # limited range, BT.601
        sound = box.add_stream("aac", rate=AUDIO_HZ, layout="mono") if audio else None
        sent = 0
        for n in range(count):
            picture = Picture(scene.width, scene.height)
            picture.y[:], picture.u[:], picture.v[:] = scene.planes(n / fps, n if marker else None)
            picture.video_frame.pts, picture.video_frame.time_base = n, Fraction(1, fps)
            box.mux(video.encode(picture.video_frame))
            while sound is not None and sent < (n + 1) * AUDIO_HZ // fps:
                box.mux(sound.encode(beeps(sent)))
                sent += _CHUNK
            if truth is not None:
                truth.write(json.dumps(truth_line(scene, n, fps), separators=(",", ":")) + "\n")
            if progress:
                progress(n + 1, count)
        box.mux(video.encode())
        if sound is not None:
            box.mux(sound.encode())


def beeps(start: int) -> av.AudioFrame:
    """1024 samples of the tone track from sample `start`: a beep of 40 ms at 1 kHz at each whole second."""
    at = np.arange(start, start + _CHUNK)
    tone = 8000 * np.sin(2 * np.pi * BEEP_HZ * at / AUDIO_HZ) * (at % AUDIO_HZ < BEEP_S * AUDIO_HZ)
    frame = av.AudioFrame.from_ndarray(tone.astype(np.int16)[None], format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = AUDIO_HZ, start, Fraction(1, AUDIO_HZ)
    return frame
