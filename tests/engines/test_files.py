"""Reading files: every source frame becomes one upright, even, limited-range I420 frame, whatever the file does."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from engines.codecs.files import FileError, VideoFile
from engines.frame import RTP_CLOCK_HZ, Frame
from tests.engines.videos import (
    FPS,
    HEIGHT,
    SAMPLE_HZ,
    TURN_90,
    TURN_180,
    TURN_270,
    WIDTH,
    level_of,
    samples,
    turn,
    write_video,
)


def read(path: Path) -> tuple[VideoFile, list[Frame]]:
    with VideoFile(path) as video:
        return video, list(video)


def assert_shows(frames: list[Frame], count: int, tolerance: int = 6) -> None:
    """Each frame of `count`, once and in order."""
    seen = [int(np.median(frame.y)) for frame in frames]
    assert len(seen) == count
    assert np.abs(np.array(seen) - [level_of(n) for n in range(count)]).max() <= tolerance
    times = [frame.rtp_time for frame in frames]
    assert times[0] == 0
    assert all(later > earlier for earlier, later in pairwise(times))
    assert all(frame.width % 2 == 0 and frame.height % 2 == 0 for frame in frames)


def remux(source: Path, path: Path, **options: Any) -> None:
    """The video's packets as they are, in another file."""
    with av.open(str(source)) as box, av.open(str(path), "w", **options) as to:
        copy = to.add_stream_from_template(box.streams.video[0])
        for packet in box.demux(video=0):
            if packet.size:
                packet.stream = copy
                to.mux(packet)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.mp4", {}),
        ("a.mov", {"codec": "libx264"}),
        ("a.mkv", {"codec": "libx264"}),
        ("a.ts", {"codec": "libx264"}),
        ("a.webm", {"codec": "libvpx"}),
        ("vp9.webm", {"codec": "libvpx-vp9", "options": {"cpu-used": "8", "deadline": "realtime"}}),
        ("a.avi", {"codec": "mpeg4"}),
        ("mjpeg.avi", {"codec": "mjpeg", "format_": "yuvj420p"}),
        ("a.mpg", {"codec": "mpeg2video"}),
        ("a.flv", {"codec": "libx264"}),
        ("a.gif", {"codec": "gif", "format_": "rgb8"}),
        ("10bit.mp4", {"codec": "libx264", "format_": "yuv420p10le"}),
        ("422.mp4", {"codec": "libx264", "format_": "yuv422p"}),
        ("444.mkv", {"codec": "libx264", "format_": "yuv444p10le"}),
        ("full.mp4", {"codec": "libx264", "format_": "yuvj420p"}),
    ],
)
def test_every_frame_of_every_container_and_format(tmp_path: Path, name: str, kind: dict) -> None:
    path = write_video(tmp_path / name, **kind)
    video, frames = read(path)
    assert (video.width, video.height) == (WIDTH, HEIGHT)
    assert video.broken == 0
    assert_shows(frames, 20, tolerance=20 if name == "a.gif" else 6)  # eight bits of colour are coarse


def test_variable_rate_keeps_each_frames_own_time(tmp_path: Path) -> None:
    times_ms = [0, 33, 50, 250, 251, 900, 940, 2400]
    path = write_video(tmp_path / "vfr.mkv", len(times_ms), times_ms=times_ms)
    _, frames = read(path)
    assert_shows(frames, len(times_ms))
    assert [round(frame.rtp_time / 90) for frame in frames] == times_ms


def test_frames_without_times_are_spaced_evenly(tmp_path: Path) -> None:
    mp4 = write_video(tmp_path / "a.mkv", options={"bf": "0"})
    bare = tmp_path / "bare.h264"
    remux(mp4, bare, format="h264")
    _, frames = read(bare)
    assert_shows(frames, 20)
    steps = np.diff([frame.rtp_time for frame in frames])
    assert set(steps.tolist()) == {steps[0]}


def test_a_file_that_does_not_begin_at_zero_begins_at_zero(tmp_path: Path) -> None:
    path = write_video(tmp_path / "late.mkv", 5, times_ms=[5000, 5033, 5066, 5100, 5133])
    video, frames = read(path)
    assert_shows(frames, 5)
    assert video.start_s == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("matrix", "upright", "white"),
    [
        (TURN_90, (HEIGHT, WIDTH), ("top", "right")),
        (TURN_180, (WIDTH, HEIGHT), ("bottom", "right")),
        (TURN_270, (HEIGHT, WIDTH), ("bottom", "left")),
    ],
)
def test_a_rotated_file_comes_out_upright(
    tmp_path: Path, matrix: tuple, upright: tuple[int, int], white: tuple[str, str]
) -> None:
    path = write_video(tmp_path / "phone.mp4", sar=Fraction(4, 3))
    turn(path, matrix)
    video, frames = read(path)
    assert (video.width, video.height) == upright
    assert (frames[0].width, frames[0].height) == upright
    assert_shows(frames, 20)
    rows = slice(0, 10) if white[0] == "top" else slice(-10, None)
    columns = slice(0, 10) if white[1] == "left" else slice(-10, None)
    assert frames[3].y[rows, columns].mean() > 220
    assert video.sample_aspect_ratio == (Fraction(4, 3) if matrix == TURN_180 else Fraction(3, 4))


