"""Times: where pictures and sound of a source are placed, and when they leave."""

from __future__ import annotations

import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from av.rational import AVRational

from engines.bitstream import is_key
from server.pull.clock import Clock, time_of
from server.pull.pace import FilePace, LivePace
from server.pull.source import Source
from server.pull.video import step_of
from tests.client.clips import FPS, write_clip
from tests.server.pull.reading import lumas, sent_by
from tests.server.pull.servers import web

STEP_S = 1 / FPS
TICKS = 90_000 // FPS


def test_a_clock_begins_at_0_and_keeps_the_distances() -> None:
    clock = Clock()
    assert [clock.place(100 + at, STEP_S) for at in (0.0, 0.04, 0.5)] == pytest.approx([0, 0.04, 0.5])
    assert clock.place_sound(100.3) == pytest.approx(0.3)
    assert Clock().place_sound(100.3) is None


@pytest.mark.parametrize("jump_s", [-50.0, -0.5, 11.0, 1e6])
def test_a_clock_that_is_set_anew_goes_on(jump_s: float) -> None:
    clock = Clock()
    clock.place(7.0, STEP_S)
    assert clock.place(7.0 + jump_s, STEP_S) == pytest.approx(STEP_S)
    assert clock.place(7.5 + jump_s, STEP_S) == pytest.approx(STEP_S + 0.5)


def test_pictures_without_times_or_with_the_same_rise_all_the_same() -> None:
    clock = Clock()
    placed = [clock.place(at, STEP_S) for at in (None, None, 3.0, 3.0, 2.99, None)]
    assert all(a < b for a, b in pairwise(placed))


def test_rationals_that_are_no_fractions_are_times_too() -> None:
    """As PyAV 19 has them; it says 0/1 where 18 says None."""
    packet = SimpleNamespace(pts=45_000, time_base=AVRational(1, 90_000))
    assert time_of(packet) == 0.5
    assert time_of(SimpleNamespace(pts=45_000, time_base=AVRational(0, 1))) is None
    assert step_of(SimpleNamespace(average_rate=AVRational(25, 1))) == pytest.approx(0.04)
    assert step_of(SimpleNamespace(average_rate=AVRational(0, 1))) == pytest.approx(STEP_S)
    assert step_of(SimpleNamespace(average_rate=AVRational(90_000, 1))) == pytest.approx(STEP_S)


def test_a_file_leaves_at_its_own_pace() -> None:
    pace = FilePace()
    assert pace.wait_s(0.0, 50.0) == 0
    assert pace.wait_s(1.0, 50.2) == pytest.approx(0.8)
    assert pace.wait_s(2.0, 53.0) == 0


def test_what_is_live_leaves_at_once_but_never_as_a_flood() -> None:
    pace, now_s = LivePace(), 10.0
    for number in range(300):
        assert pace.wait_s(number * STEP_S, now_s + number * STEP_S * 0.999) == 0  # a camera's clock that is fast
    now_s, sent = now_s + 10, 0
    start_s = now_s
    for number in range(300, 3300):  # 100 s in no time
        now_s += pace.wait_s(number * STEP_S, now_s)
        sent += now_s - start_s < 1
    assert sent == pytest.approx((2 + 2) * FPS, abs=FPS / 2)
    assert now_s - start_s == pytest.approx(100 / 2, abs=2)


def test_a_machine_that_does_not_keep_up_is_noticed_once() -> None:
    pace = LivePace()
    assert not any(pace.is_late(number * STEP_S, 5 + number * STEP_S * 1.2) for number in range(100))
    late = [pace.is_late(number * STEP_S, 5 + number * STEP_S * 1.2) for number in range(100, 200)]
    assert late.count(True) == 1


