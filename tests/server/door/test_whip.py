"""WHIP as RFC 9725 has it: an aiortc publisher and plain requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.server.door.rtc import Publisher, until
from tests.server.door.running import Running

SDP = {"Content_Type": "application/sdp"}
FRAGMENT = {"Content_Type": "application/trickle-ice-sdpfrag"}


@pytest.mark.parametrize(
    ("path", "codec"), [("/whip/stage-a", "H264"), ("/stage-b/whip", "H264"), ("/whip/stage-c", "VP8")]
)
def test_a_session_from_its_offer_to_its_end(door: Running, path: str, codec: str) -> None:
    name = path.strip("/").replace("whip", "").strip("/")

    async def run() -> None:
        publisher = Publisher(door, path, codec)
        answer = await publisher.offer()
        assert answer.status == 201, answer.body
        assert answer.headers["Content-Type"] == "application/sdp"
        assert publisher.session.startswith(f"/whip/{name}/")
        assert len(publisher.session) >= len(f"/whip/{name}/") + 22  # 128 random bits
        assert answer.headers["ETag"].startswith('"')
        await until(lambda: (stream_of(door, name) or {}).get("state") == "live", "the stream")
        assert stream_of(door, name)["codec"] == codec.lower()
        await until(lambda: stream_of(door, name)["width"] == 320, "a picture's size")

        etag = answer.headers["ETag"]
        patch = "a=ice-ufrag:{0}\r\na=ice-pwd:{1}\r\nm=video 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=candidate:{2}\r\n"
        candidate = "1 1 UDP 2122252543 127.0.0.1 40404 typ host"
        lines = publisher.pc.localDescription.sdp.splitlines()
        ufrag, pwd = (next(x.split(":", 1)[1] for x in lines if x.startswith(f"a=ice-{k}:")) for k in ("ufrag", "pwd"))
        fragment = patch.format(ufrag, pwd, candidate)
        ask = publisher.ask
        assert (await ask("PATCH", publisher.session, fragment, If_Match=etag, **FRAGMENT)).status == 204
        assert (await ask("PATCH", publisher.session, fragment, **FRAGMENT)).status == 428
        assert (await ask("PATCH", publisher.session, fragment, If_Match='"other"', **FRAGMENT)).status == 412
        assert (await ask("PATCH", publisher.session, fragment, If_Match=etag, **SDP)).status == 415
        restart = patch.format("abcd", "a" * 22, candidate)
        assert (await ask("PATCH", publisher.session, restart, If_Match="*", **FRAGMENT)).status == 422
        assert (await ask("PATCH", publisher.session, "x" * 9000, If_Match=etag, **FRAGMENT)).status == 413
        await until(lambda: stream_of(door, name)["state"] == "live", "the stream as it was")

        assert (await ask("DELETE", "/whip/other/" + publisher.session.rsplit("/", 1)[1])).status == 404
        assert (await ask("DELETE", publisher.session)).status == 200
        assert (await ask("DELETE", publisher.session)).status == 404
        await until(lambda: stream_of(door, name) is None, "the stream's end")
        await publisher.close()

    asyncio.run(run())


def stream_of(door: Running, name: str) -> dict | None:
    return next((s for s in door.ask("GET", "/streams").json()["streams"] if s["name"] == name), None)


def test_a_name_that_is_taken_is_409(door: Running) -> None:
    async def run() -> None:
        first, second = Publisher(door, "/whip/taken"), Publisher(door, "/taken/whip")
        assert (await first.offer()).status == 201
        refused = await second.offer()
        assert refused.status == 409
        assert int(refused.headers["Retry-After"]) > 0
        await first.ask("DELETE", first.session)
        await second.close()
        third = Publisher(door, "/whip/taken")
        assert (await third.offer()).status == 201
        await third.ask("DELETE", third.session)
        await first.close()
        await third.close()

    asyncio.run(run())


def test_a_publisher_silent_for_5_s_is_taken_over_from(door: Running) -> None:
    async def run() -> None:
        first, second = Publisher(door, "/whip/over"), Publisher(door, "/whip/over")
        assert (await first.offer()).status == 201
        await until(lambda: (stream_of(door, "over") or {}).get("width"), "a picture's size")
        first.camera.running.clear()
        await until(lambda: stream_of(door, "over")["state"] == "stalled", "the stall")
        await asyncio.sleep(3.2)
        assert (await second.offer()).status == 201
        await until(lambda: stream_of(door, "over")["state"] == "live", "the second publisher's video")
        assert (await first.ask("DELETE", first.session)).status == 404
        await second.ask("DELETE", second.session)
        await first.close()
        await second.close()

    asyncio.run(run())


def test_past_max_streams_is_503(start_door: Callable[..., Running]) -> None:
    door = start_door(max_streams=1)

    async def run() -> None:
        first, second = Publisher(door, "/whip/one"), Publisher(door, "/whip/two")
        assert (await first.offer()).status == 201
        refused = await second.offer()
        assert refused.status == 503
        assert refused.headers["Retry-After"]
        await first.close()
        await second.close()

    asyncio.run(run())


def test_other_methods_are_405(door: Running) -> None:
    for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH"):
        assert door.ask(method, "/whip/stage").status == 405, method
    for method in ("GET", "HEAD", "PUT", "POST"):
        assert door.ask(method, "/whip/stage/session").status == 405, method


@pytest.mark.parametrize("offer", ["", "nonsense", "v=0\r\n"])
def test_an_offer_that_is_none_is_400(door: Running, offer: str) -> None:
    assert door.ask("POST", "/whip/broken", offer, **SDP).status == 400


def test_an_offer_without_a_codec_of_ours_is_422(door: Running) -> None:
    async def run() -> None:
        publisher = Publisher(door, "/whip/foreign", "VP8")
        await publisher.pc.setLocalDescription(await publisher.pc.createOffer())
        sdp = publisher.pc.localDescription.sdp.replace("VP8/90000", "AV1/90000")
        assert (await publisher.ask("POST", publisher.path, sdp, **SDP)).status == 422
        await publisher.close()

    asyncio.run(run())
