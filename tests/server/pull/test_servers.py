"""Sources on other people's servers: RTSP by GStreamer, RTMP by node-media-server, HTTP by Python."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av
import pytest

from engines.bitstream import nal_units, picture_size
from server.pull.source import Source
from tests.client.clips import FPS, write_clip
from tests.server.pull.reading import Sent, lumas, sent_by
from tests.server.pull.servers import body, published, rtmp_server, rtsp_server, web

TICKS = 90_000 // FPS
PICTURES = 30
"""A second."""


@pytest.fixture(scope="module")
def rtsp() -> Iterator[str]:
    with rtsp_server() as url:
        yield url


@pytest.fixture(scope="module")
def rtmp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("rtmp")
    with rtmp_server() as url:
        with (
            published(write_clip(folder / "plain.mp4", sound=True), f"{url}/live/plain"),
            published(write_clip(folder / "b.mp4", b_frames=2, frames=60), f"{url}/live/b"),
        ):
            yield url


def assert_even(video: Sent, slack: int = 0) -> None:
    """Pictures rise in time, one after 1/30 s."""
    times = [at for _, at, _ in video]
    assert len(times) >= PICTURES * 0.6
    assert all(abs(b - a - TICKS) <= slack for a, b in pairwise(times))
    assert video[0][2], "the first picture is no key frame"


def decoded(video: Sent, codec: str) -> int:
    decoder = av.CodecContext.create(codec, "r")
    pictures = [picture for data, _, _ in video for picture in decoder.decode(av.Packet(data))]
    return len(pictures) + len(decoder.decode(None))


def test_h264_by_rtsp_passes_with_its_parameter_sets_and_opus_passes_too(rtsp: str) -> None:
    source = Source(f"{rtsp}/h264", False)
    assert source.passes
    video, sound = sent_by(source, 20, PICTURES)
    assert_even(video, 2)
    keys = [data for data, _, key in video if key]
    assert len(keys) >= 2
    assert all({7, 8} < {kind for kind, _ in nal_units(data)} for data in keys)
    assert decoded(video, "h264") == len(video)
    assert len(sound) >= 50 * 0.6
    steps = sorted(b - a for (_, a), (_, b) in pairwise(sound))
    assert steps[0] > 0
    assert steps[len(steps) // 2] == 960


def test_vp8_by_rtsp_passes(rtsp: str) -> None:
    source = Source(f"{rtsp}/vp8", False)
    assert (source.passes, source.codec) == (True, "vp8")
    video, _ = sent_by(source, 20, PICTURES)
    assert_even(video, 2)
    assert decoded(video, "vp8") == len(video)


@pytest.mark.parametrize("path", ["b", "h265"])
def test_b_frames_and_hevc_by_rtsp_are_encoded_anew_in_the_order_of_showing(rtsp: str, path: str) -> None:
    source = Source(f"{rtsp}/{path}", False)
    assert (source.passes, source.codec) == (False, "h264")
    video, sound = sent_by(source, 20, PICTURES)
    assert_even(video, 2)
    assert decoded(video, "h264") == len(video)
    assert bool(sound) == (path == "h265")


def test_h264_by_rtmp_passes_and_aac_becomes_opus(rtmp: str) -> None:
    source = Source(f"{rtmp}/live/plain", False)
    assert source.passes
    video, sound = sent_by(source, 20, PICTURES)
    times = [at for _, at, _ in video]
    assert len(times) >= PICTURES * 0.6
    assert all(0 < b - a < 2 * TICKS for a, b in pairwise(times))
    assert decoded(video, "h264") == len(video)
    assert len(sound) >= 50 * 0.6


def test_b_frames_by_rtmp_are_shown_in_their_order(rtmp: str) -> None:
    source = Source(f"{rtmp}/live/b", False)
    assert not source.passes
    video, _ = sent_by(source, 20, PICTURES)
    times = [at for _, at, _ in video]
    assert len(times) >= PICTURES * 0.6
    assert times == sorted(set(times))
    seen = lumas([data for data, _, _ in video])
    falls = sum(later < earlier - 1 for earlier, later in pairwise(seen))
    assert falls <= 2, "brightness falls only where the clip begins again"


def test_a_video_by_http_is_played_at_its_pace(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "a.ts").read_bytes()
    with web(body(data)) as server:
        source = Source(f"{server.url}/a.ts", False)
        video, _ = sent_by(source, 20)
    assert source.passes
    assert_even(video, 2)
    assert len(video) == 30


def test_a_size_that_changes_midway_goes_on(tmp_path: Path) -> None:
    for codec, passes in (("libx264", True), ("mpeg2video", False)):
        large = write_clip(tmp_path / "large.ts", codec, frames=15)
        small = write_clip(tmp_path / "small.ts", codec, frames=15, size=(176, 144))
        with web(body(large.read_bytes() + small.read_bytes())) as server:
            source = Source(f"{server.url}/both.ts", False)
            video, _ = sent_by(source, 20)
        assert source.passes == passes
        sizes = [size for data, _, key in video if key and (size := picture_size("h264", data))]
        assert list(dict.fromkeys(sizes)) == [(320, 240), (176, 144)]
        assert decoded(video, "h264") == len(video)
        assert len(video) >= 28
