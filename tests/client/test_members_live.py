"""The server with a network that knows somebody by name: she is seen from the policy that allows it to the one that ends it."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from benchmarks.browser import Server, publishing, serving
from client.watch import Watcher
from engines.codecs.decode import VideoDecoder
from engines.frame import Ledger
from server.door.broadcast import AccessUnit
from tests.client.members import HEIGHT, WIDTH, add_band, spread, write_still
from tests.faults.stage import SLATE_STD
from tests.server.door.rtc import until

SEEN, COVERED = 12, 3


def change(server: Server, **policy: Any) -> None:
    address = f"{server.url}/streams/stage/redaction"
    request = urllib.request.Request(
        address, json.dumps(policy).encode(), {"Content-Type": "application/json"}, method="PATCH"
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


@pytest.mark.slow
def test_a_member_is_seen_while_a_policy_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANCAM_MODEL_FOLDER", str(tmp_path / "models"))
    faces = write_still(tmp_path / "still.mp4")
    add_band(faces[-1], tmp_path)
    decoder, shown = VideoDecoder("h264"), []

    def decode(unit: AccessUnit) -> None:
        for frame in decoder.decode(unit.data, unit.rtp_time, unit.arrival_ns, Ledger()):
            if frame.y.shape == (HEIGHT, WIDTH) and frame.y.std() > SLATE_STD:
                shown.append((time.monotonic(), [spread(frame.y, face) for face in faces]))

    async def scenario(server: Server) -> float:
        async with Watcher(f"{server.url}/whep/stage/redacted", on_unit=decode):
            await until(lambda: len(shown) > 20, "pictures", 30)
            assert max(max(faces) for _, faces in shown) < SEEN
            await asyncio.to_thread(change, server, cover={"except": ["ada"]})
            await until(lambda: all(faces[-1] > SEEN for _, faces in shown[-10:]), "ada", 30)
            await asyncio.to_thread(change, server, cover="everyone")
            ended_s, count = time.monotonic(), len(shown)
            await until(lambda: len(shown) > count + 20, "more pictures", 30)
            return ended_s

    with serving("--model", "band") as server, publishing(tmp_path / "still.mp4", f"{server.url}/whip/stage"):
        while not server.get("/streams")["streams"]:
            time.sleep(0.05)
        assert server.get("/streams")["members"] == ["ada", "bea"]
        ended_s = asyncio.run(scenario(server))
    assert max(max(faces[:-1]) for _, faces in shown) < SEEN, "the others are covered throughout"
    after = [faces[-1] for at_s, faces in shown if at_s > ended_s]
    assert max(after[1:]) < COVERED, "but for a frame that was on its way"
