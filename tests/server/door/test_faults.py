"""The real studio killed and stopped under a viewer: a slate within a second, pictures within three, on the same connection."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable

from server.door.supervisor import STUDIO_COMMAND
from tests.server.door.rtc import Publisher, Viewer, until
from tests.server.door.running import Running

START_S = 60
LOADED = 3  # how much slower a machine may be that does other things as well


def test_frames_come_back_after_the_studio_is_killed_and_after_it_stood_still(
    start_door: Callable[..., Running],
) -> None:
    door = start_door(STUDIO_COMMAND)

    async def run() -> None:
        publisher, viewer = Publisher(door, "/whip/stage"), Viewer(door, "/whep/stage/redacted")
        assert (await publisher.offer()).status == 201
        began_s = time.monotonic()
        assert (await viewer.offer()).status == 201
        await until(lambda: viewer.lumas, "the first picture", 0.5 * LOADED)
        print(f"first picture after {time.monotonic() - began_s:.2f} s")
        await until(lambda: state(door) == "live", "the redacted feed live")
        for how in (signal.SIGKILL, signal.SIGSTOP):
            await until(lambda: door.door.supervisor.spare_ready, "a spare", START_S)
            os.kill(door.ask("GET", "/healthz").json()["studio"]["pid"], how)
            began_s = time.monotonic()
            await until(lambda: state(door) == "slate", f"the slate after {how.name}", 2 * LOADED)
            slate_s, seen = time.monotonic() - began_s, len(viewer.lumas)
            await until(lambda n=seen: len(viewer.lumas) > n, f"the slate's pictures after {how.name}", 1 * LOADED)
            await until(lambda: state(door) == "live", f"the stream after {how.name}", 3 * LOADED)
            seen = len(viewer.lumas)
            await until(lambda n=seen: len(viewer.lumas) > n + 10, f"frames after {how.name}", 3 * LOADED)
            print(f"{how.name}: slate after {slate_s:.2f} s, ten frames after {time.monotonic() - began_s:.2f} s")
        assert viewer.pc.connectionState == "connected"
        assert b"fancam_studio_restarts_total 2.0" in (await viewer.ask("GET", "/metrics")).body
        await viewer.close()
        await publisher.close()

    asyncio.run(run())


def state(door: Running) -> str:
    return door.ask("GET", "/streams").json()["streams"][0]["state"]
