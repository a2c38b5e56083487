"""`fancam watch`: what comes of a feed, as a file and as counts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import av
import pytest

from client.publish import publish
from client.record import Recording
from client.session import Refused, Unreachable
from client.watch import Watcher
from engines.codecs.encode import Encoder
from server.door.broadcast import AccessUnit
from server.pull.source import Source
from tests.client.clips import SIZE, run, start, write_clip
from tests.ports import free_port
from tests.server.door.rtc import until
from tests.server.door.running import Running, running_door, wait_until


@pytest.fixture(scope="module")
def door() -> Iterator[Running]:
    with running_door() as running:
        yield running


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4")


@asynccontextmanager
async def published(door: Running, clip: Path, name: str) -> AsyncIterator[None]:
    """While inside, `clip` is published in a loop."""

    def live() -> bool:
        return name in [stream["name"] for stream in door.ask("GET", "/streams").json()["streams"]]

    def wait() -> None:
        wait_until(live, "the stream")

    task = asyncio.ensure_future(publish(str(clip), f"{door.url}/whip/{name}", loop=True))
    try:
        await asyncio.to_thread(wait)
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def frames_of(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as box:
        return list(box.decode(video=0))


def test_what_is_watched_is_a_playable_mp4_and_is_counted(door: Running, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"

    async def scenario() -> Any:
        async with published(door, clip, "seen"):
            address = f"{door.url}/whep/seen/redacted"
            return await asyncio.to_thread(run, "watch", address, "--seconds", "6", "--out", str(out), "--json")

    done = asyncio.run(scenario())
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert counts["codec"] == "h264"
    assert counts["frames"] > 60
    assert counts["key_frames"] == counts["frames"]  # the fake studio's are
    assert 10 < counts["fps"] < 40
    assert counts["lost_frames"] == 0
    assert list(tmp_path.iterdir()) == [out]
    pictures = frames_of(out)
    assert len(pictures) == counts["frames"]
    assert (pictures[0].width, pictures[0].height) == SIZE
    assert pictures[0].to_ndarray()[: SIZE[1]].mean() > 200  # white, as the fake studio draws
    times = [float(picture.time or 0) for picture in pictures]
    assert times == sorted(set(times))
    assert times[-1] == pytest.approx((len(pictures) - 1) / 30, rel=0.3)


def test_metadata_comes_while_inside_and_the_session_ends_with_it(door: Running, clip: Path) -> None:
    units: list[AccessUnit] = []
    texts: list[dict[str, Any]] = []

    def viewers() -> int:
        feeds = next(s for s in door.ask("GET", "/streams").json()["streams"] if s["name"] == "told")["feeds"]
        return next(int(feed["viewers"]) for feed in feeds if feed["name"] == "redacted")

    async def scenario() -> None:
        async with published(door, clip, "told"):
            address = f"{door.url}/whep/told/redacted"
            async with Watcher(address, on_unit=units.append, on_metadata=texts.append) as watcher:
                await until(lambda: len(units) > 5 and len(texts) > 5, "units and metadata")
                assert watcher.codec == "h264"
                assert not watcher.over
                assert await asyncio.to_thread(viewers) == 1
            assert watcher.over
            assert await asyncio.to_thread(viewers) == 0

    asyncio.run(scenario())
    assert units[0].key
    assert texts[0]["type"] == "origin"
    assert texts[1]["b"] == [[7, 10, 20, 30, 50, 92, 1]]


@pytest.mark.parametrize("feed", ["raw", "redacted"])
def test_panic_covers_a_recording_within_one_frame(door: Running, clip: Path, tmp_path: Path, feed: str) -> None:
    recording, name = Recording(tmp_path / "out.mp4"), f"alarm-{feed}"

    def declare() -> None:
        body, json_type = json.dumps({"panic": True}), {"Content_Type": "application/json"}
        assert door.ask("PATCH", f"/streams/{name}/redaction", body, **json_type).status == 200

    async def scenario() -> tuple[int, int]:
        async with published(door, clip, name):
            async with Watcher(f"{door.url}/whep/{name}/{feed}", on_unit=lambda unit: recording.add(unit, "h264")):
                await until(lambda: recording.counts()["frames"] > 20, "pictures")
                await asyncio.to_thread(declare)
                before = int(recording.counts()["frames"])
                await until(lambda: recording.counts()["frames"] > before + 5, "slates")
                return before, int(recording.counts()["frames"])

    before, every = asyncio.run(scenario())
    recording.close()
    dark = [picture.to_ndarray()[: picture.height].mean() < 30 for picture in frames_of(tmp_path / "out.mp4")]
    assert len(dark) == every
    assert not any(dark[:15])
    assert all(dark[before + 1 :]), "but for a frame that was on its way"


def test_a_signal_ends_it_and_the_file_is_whole(door: Running, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"

    async def scenario() -> tuple[str, str, int]:
        async with published(door, clip, "cut"):
            process = start("watch", f"{door.url}/whep/cut/redacted", "--out", str(out))
            try:
                await until(lambda: (tmp_path / ".out.mp4.part").exists(), "the first frame", 45)
                process.send_signal(signal.SIGINT)
                told, err = await asyncio.to_thread(process.communicate, timeout=20)
            finally:
                process.kill()
            return told, err, process.returncode

    told, err, code = asyncio.run(scenario())
    assert (code, err) == (0, "")
    assert "frames" in told
    assert frames_of(out)


def test_a_feed_that_is_not_there_is_one_line(door: Running) -> None:
    done = run("watch", f"{door.url}/whep/nobody/nothing", "--seconds", "1")
    assert done.returncode == 1
    assert done.stderr.startswith("fancam watch: 4")
    assert len(done.stderr.splitlines()) == 1
    with pytest.raises(Unreachable, match="does not answer"):
        asyncio.run(enter(f"http://127.0.0.1:{free_port()}/whep/a/redacted"))
    with pytest.raises(Refused):
        asyncio.run(enter(f"{door.url}/streams"))


async def enter(url: str) -> None:
    async with Watcher(url):
        raise AssertionError("connected")


def test_a_file_that_cannot_be_written_is_one_line(door: Running, clip: Path, tmp_path: Path) -> None:
    async def scenario() -> Any:
        async with published(door, clip, "unwritten"):
            address = f"{door.url}/whep/unwritten/redacted"
            out = str(tmp_path / "missing" / "out.mp4")
            return await asyncio.to_thread(run, "watch", address, "--seconds", "2", "--out", out)

    done = asyncio.run(scenario())
    assert done.returncode == 1
    assert "missing" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("codec", "name"), [("h264", "out.mp4"), ("h264", "out.mkv"), ("vp8", "out.webm")])
def test_a_recording_begins_at_a_key_frame_and_appears_when_it_is_closed(codec: str, name: str, tmp_path: Path) -> None:
    encoder, out = Encoder(codec, *SIZE), tmp_path / name  # type: ignore[arg-type]
    recording = Recording(out)
    before = b"\0\0\0\1\x41\x9a" if codec == "h264" else b"\x01\x00"
    recording.add(AccessUnit(before, 1_000_000, False, 0, 0), codec)
    for number in range(10):
        for part in encoder.encode(av.VideoFrame(*SIZE, "yuv420p"), 6000 * number, number == 0):
            recording.add(AccessUnit(part.data, 1_003_000 + part.pts_90k, part.key, 0, 0), codec)
    assert not out.exists()
    recording.close()
    pictures = frames_of(out)
    assert len(pictures) == 10
    assert [float(picture.time or 0) for picture in pictures] == pytest.approx(
        [number / 15 for number in range(10)], abs=1e-3
    )
    counts = recording.counts()
    assert (counts["frames"], counts["key_frames"]) == (11, 1)


def test_vp8_that_mp4_cannot_hold_is_told_with_the_way_out(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "out.mp4")
    (key,) = Encoder("vp8", *SIZE).encode(av.VideoFrame(*SIZE, "yuv420p"), 0, True)
    recording.add(AccessUnit(key.data, 0, True, 0, 0), "vp8")
    assert recording.failure is not None
    with pytest.raises(OSError, match=r"out\.mp4 cannot be written: .*\.webm"):
        recording.close()
    assert not list(tmp_path.iterdir())


def test_the_clip_is_one_that_passes_undecoded(clip: Path) -> None:
    assert Source(str(clip), True).passes
