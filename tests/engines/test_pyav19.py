"""Files read as PyAV 19 gives them, on whatever PyAV there is."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import pytest
from av.rational import AVRational

from engines.codecs import files, mux
from engines.codecs.files import VideoFile
from tests.engines.videos import write_video
from tests.pyav19 import Container


@pytest.fixture
def as_19(monkeypatch: pytest.MonkeyPatch) -> list[Container]:
    """Every file that VideoFile opens from now on, as 19 gives it."""
    opened: list[Container] = []
    real_open = av.open

    def open_as_19(*args: Any, **options: Any) -> Container:
        opened.append(Container(real_open(*args, **options)))
        return opened[-1]

    monkeypatch.setattr(files, "av", SimpleNamespace(**{**vars(av), "open": open_as_19}))
    return opened


@pytest.mark.parametrize("sar", [None, Fraction(4, 3)])
def test_a_file_is_the_same_with_rationals_that_are_no_fractions(
    tmp_path: Path, as_19: list[Container], sar: Fraction | None
) -> None:
    path = write_video(tmp_path / "clip.mp4", frames=12, sar=sar)
    with VideoFile(path) as video:
        times = [frame.rtp_time for frame in video]
        told = (video.fps, video.duration_s, video.frames_expected, video.sample_aspect_ratio)
        fps = video.fps
    assert len(as_19) == 1
    assert times == [3000 * number for number in range(12)]
    assert told == (30, pytest.approx(0.4), 12, sar or 1)
    assert isinstance(fps, Fraction)
    assert isinstance(video.sample_aspect_ratio, Fraction)


def test_what_is_known_of_a_file_is_known_after_it_was_closed_and_closing_again_is_nothing(
    tmp_path: Path, as_19: list[Container]
) -> None:
    with VideoFile(write_video(tmp_path / "clip.mp4", frames=6)) as video:
        assert len(list(video)) == 6
    assert not as_19[0].is_open
    video._container.close()
    assert (video.fps, video.frames_expected, video.width, video.height) == (30, 6, 160, 120)
    assert (video.sample_aspect_ratio, video.start_s, video.broken) == (1, 0, 0)
    assert video.duration_s == pytest.approx(0.2)


def test_sound_is_copied_in_step_and_packets_without_a_time_base_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """19 says 0/1 where 18 says None."""

    def packet(pts: int | None, time_base: Any) -> SimpleNamespace:
        return SimpleNamespace(pts=pts, dts=pts, time_base=time_base, stream=None)

    rate = AVRational(1, 48_000)
    packets = [packet(24_000, rate), packet(48_000, AVRational(0, 1)), packet(None, rate), packet(96_000, rate)]
    stream = SimpleNamespace(codec_context=SimpleNamespace(name="aac"))
    container = SimpleNamespace(
        streams=SimpleNamespace(audio=[stream]), demux=lambda wanted: iter(packets), close=lambda: None
    )
    monkeypatch.setattr(mux, "av", SimpleNamespace(**{**vars(av), "open": lambda *args, **options: container}))
    sound = mux.Audio(Path("clip.mp4"), start_s=0.5)
    target: Any = object()
    copied = list(sound.packets(target))
    assert [time_s for time_s, _ in copied] == [0.0, 1.5]
    assert [part.pts for _, part in copied] == [0, 72_000]
    assert all(part.stream is target for _, part in copied)
