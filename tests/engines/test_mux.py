"""Writing MP4: plays while it loads, keeps times and sound exactly, tells nothing of its source, is whole or is not there."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from engines.codecs.mux import Audio, Mp4Writer
from engines.frame import Picture
from tests.engines.videos import boxes_of, write_video

WIDTH, HEIGHT = 160, 120
PLACE = "+48.2082+016.3738/"


def write(path: Path, times: list[int], audio: Audio | None = None, sar: Fraction = Fraction(1)) -> None:
    with Mp4Writer(
        path, WIDTH, HEIGHT, fps=Fraction(30), preset="veryfast", crf=23, sample_aspect_ratio=sar, audio=audio
    ) as out:
        for time in times:
            picture = Picture(WIDTH, HEIGHT)
            picture.fill(90)
            out.write(picture, time)


def packets(path: Path, kind: str) -> list[av.Packet]:
    with av.open(str(path)) as box:
        return [packet for packet in box.demux(next(s for s in box.streams if s.type == kind)) if packet.size]


def test_it_is_h264_that_plays_while_it_loads(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write(path, [n * 3000 for n in range(30)], sar=Fraction(4, 3))
    kinds = boxes_of(path)
    assert kinds.index("moov") < kinds.index("mdat")
    with av.open(str(path)) as box:
        (stream,) = box.streams
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", WIDTH, HEIGHT)
        assert stream.pix_fmt == "yuv420p"
        assert stream.sample_aspect_ratio == Fraction(4, 3)


def test_every_picture_keeps_its_exact_time(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    times = [0, 1, 3003, 3004, 9000, 90_000, 90_090, 270_007]
    write(path, times)
    with av.open(str(path)) as box:
        seen = [round(frame.pts * frame.time_base * 90_000) for frame in box.decode(video=0)]
    assert seen == times


def test_aac_is_copied_byte_for_byte_in_step_with_the_picture(tmp_path: Path) -> None:
    source = write_video(tmp_path / "source.mp4", 30, sound="aac")
    audio = Audio(source, 0.0)
    assert audio.copied
    write(tmp_path / "out.mp4", [n * 3000 for n in range(30)], audio)
    audio.close()
    was = [(float(p.pts * p.time_base), bytes(p)) for p in packets(source, "audio") if p.pts >= 0]
    now = [(float(p.pts * p.time_base), bytes(p)) for p in packets(tmp_path / "out.mp4", "audio")]
    assert len(was) > 30
    assert [data for _, data in now] == [data for _, data in was]
    assert np.abs(np.array([t for t, _ in now]) - [t for t, _ in was]).max() < 0.001


def test_sound_before_the_first_picture_is_left_out(tmp_path: Path) -> None:
    source = write_video(tmp_path / "source.mp4", 30, sound="aac")
    audio = Audio(source, 0.5)
    write(tmp_path / "out.mp4", [n * 3000 for n in range(15)], audio)
    audio.close()
    now = packets(tmp_path / "out.mp4", "audio")
    first, last = now[0], now[-1]
    assert 0 <= float(first.pts * first.time_base) < 0.03
    assert float(last.pts * last.time_base) < 0.55


def test_pcm_becomes_aac_that_sounds_the_same(tmp_path: Path) -> None:
    source = write_video(tmp_path / "source.avi", 30, codec="mpeg4", sound="pcm_s16le")
    audio = Audio(source, 0.0)
    assert not audio.copied
    write(tmp_path / "out.mp4", [n * 3000 for n in range(30)], audio)
    audio.close()
    with av.open(str(tmp_path / "out.mp4")) as box:
        assert box.streams.audio[0].codec_context.name == "aac"
        sound = np.concatenate([frame.to_ndarray()[0] for frame in box.decode(audio=0)])
    assert len(sound) == pytest.approx(48_000, abs=4096)
    spectrum = np.abs(np.fft.rfft(sound[8000:40_000]))
    assert np.argmax(spectrum) * 48_000 / 32_000 == pytest.approx(440, abs=2)


def test_a_source_without_sound_gives_none(tmp_path: Path) -> None:
    audio = Audio(write_video(tmp_path / "source.mp4", 5), 0.0)
    assert audio.stream is None
    write(tmp_path / "out.mp4", [0, 3000], audio)
    audio.close()
    with av.open(str(tmp_path / "out.mp4")) as box:
        assert not box.streams.audio


def test_an_exception_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    old = tmp_path / "a.mp4"
    old.write_bytes(b"the one before")

    def interrupted() -> None:
        with Mp4Writer(old, WIDTH, HEIGHT, fps=Fraction(30), preset="veryfast", crf=23) as out:
            out.write(Picture(WIDTH, HEIGHT), 0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    assert old.read_bytes() == b"the one before"
    assert list(tmp_path.iterdir()) == [old]


def test_nothing_is_seen_under_its_name_before_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with Mp4Writer(path, WIDTH, HEIGHT, fps=Fraction(30), preset="veryfast", crf=23) as out:
        for n in range(20):
            out.write(Picture(WIDTH, HEIGHT), n * 3000)
        assert not path.exists()
    assert path.exists()


def test_nothing_of_the_sources_metadata_comes_along(tmp_path: Path) -> None:
    told = {"title": "Anna's birthday", "location": PLACE, "creation_time": "2024-05-06T07:08:09Z", "artist": "Anna"}
    source = write_video(tmp_path / "source.mov", 30, sound="aac", metadata=told)
    with av.open(str(source)) as box:
        assert "Anna's birthday" in box.metadata.values()
    audio = Audio(source, 0.0)
    write(tmp_path / "out.mp4", [n * 3000 for n in range(30)], audio)
    audio.close()
    with av.open(str(tmp_path / "out.mp4")) as box:
        said = dict(box.metadata) | {k: v for stream in box.streams for k, v in stream.metadata.items()}
    data = (tmp_path / "out.mp4").read_bytes()
    assert not {"title", "location", "creation_time", "artist"} & set(said)
    assert not any(word.encode() in data for word in ("Anna", PLACE, "2024"))
