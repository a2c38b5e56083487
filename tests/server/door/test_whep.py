"""WHEP: an aiortc viewer, what it is shown, and what happens when parts of the server fall away."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

import pytest
from aiortc import AudioStreamTrack

from tests.server.door.rtc import Publisher, Viewer, until
from tests.server.door.running import Running

SDP = {"Content_Type": "application/sdp"}
PICTURE_LUMA = 200  # the fake studio's pictures are brighter than this, its slates much darker
SLATE_LUMA = 40


def is_picture(luma: float) -> bool:
    return luma > PICTURE_LUMA


def is_slate(luma: float) -> bool:
    return luma < SLATE_LUMA


@pytest.mark.parametrize(("path", "codecs"), [("/whep/{}/redacted", ("H264", "VP8")), ("/{}/whep", ("VP8",))])
def test_a_viewer_of_the_redacted_feed(door: Running, path: str, codecs: tuple[str, ...]) -> None:
    name = f"redacted-{len(codecs)}"

    async def run() -> None:
        publisher = Publisher(door, f"/whip/{name}")
        assert (await publisher.offer()).status == 201
        viewer = Viewer(door, path.format(name), *codecs)
        answer = await viewer.offer()
        assert answer.status == 201, answer.body
        assert viewer.session.startswith("/whep/session/")
        assert f"{codecs[0]}/90000" in answer.body.decode()
        await until(lambda: any(map(is_picture, viewer.lumas)), "a picture of the studio's")
        feeds = {feed["name"]: feed for feed in door.ask("GET", "/streams").json()["streams"][0]["feeds"]}
        assert feeds["redacted"]["viewers"] == 1
        assert feeds["raw"]["viewers"] == 0
        assert "fancam/7" in feeds

        await until(lambda: len(viewer.texts) > 5, "metadata")
        origin, *frames = viewer.texts
        assert origin["type"] == "origin"
        assert all(set(frame) == {"t", "w", "h", "b", "l"} for frame in frames)
        assert frames[-1]["b"] == [[7, 10, 20, 30, 50, 92, 1]]
        assert (await viewer.ask("GET", f"/streams/{name}/latency")).json()["p50_ms"]["detected"] == 5.0

        assert (await viewer.ask("DELETE", viewer.session)).status == 200
        assert (await viewer.ask("DELETE", viewer.session)).status == 404
        await publisher.ask("DELETE", publisher.session)
        await viewer.close()
        await publisher.close()

    asyncio.run(run())


def test_raw_is_what_the_publisher_sends(door: Running) -> None:
    async def run() -> None:
        publisher = Publisher(door, "/whip/raw")
        assert (await publisher.offer()).status == 201
        viewer = Viewer(door, "/whep/raw/raw")
        assert (await viewer.offer()).status == 201
        await until(lambda: len(viewer.lumas) > 20, "twenty pictures")
        steps = [b - a for a, b in zip(viewer.lumas, viewer.lumas[1:], strict=False)]
        assert sum(0.5 < step < 3.5 for step in steps) > 0.8 * len(steps)  # the camera's, brighter each time
        assert b'fancam_feeds{codec="h264",feed="raw"} 1.0' in (await viewer.ask("GET", "/metrics")).body

        panic = await viewer.ask("PATCH", "/streams/raw/redaction", '{"panic": true}', Content_Type="application/json")
        assert panic.json()["panic"] is True
        await until(lambda: is_slate(viewer.lumas[-1]), "the slate in panic", 2)
        await asyncio.sleep(0.5)
        assert is_slate(viewer.lumas[-1])
        await viewer.ask("PATCH", "/streams/raw/redaction", '{"panic": false}', Content_Type="application/json")
        await until(lambda: not is_slate(viewer.lumas[-1]), "the video again")
        await publisher.ask("DELETE", publisher.session)
        await viewer.ask("DELETE", viewer.session)
        await viewer.close()
        await publisher.close()

    asyncio.run(run())


def test_sound_goes_with_every_feed_but_the_redacted_one(door: Running) -> None:
    async def run() -> None:
        publisher = Publisher(door, "/whip/loud")
        publisher.pc.addTrack(AudioStreamTrack())
        assert (await publisher.offer()).status == 201
        listener, redacted = Viewer(door, "/whep/loud/overlay"), Viewer(door, "/whep/loud/redacted")
        for viewer in (listener, redacted):
            viewer.pc.addTransceiver("audio", "recvonly")
            assert (await viewer.offer()).status == 201
        await until(lambda: listener.sounds > 10, "sound")
        await until(lambda: len(redacted.lumas) > 10, "the redacted feed")
        assert redacted.sounds == 0
        await publisher.ask("DELETE", publisher.session)
        for peer in (listener, redacted, publisher):
            await peer.close()

    asyncio.run(run())


def test_a_killed_studio_is_a_slate_and_then_pictures_on_the_same_connection(
    start_door: Callable[..., Running],
) -> None:
    door = start_door()

    async def run() -> None:
        publisher, viewer = Publisher(door, "/whip/stage"), Viewer(door, "/whep/stage/redacted")
        assert (await publisher.offer()).status == 201
        assert (await viewer.offer()).status == 201
        await until(lambda: any(map(is_picture, viewer.lumas)), "a picture")
        await until(lambda: door.door.supervisor.spare_ready, "a spare", 60)
        seen = len(viewer.lumas)
        os.kill(door.ask("GET", "/healthz").json()["studio"]["pid"], signal.SIGKILL)
        await until(lambda: any(map(is_slate, viewer.lumas[seen:])), "a slate", 3)
        await until(lambda: is_picture(viewer.lumas[-1]), "pictures again", 3)
        assert viewer.pc.connectionState == "connected"
        await viewer.close()
        await publisher.close()

    asyncio.run(run())


def test_a_viewer_sees_the_slate_while_the_publisher_is_away(start_door: Callable[..., Running]) -> None:
    door = start_door()

    async def run() -> None:
        publisher, viewer = Publisher(door, "/whip/stage"), Viewer(door, "/whep/stage/redacted")
        assert (await publisher.offer()).status == 201
        assert (await viewer.offer()).status == 201
        await until(lambda: any(map(is_picture, viewer.lumas)), "a picture")
        await publisher.ask("DELETE", publisher.session)
        await until(lambda: is_slate(viewer.lumas[-1]), "the slate")
        again = Publisher(door, "/whip/stage", "VP8")
        assert (await again.offer()).status == 201
        await until(lambda: is_picture(viewer.lumas[-1]), "pictures of the publisher that is back")
        await viewer.close()
        await publisher.close()
        await again.close()

    asyncio.run(run())


def test_who_cannot_be_served_is_told_when_to_come_back(start_door: Callable[..., Running]) -> None:
    door = start_door(max_feeds=1, max_viewers=2)
    assert door.ask("POST", "/whep/nobody/redacted", "v=0", **SDP).status == 409
    assert door.ask("POST", "/nobody/whep", "v=0", **SDP).headers["Retry-After"]

    async def run() -> None:
        publisher = Publisher(door, "/whip/stage")
        assert (await publisher.offer()).status == 201
        viewers = [Viewer(door, "/whep/stage/redacted") for _ in range(3)]
        assert (await viewers[0].offer()).status == 201
        other_codec = Viewer(door, "/whep/stage/redacted", "VP8")
        refused = await other_codec.offer()
        assert (refused.status, bool(refused.headers["Retry-After"])) == (503, True)
        assert b"max-feeds" in refused.body
        assert (await viewers[1].offer()).status == 201
        refused = await viewers[2].offer()
        assert (refused.status, bool(refused.headers["Retry-After"])) == (503, True)
        await asyncio.sleep(0.5)  # the offers a second are limited too
        missing = Viewer(door, "/whep/stage/fancam/99")
        assert (await missing.offer()).status == 404
        for peer in (*viewers, other_codec, missing, publisher):
            await peer.close()

    asyncio.run(run())


def test_before_the_studio_is_warm_viewers_are_asked_to_come_back(start_door: Callable[..., Running]) -> None:
    from tests.server.door.running import FAKE_STUDIO

    door = start_door((*FAKE_STUDIO, "--crash"), warm=False)

    async def run() -> None:
        publisher, viewer = Publisher(door, "/whip/stage"), Viewer(door, "/whep/stage/redacted")
        assert (await publisher.offer()).status == 201
        refused = await viewer.offer()
        assert (refused.status, refused.headers["Retry-After"]) == (503, "2")
        await viewer.close()
        await publisher.close()

    asyncio.run(run())


def test_other_methods_are_405(door: Running) -> None:
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        assert door.ask(method, "/whep/stage/redacted").status == 405, method
    for method in ("GET", "HEAD", "PUT"):
        assert door.ask(method, "/whep/session/none").status == 405, method
