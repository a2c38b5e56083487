"""What a file becomes: access units in real time, undecoded where they can be."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from engines.bitstream import nal_units, picture_size
from server.pull.address import SourceError
from server.pull.source import Source
from tests.client.clips import FPS, write_clip
from tests.engines.videos import turn, write_video
from tests.server.pull.reading import lumas, sent_by, slices

TICKS = 90_000 // FPS


def test_h264_without_b_frames_goes_out_as_it_is_in_real_time(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4")
    with av.open(str(path)) as box:
        filtered = av.BitStreamFilterContext("h264_mp4toannexb", box.streams.video[0])
        wanted = [slices(bytes(unit)) for packet in box.demux(video=0) for unit in filtered.filter(packet)]
    source = Source(str(path), False)
    assert source.passes
    begun_s = time.monotonic()
    video, sound = sent_by(source, 20)
    assert 0.9 < time.monotonic() - begun_s < 3
    assert [slices(data) for data, _, _ in video] == [unit for unit in wanted if unit]
    assert [at for _, at, _ in video] == [TICKS * number for number in range(30)]
    assert [number for number, (_, _, key) in enumerate(video) if key] == [0, 15]
    for data, _, key in video:
        assert ({7, 8} < {kind for kind, _ in nal_units(data)}) == key  # whoever joins there has the parameter sets
    assert not sound


@pytest.mark.parametrize(("codec", "name", "b_frames"), [("mpeg4", "a.mp4", 0), ("libx264", "b.mp4", 2)])
def test_anything_else_is_recoded_in_the_order_of_showing(tmp_path: Path, codec: str, name: str, b_frames: int) -> None:
    path = write_clip(tmp_path / name, codec, b_frames=b_frames)
    source = Source(str(path), False)
    assert not source.passes
    video, _ = sent_by(source, 20)
    times = [at for _, at, _ in video]
    assert len(times) == 30
    assert all(abs(b - a - TICKS) <= 2 for a, b in pairwise(times))
    seen = lumas([data for data, _, _ in video])
    assert len(seen) == 30
    assert np.all(np.array(seen[5:]) > np.array(seen[:-5]))  # the encoder skips small changes now and then


def test_a_phones_clip_is_turned_upright(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", frames=5)
    turn(path, (0, 1, -1, 0))
    source = Source(str(path), False)
    assert not source.passes
    video, _ = sent_by(source, 20)
    assert picture_size("h264", video[0][0]) == (240, 320)


def test_odd_sizes_are_published(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "odd.avi", "ffv1", frames=5, size=(161, 121))
    video, _ = sent_by(Source(str(path), False), 20)
    assert len(lumas([data for data, _, _ in video])) == 5


def test_a_key_frame_that_is_asked_for_comes(tmp_path: Path) -> None:
    source = Source(str(write_clip(tmp_path / "clip.avi", "mpeg4")), False)
    keys: list[int] = []
    count = 0

    def on_video(data: bytes, rtp_time: int, key: bool, arrival_ns: int) -> None:
        nonlocal count
        if key:
            keys.append(count)
        if count == 10:
            source.want_key()
        count += 1

    source.run(on_video, lambda payload, rtp_time: None)
    assert keys == [0, 11]


def test_sound_becomes_opus_in_time_with_the_video(tmp_path: Path) -> None:
    video, sound = sent_by(Source(str(write_clip(tmp_path / "clip.mp4", sound=True)), False), 20)
    assert len(video) == 30
    assert len(sound) >= 45
    assert all(b - a == 960 for (_, a), (_, b) in pairwise(sound))
    assert sound[-1][1] / 48_000 == pytest.approx(video[-1][1] / 90_000, abs=0.1)
    decoder = av.CodecContext.create("libopus", "r")
    assert sum(frame.samples for data, _ in sound for frame in decoder.decode(av.Packet(data))) >= 45 * 900


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_times_go_on_when_a_file_begins_again(tmp_path: Path, codec: str) -> None:
    source = Source(str(write_clip(tmp_path / "clip.mp4", codec, frames=9)), True)
    video, _ = sent_by(source, 20, pictures=30)
    times = [at for _, at, _ in video]
    assert len(times) > 22
    assert all(abs(b - a - TICKS) <= 2 for a, b in pairwise(times))
    assert [key for _, _, key in video][9]


@pytest.mark.parametrize("name", ["missing.mp4", "text.mp4", "sound.wav", "."])
def test_a_source_that_cannot_be_read_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with av.open(str(tmp_path / "sound.wav"), "w") as box:
        stream = box.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        box.mux(stream.encode(frame))
    with pytest.raises(SourceError) as caught:
        Source(str(tmp_path / name), False)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("codec", "format_", "name"), [
    ("libx264", "yuv420p10le", "ten.mp4"), ("libx264", "yuv422p", "wide.mp4"), ("libx264", "yuv422p", "wide.ts"),
    ("libx265", "yuv420p10le", "ten.mkv"),
])  # fmt: skip
def test_what_browsers_cannot_show_is_encoded_anew_from_its_first_picture_on(
    tmp_path: Path, codec: str, format_: str, name: str
) -> None:
    options = {"tune": "zerolatency"} if codec == "libx264" else {"x265-params": "log-level=none"}
    path = write_video(tmp_path / name, 12, codec=codec, format_=format_, options=options)
    source = Source(str(path), False)
    video, _ = sent_by(source, 20)
    assert not source.passes
    assert len(lumas([data for data, _, _ in video])) == 12
    assert picture_size("h264", video[0][0]) == (160, 120)


def test_a_picture_that_is_too_large_is_made_smaller(tmp_path: Path) -> None:
    path = write_video(tmp_path / "4k.mp4", 3, width=3840, height=2160, options={"preset": "ultrafast"})
    video, _ = sent_by(Source(str(path), False), 20)
    assert picture_size("h264", video[0][0]) == (1920, 1080)
    assert len(video) == 3


def test_damaged_packets_end_nothing(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.ts", "mpeg2video", frames=45)
    data = bytearray(path.read_bytes())
    for at in range(len(data) // 3, len(data) // 2, 7):
        data[at] ^= 0x55
    path.write_bytes(data)
    video, _ = sent_by(Source(str(path), False), 20)
    times = [at for _, at, _ in video]
    assert len(video) > 15
    assert times == sorted(set(times))
