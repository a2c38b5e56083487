"""What a client sends and what a viewer sees, compared picture by picture by the number drawn into each."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import av
import numpy as np

from client.session import Refused
from client.watch import Watcher
from engines.codecs.decode import Codec, VideoDecoder
from engines.scene.marker import read_marker
from server.door.broadcast import AccessUnit

DEADLINE_S = 60


@dataclass(frozen=True)
class Scene:
    video: Path
    again: Path
    """The video over and over."""
    faces: list[list[dict[str, Any]]]
    """The truth's faces by frame."""

    @functools.cached_property
    def lumas(self) -> list[np.ndarray]:
        return lumas(self.video)


def lumas(video: Path) -> list[np.ndarray]:
    """The luma planes (H, W) uint8 of a file's pictures; a last one that was cut off is left out."""
    with av.open(str(video)) as box:
        stream = box.streams.video[0]
        size = stream.height
        return [frame.to_ndarray(format="yuv420p")[:size].copy() for frame in box.decode(stream)]


def write_again(video: Path, out: Path, times: int) -> Path:
    """The packets of a video, so many times in a row."""
    with av.open(str(video)) as source, av.open(str(out), "w") as box:
        stream = source.streams.video[0]
        track = box.add_stream_from_template(stream)
        packets = [packet for packet in source.demux(stream) if packet.dts is not None]
        length = sum(packet.duration or 0 for packet in packets)
        for turn in range(times):
            for packet in packets:
                copy = av.Packet(bytes(packet))
                copy.dts = copy.pts = (packet.dts or 0) + turn * length
                copy.time_base, copy.is_keyframe, copy.stream = packet.time_base, packet.is_keyframe, track
                box.mux(copy)
    return out


def seen(url: str, token: str, pictures: int) -> list[np.ndarray]:
    """Watch a feed with our own client, from when there is one, until so many of the scene's pictures were seen; the luma
    planes of all that was decoded."""
    return asyncio.run(_seen(url, token, pictures))


async def _seen(url: str, token: str, pictures: int) -> list[np.ndarray]:
    units: list[AccessUnit] = []
    planes: list[np.ndarray] = []
    numbers = 0
    end_s = time.monotonic() + DEADLINE_S
    watcher = await _watching(url, token, units, end_s)
    decoder = None
    try:
        while numbers < pictures:
            assert time.monotonic() < end_s, f"{numbers} of {pictures} pictures in {DEADLINE_S} s"
            assert not watcher.over, f"the feed ended after {numbers} pictures"
            await asyncio.sleep(0.02)
            while units:
                decoder = decoder or VideoDecoder(cast(Codec, watcher.codec))
                unit = units.pop(0)
                for frame in decoder.decode(unit.data, unit.rtp_time, arrival_ns=0):
                    planes.append(frame.y.copy())
                    numbers += read_marker(frame.y) is not None
    finally:
        await watcher.__aexit__()
    return planes


async def _watching(url: str, token: str, units: list[AccessUnit], end_s: float) -> Watcher:
    """Connected, as soon as there is such a feed."""
    while True:
        try:
            return await Watcher(url, token, on_unit=units.append).__aenter__()
        except Refused as error:
            if time.monotonic() > end_s or error.status != 409:
                raise
        await asyncio.sleep(0.1)


def assert_redacted(planes: Iterable[np.ndarray], scene: Scene, pictures: int) -> None:
    """So many of the scene's pictures are there, each after the one before it (the scene may repeat), at its own size, and no
    face in them is as it was."""
    shown = [(number, plane) for plane in planes if (number := read_marker(plane)) is not None]
    assert len(shown) >= pictures
    steps = [(b - a) % len(scene.faces) for (a, _), (b, _) in pairwise(shown)]
    back = sum(step > len(scene.faces) / 2 for step in steps)  # or a gap of a second, as a busy machine may make one
    assert back <= pictures / 20, f"pictures came out of order: {steps}"
    covered = there = 0
    for number, plane in shown:
        before = scene.lumas[number]
        assert plane.shape == before.shape
        for face in scene.faces[number]:
            if face["ignore"]:
                continue
            x0, y0, x1, y1 = (round(side) for side in face["xyxy_px"])
            there += 1
            covered += plane[y0:y1, x0:x1].std() < 0.5 * before[y0:y1, x0:x1].std()
    assert there > pictures
    assert covered >= 0.97 * there
