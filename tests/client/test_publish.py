"""`fancam publish`: what a source becomes, and what the command does when something is missing."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from client.publish import publish
from client.session import Refused
from client.sources import Source, SourceError
from client.watch import Watcher
from engines.bitstream import nal_units
from server.door.broadcast import AccessUnit
from tests.client.clips import FPS, run, start, write_clip
from tests.ports import free_port
from tests.server.door.rtc import until
from tests.server.door.running import Running, running_door, wait_until

TICKS = 90_000 // FPS


@pytest.fixture(scope="module")
def door() -> Iterator[Running]:
    with running_door() as running:
        yield running


Sent = list[tuple[bytes, int, bool]]


def sent_by(source: Source, seconds: float) -> tuple[Sent, list[tuple[bytes, int]]]:
    """What a source gives until its end, or for so long."""
    video: Sent = []
    sound: list[tuple[bytes, int]] = []
    timer = threading.Timer(seconds, source.stopped.set)
    timer.start()
    source.run(lambda *unit: video.append(unit), lambda *part: sound.append(part))
    timer.cancel()
    return video, sound


def lumas(units: list[bytes]) -> list[float]:
    decoder = av.CodecContext.create("h264", "r")
    pictures = [picture for data in units for picture in decoder.decode(av.Packet(data))] + decoder.decode(None)
    return [float(picture.to_ndarray()[: picture.height].mean()) for picture in pictures]


def names(door: Running) -> list[str]:
    return [stream["name"] for stream in door.ask("GET", "/streams").json()["streams"]]


def slices(data: bytes) -> bytes:
    """A unit without parameter sets and start codes' lengths: what must not change on the way."""
    units = data.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")
    return b"|".join(unit for unit in units if unit and unit[0] & 31 in (1, 5))


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


def test_odd_sizes_are_published(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "odd.avi", "ffv1", frames=5, size=(161, 121))
    video, _ = sent_by(Source(str(path), False), 20)
    assert len(lumas([data for data, _, _ in video])) == 5


def test_a_key_frame_that_is_asked_for_comes(tmp_path: Path) -> None:
    source = Source(str(write_clip(tmp_path / "clip.avi", "mpeg4")), False)
    keys: list[int] = []
    count = 0

    def on_video(data: bytes, rtp_time: int, key: bool) -> None:
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
    video, _ = sent_by(source, 1.2)
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


def test_a_missing_file_ends_the_command_with_one_line(door: Running) -> None:
    done = run("publish", "missing.mp4", f"{door.url}/whip/missing")
    assert done.returncode == 1
    assert done.stderr == "fancam publish: missing.mp4: no such file\n"


def test_what_is_no_address_is_a_usage_error() -> None:
    done = run("publish", "a.mp4", "somewhere")
    assert done.returncode == 2
    assert "http://" in done.stderr


def test_the_door_gets_the_very_units_of_the_file(door: Running, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", frames=45)
    sent, _ = sent_by(Source(str(path), False), 0.4)
    units: list[AccessUnit] = []

    async def scenario() -> None:
        publishing = asyncio.ensure_future(publish(str(path), f"{door.url}/whip/file", loop=True))
        await until(lambda: "file" in names(door), "the stream")
        async with Watcher(f"{door.url}/whep/file/raw", on_unit=units.append):
            await until(lambda: len(units) > 50, "units")
        publishing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await publishing

    asyncio.run(scenario())
    assert units[0].key
    first = slices(sent[0][0])
    assert first in [slices(unit.data) for unit in units]
    assert all(abs(b.rtp_time - a.rtp_time - TICKS) <= 2 for a, b in pairwise(units))


def test_a_file_that_ends_ends_its_session(door: Running, tmp_path: Path) -> None:
    said: list[str] = []
    path = str(write_clip(tmp_path / "clip.avi", "mpeg4", frames=15))
    asyncio.run(publish(path, f"{door.url}/whip/short", say=said.append))
    assert said == [f"publishing {path} to {door.url}/whip/short"]
    asyncio.run(publish(path, f"{door.url}/whip/short", say=said.append))
    assert len(said) == 2, "the name is not free: the first session is still there"


def test_a_wrong_token_is_final(tmp_path: Path) -> None:
    path = str(write_clip(tmp_path / "clip.mp4", frames=5))
    with running_door(token=("right-" * 4,)) as door:
        url = f"{door.url}/whip/closed"
        with pytest.raises(Refused) as caught:
            asyncio.run(asyncio.wait_for(publish(path, url, token="wrong"), 20))
        assert caught.value.status == 401
        done = run("publish", path, url)
        assert done.returncode == 1
        assert "401" in done.stderr
        assert len(done.stderr.splitlines()) == 1
        asyncio.run(publish(path, url, token="right-" * 4))


def test_a_server_that_is_away_is_waited_for(tmp_path: Path) -> None:
    said: list[str] = []
    url = f"http://127.0.0.1:{free_port()}/whip/cam"
    path = str(write_clip(tmp_path / "clip.mp4", frames=5))
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(publish(path, url, say=said.append), 2.2))
    assert [line.rsplit("; ", 1)[1] for line in said] == ["again in 0.5 s", "again in 1 s", "again in 2 s"]
    assert all("does not answer" in line for line in said)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_deletes_the_session_and_is_no_failure(door: Running, tmp_path: Path, number: signal.Signals) -> None:
    path = write_clip(tmp_path / "clip.mp4")
    name = f"signal-{number}"
    process = start("publish", str(path), f"{door.url}/whip/{name}", "--loop")
    try:
        wait_until(lambda: name in names(door), "the stream")
        assert process.stdout is not None
        assert process.stdout.readline().startswith("publishing ")
        process.send_signal(number)
        _, err = process.communicate(timeout=15)
    finally:
        end(process)
    assert process.returncode == 0, err
    assert not err
    said: list[str] = []
    asyncio.run(publish(str(path), f"{door.url}/whip/{name}", say=said.append))
    assert len(said) == 1, "the session is still there"


def end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
        process.communicate()
