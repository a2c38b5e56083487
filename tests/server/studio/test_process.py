"""The studio as a process: it starts, reports, and ends when it is told or left alone; nothing of it stays behind."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time

import pytest

from server.link import Flag, Kind, Slate


@pytest.fixture
def process(door_to):
    ours, theirs = socket.socketpair()
    child = subprocess.Popen(
        [sys.executable, "-m", "server.studio", "--fd", str(theirs.fileno())], pass_fds=[theirs.fileno()]
    )
    theirs.close()
    door = door_to(ours)
    yield child, door
    child.kill()
    child.wait()
    ours.close()


def test_it_shows_slates_then_is_ready_and_covers_the_faces_it_finds(process, bench):
    child, door = process
    door.hello(threads=1)
    slates = door.wait(Kind.SLATE, count=4, timeout_s=30)
    codecs = (Flag.KEY | Flag.H264, Flag.KEY | Flag.VP8)
    assert {(m.ident, m.flags) for m in slates} == {(slate, flags) for slate in Slate for flags in codecs}
    for slate in slates:
        (frame,) = bench.decoded([slate], "vp8" if slate.flags & Flag.VP8 else "h264")
        assert (frame.width, frame.height) == (640, 360)
    ready = door.wait(Kind.READY, timeout_s=60)[0].json()
    assert ready["pid"] == child.pid
    assert ready["runtime"]
    door.open_stream(1)
    door.open_feed(10)
    publisher = bench.publish(door)
    door.wait(Kind.ENCODED, 10, count=60, where=lambda m: not m.flags & Flag.IS_SLATE, timeout_s=30)
    units = door.seen(Kind.ENCODED, 10)
    shown = [f for f, m in zip(bench.decoded(units), units, strict=True) if not m.flags & Flag.IS_SLATE]
    assert max(bench.likeness(bench.clip, frame) for frame in shown) < 0.4
    publisher.stop()
    door.send(Kind.STOP)
    started = time.monotonic()
    assert child.wait(6) == 0
    assert time.monotonic() - started < 2 * 3


@pytest.mark.parametrize("end", ["stop", "term", "eof"])
def test_it_ends_at_once_even_while_it_warms_up(process, end):
    child, door = process
    door.hello()
    door.wait(Kind.SLATE, timeout_s=30)
    if end == "stop":
        door.send(Kind.STOP)
    elif end == "term":
        child.send_signal(signal.SIGTERM)
    else:
        door.link.shutdown(socket.SHUT_WR)
    assert child.wait(6) == 0


def test_a_process_that_was_stopped_for_a_while_does_not_blame_its_detector(process, bench):
    child, door = process
    door.hello()
    door.wait(Kind.READY, timeout_s=60)
    door.open_stream(1)
    door.open_feed(10)
    bench.publish(door)
    door.wait(Kind.ENCODED, 10, count=10, where=lambda m: not m.flags & Flag.IS_SLATE, timeout_s=30)
    child.send_signal(signal.SIGSTOP)
    time.sleep(1.5)
    child.send_signal(signal.SIGCONT)
    mark = door.mark()
    door.wait(Kind.ENCODED, 10, start=mark, count=15, where=lambda m: not m.flags & Flag.IS_SLATE)
    stats = door.wait(Kind.STATS, start=mark)
    assert not any(m.json()["detector"]["counts"].get("hung") for m in stats)


def test_ctrl_c_is_left_to_the_door(process):
    child, door = process
    door.hello()
    door.wait(Kind.SLATE, timeout_s=30)
    child.send_signal(signal.SIGINT)
    door.mark()
    assert child.poll() is None


def test_a_door_that_does_not_read_is_given_up(bench):
    """Frames must not wait for ever on a link that is full: the studio says so and ends."""
    door = bench.start(reads=False)
    door.open_stream(1)
    door.open_feed(10, "raw")
    bench.publish(door)
    until = time.monotonic() + 20
    while not bench.fatal and time.monotonic() < until:
        time.sleep(0.05)
    assert "does not read" in bench.fatal[0]
