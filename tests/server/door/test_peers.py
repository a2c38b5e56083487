"""Offers that are answered or refused, and what is left once a connection is closed."""

from __future__ import annotations

import asyncio
import contextlib
import re
from contextlib import AsyncExitStack
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.door.broadcast import AudioBroadcast, Broadcast
from server.door.offer import OfferError
from server.door.publishers import answer_publisher
from server.door.viewers import answer_viewer
from tests.server.door.plain import Sender, Taker, answered, encoded
from tests.server.door.rtc import until
from tests.server.door.stage import Stage, sockets


def test_ten_of_each_opened_and_closed_leave_no_task_no_viewer_and_no_socket() -> None:
    async def once() -> None:
        async with AsyncExitStack() as stack:
            stage, feed, sound = Stage(stack), Broadcast("h264"), AudioBroadcast()
            sender, taker = Sender(sound=True), Taker(sound=True, channel=True)
            await stage.publisher(sender)
            await stage.viewer(taker, feed, sound)
            assert feed.viewers == 1
            await sender.send(encoded("h264")[:3], 0)
            await until(lambda: sender.units, "a frame")
        assert (sender.closed, taker.closed) == (1, 1)
        assert feed.viewers == 0
        assert not sound._viewers

    async def run() -> None:
        await once()
        await asyncio.sleep(0.1)
        before, opened = asyncio.all_tasks(), sockets()
        for _ in range(10):
            await once()
        await until(lambda: asyncio.all_tasks() <= before, "an end of all tasks")
        assert sockets() <= opened

    asyncio.run(run())


@cache
def video_offer() -> str:
    async def run() -> str:
        sender = Sender(sound=True)
        try:
            return await sender.offer()
        finally:
            await sender.pc.close()

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("pattern", "instead"), [("a=ice-ufrag:.*\r\n", ""), ("a=ice-pwd:.*\r\n", ""), ("m=audio 9?", "m=audio x")]
)
def test_an_offer_that_aiortc_cannot_take_is_400_and_leaves_no_socket(pattern: str, instead: str) -> None:
    spoilt = re.sub(pattern, instead, video_offer())
    assert spoilt != video_offer()
    before = sockets()
    with pytest.raises(OfferError) as caught:
        asyncio.run(answered(spoilt))
    assert caught.value.status == 400
    assert "\n" not in caught.value.text
    assert sockets() <= before


def test_answers_that_are_broken_off_leave_no_task_no_viewer_and_no_socket() -> None:
    async def run() -> None:
        feed, sound, takes = Broadcast("h264"), AudioBroadcast(), Taker(sound=True)
        offers = [Sender(sound=True), takes]
        texts = [await one.offer() for one in offers]
        closed: list[str] = []
        before, opened = asyncio.all_tasks(), sockets()
        for work in (
            answer_publisher(
                texts[0], on_unit=print, on_gap=print, on_audio=print, on_closed=lambda: closed.append("publisher")
            ),
            answer_viewer(
                texts[1],
                pick=lambda codecs: feed,
                audio=sound,
                metadata=True,
                on_closed=lambda: closed.append("viewer"),
            ),
        ):
            answering = asyncio.ensure_future(work)
            await asyncio.sleep(0)
            answering.cancel()
            with pytest.raises(asyncio.CancelledError):
                await answering
        assert closed == ["publisher", "viewer"]
        assert sockets() == opened
        assert feed.viewers == 0
        assert not sound._viewers
        await until(lambda: asyncio.all_tasks() <= before, "an end of all tasks")
        for one in offers:
            await one.pc.close()

    asyncio.run(run())


def test_the_answer_has_our_codecs_an_offered_profile_and_host_candidates_only() -> None:
    sdp = asyncio.run(answered(video_offer()))
    assert set(re.findall(r"a=rtpmap:\d+ (\w+)", sdp)) == {"H264", "rtx", "opus"}
    profiles = set(re.findall(r"profile-level-id=(\w+)", sdp))
    assert profiles
    assert profiles <= set(re.findall(r"profile-level-id=(\w+)", video_offer()))
    assert "packetization-mode=1" in sdp
    found = re.findall(r"a=candidate:.* typ (\w+)", sdp)
    assert set(found) == {"host"}
    assert " 127.0.0.1 " in sdp
    assert sdp.count("a=recvonly") == 2


@settings(max_examples=60)
@given(st.data())
def test_any_spoilt_offer_is_answered_or_refused_with_a_status(data: st.DataObject) -> None:
    lines = video_offer().split("\r\n")
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(1, len(lines) - 1))
        how = data.draw(st.sampled_from(["drop", "cut", "twice", "spoil", "swap"]))
        if how == "drop":
            del lines[at]
        elif how == "cut":
            lines[at] = lines[at][: data.draw(st.integers(0, len(lines[at])))]
        elif how == "twice":
            lines.insert(at, lines[at])
        elif how == "spoil":
            lines[at] = re.sub(r"\d+", data.draw(st.sampled_from(["", "-1", "99999999999", "x"])), lines[at])
        else:
            other = data.draw(st.integers(1, len(lines) - 1))
            lines[at], lines[other] = lines[other], lines[at]
    before = sockets()
    with contextlib.suppress(OfferError):
        assert asyncio.run(answered("\r\n".join(lines))).startswith("v=0")
    assert sockets() <= before