@pytest.mark.parametrize("matrix", [None, TURN_90])
def test_odd_sizes_are_padded_by_repeating_the_edge(tmp_path: Path, matrix: tuple | None) -> None:
    path = write_video(tmp_path / "odd.mp4", width=161, height=119, format_="yuv444p")
    if matrix:
        turn(path, matrix)
    video, frames = read(path)
    assert (video.width, video.height) == ((162, 120) if matrix is None else (120, 162))
    assert_shows(frames, 20)
    plane = frames[5].y if matrix is None else frames[5].y.T
    assert np.array_equal(plane[:, -1], plane[:, -2])


def test_the_pixels_shape_and_the_rate_are_known(tmp_path: Path) -> None:
    video, frames = read(write_video(tmp_path / "sar.mp4", sar=Fraction(64, 45)))
    assert video.sample_aspect_ratio == Fraction(64, 45)
    assert video.fps == FPS
    assert video.frames_expected == 20
    assert [frame.rtp_time for frame in frames] == [n * RTP_CLOCK_HZ // FPS for n in range(20)]


def test_a_file_that_changes_size_midway_keeps_its_first(tmp_path: Path) -> None:
    parts = [
        write_video(tmp_path / "1.ts", 10).read_bytes(),
        write_video(tmp_path / "2.ts", 10, width=320, height=240).read_bytes(),
    ]
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(parts))
    video, frames = read(path)
    assert {(frame.width, frame.height) for frame in frames} == {(video.width, video.height)}
    assert len(frames) == 20


def test_of_a_truncated_file_what_is_there_is_kept(tmp_path: Path) -> None:
    path = write_video(tmp_path / "cut.mkv", 60, options={"g": "10", "bf": "0"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    _, frames = read(path)
    assert 15 < len(frames) < 60
    assert_shows(frames, len(frames))


def test_what_a_file_that_is_cut_short_has_in_its_index_alone_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    source = write_video(tmp_path / "whole.mp4", 60, options={"g": "10", "bf": "0"})
    remux(source, path, options={"movflags": "faststart"})
    whole, _ = read(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    video, frames = read(path)
    assert whole.broken == 0
    assert 15 < len(frames) < 60
    assert 59 <= video.broken + len(frames) <= 60, "the last picture may be there in part"


def test_a_folder_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="a folder, not a video"):
        VideoFile(tmp_path)


def test_damage_in_the_middle_is_counted_and_stepped_over(tmp_path: Path) -> None:
    path = write_video(tmp_path / "hurt.avi", 40, codec="mjpeg", format_="yuvj420p")
    with av.open(str(path)) as box:
        places = [(packet.pos, packet.size) for packet in box.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for at, size in places[10:12]:
        data[at + 30 : at + size - 8] = bytes(size - 38)
    path.write_bytes(data)
    video, frames = read(path)
    assert video.broken == 2
    assert len(frames) == 38


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing.mp4", None, "no such file"),
        ("empty.mp4", b"", "not a video"),
        ("text.mp4", b"this is only text\n" * 50, "not a video"),
        ("noise.mp4", np.random.default_rng(0).bytes(5000), "not a video"),
    ],
)
def test_what_is_no_video_is_one_line_with_its_name(
    tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FileError, match=said) as caught:
        VideoFile(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_folder_and_a_file_with_sound_alone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError):
        VideoFile(tmp_path)
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as box:
        tone = box.add_stream("aac", rate=SAMPLE_HZ, layout="mono")
        box.mux(tone.encode(samples(0, "fltp")))
        box.mux(tone.encode(None))
    with pytest.raises(FileError, match="no video stream"):
        VideoFile(path)


@pytest.mark.parametrize("kind", ["hls", "concat", "dash", "webvtt", "image sequence"])
def test_lists_and_scripts_open_no_other_file(tmp_path: Path, kind: str) -> None:
    """A list would make us read a file that its sender has no right to."""
    secret = write_video(tmp_path / "secret.ts")
    scripts = {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
        "concat": f"ffconcat version 1.0\nfile '{secret}'\n",
        "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
        f'<Representation id="1"><BaseURL>{secret}</BaseURL></Representation></AdaptationSet></Period></MPD>',
        "webvtt": "WEBVTT\n\n00:00.000 --> 00:01.000\nhello\n",
        "image sequence": "x",
    }
    path = tmp_path / {"hls": "list.m3u8", "concat": "list.ffconcat", "dash": "list.mpd", "webvtt": "a.vtt"}.get(
        kind, "pic%03d.png"
    )
    path.write_text(scripts[kind])
    with pytest.raises(FileError):
        VideoFile(path)
    renamed = path.rename(tmp_path / "innocent.mp4")
    with pytest.raises(FileError):
        VideoFile(renamed)


def test_a_file_is_iterated_over_once(tmp_path: Path) -> None:
    with VideoFile(write_video(tmp_path / "a.mp4")) as video:
        assert len(list(video)) == 20
        with pytest.raises(ValueError, match="once"):
            list(video)