class Slow:
    """A recoder for which the machine is too slow."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.taken: list[bool] = []

    def take(self, packet: Any) -> Iterator[Any]:
        self.taken.append(packet.is_keyframe)
        time.sleep(0.1)
        return self._inner.take(packet)


def test_a_live_source_that_is_too_much_work_is_thinned_and_stays_live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_clip(tmp_path / "a.ts", "mpeg2video", frames=60)
    with av.open(str(path)) as box:
        data = path.read_bytes()
        duration_s = 60 / FPS
        assert box.streams.video[0].codec_context.name == "mpeg2video"

    def answer(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        begin_s, piece = time.monotonic(), 188 * 7
        for at in range(0, len(data), piece):
            time.sleep(max(0.0, begin_s + duration_s * at / len(data) - time.monotonic()))
            handler.wfile.write(data[at : at + piece])

    slow: list[Slow] = []
    inner = Source._begin
    monkeypatch.setattr(Source, "_begin", lambda self, stream: slow.append(Slow(inner(self, stream))) or slow[-1])
    with web(answer) as server:
        source = Source(f"{server.url}/a.ts", False)
        begin_s = time.monotonic()
        with pytest.raises(Exception, match="ended"):
            source.run(lambda *unit: None, lambda *part: None)
        took_s = time.monotonic() - begin_s
    taken = sum(len(one.taken) for one in slow)
    assert taken < 50
    assert took_s < 0.1 * 60 - 1


@pytest.mark.parametrize("order", ["sound first", "sound last"])
def test_sound_that_lies_elsewhere_in_a_file_delays_no_picture(tmp_path: Path, order: str) -> None:
    path = tmp_path / "far.mkv"
    with av.open(str(write_clip(tmp_path / "near.mp4", sound=True))) as source:
        packets = [packet for packet in source.demux() if packet.dts is not None]
        with av.open(str(path), "w", options={"max_interleave_delta": "1"}) as target:
            streams = {one.index: target.add_stream_from_template(one) for one in source.streams}
            first = "audio" if order == "sound first" else "video"
            for packet in sorted(packets, key=lambda packet: packet.stream.type != first):
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    left: list[tuple[float, int]] = []
    heard: list[tuple[float, int]] = []
    begin_s = time.monotonic()
    Source(str(path), False).run(
        lambda data, at, key, arrival_ns: left.append((time.monotonic() - begin_s, at)),
        lambda payload, at: heard.append((time.monotonic() - begin_s, at)),
    )
    assert [at for _, at in left] == pytest.approx([TICKS * number for number in range(30)], abs=100)
    assert left[-1][0] == pytest.approx(29 / 30, abs=0.6)
    late_s = [now_s - at / 48_000 for now_s, at in heard]
    assert len(heard) >= 45
    assert min(late_s) > -0.3, "sound leaves long before its picture"


def test_b_frames_that_come_later_than_the_probe_are_shown_in_order(tmp_path: Path) -> None:
    plain = write_clip(tmp_path / "plain.ts", frames=90)
    b_frames = write_clip(tmp_path / "b.ts", frames=45, b_frames=2)
    path = tmp_path / "both.ts"
    path.write_bytes(plain.read_bytes() * 6 + b_frames.read_bytes())
    source = Source(str(path), False)
    video: list[tuple[bytes, int, bool]] = []
    switched = []

    def on_video(data: bytes, at: int, key: bool, arrival_ns: int) -> None:
        video.append((data, at, key))
        if not source.passes and not switched:
            switched.append(len(video) - 1)

    source._pace.wait_s = lambda placed_s, now_s: 0.0  # type: ignore[method-assign]
    assert source.passes
    source.run(on_video, lambda payload, at: None)
    assert 540 <= switched[0] < 560
    times = [at for _, at, _ in video]
    assert times == sorted(set(times))
    assert is_key("h264", video[switched[0]][0])
    tail = lumas([data for data, _, _ in video[switched[0] :]])
    assert len(tail) >= 12
    assert np.all(np.array(tail[5:]) > np.array(tail[:-5]))


def test_sound_with_a_hole_stays_in_time(tmp_path: Path) -> None:
    path = tmp_path / "hole.mkv"
    with av.open(str(path), "w") as box:
        video, voice = box.add_stream("mpeg4", rate=FPS), box.add_stream("pcm_s16le", rate=48_000, layout="mono")
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        for number in range(45):
            picture = av.VideoFrame.from_ndarray(np.full((96, 64), 90, np.uint8), "yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, FPS)
            box.mux(video.encode(picture))
            if not 15 <= number < 30:
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 1600), np.int16), "s16", "mono")
                frame.sample_rate, frame.pts, frame.time_base = 48_000, 1600 * number, Fraction(1, 48_000)
                box.mux(voice.encode(frame))
        box.mux(video.encode(None))
    _, sound = sent_by(Source(str(path), False), 20)
    times = [at / 48_000 for _, at in sound]
    assert not [at for at in times if 0.6 < at < 0.9]
    assert times[-1] == pytest.approx(1.5, abs=0.1)


def test_stopping_ends_it_soon(tmp_path: Path) -> None:
    source = Source(str(write_clip(tmp_path / "a.mp4", frames=100)), True)
    begin_s = time.monotonic()
    sent_by(source, 0.3)
    assert time.monotonic() - begin_s < 2
    assert isinstance(source.stopped, Event)
