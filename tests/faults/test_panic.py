"""Panic: no frame that was sent after it was declared reaches anyone, in any feed, until it is over."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.faults.stage import House, published, watched
from tests.server.door.rtc import until


@pytest.mark.parametrize("feed", ["redacted", "raw"])
def test_the_slate_takes_the_place_of_the_picture_within_one_frame(house: House, feed: str) -> None:
    async def declare(panic: bool) -> int:
        answer = await asyncio.to_thread(
            house.door.ask, "PATCH", f"/streams/panic-{feed}/redaction",
            f'{{"panic": {str(panic).lower()}}}', Content_Type="application/json",
        )  # fmt: skip
        assert answer.status == 200
        return time.monotonic_ns()

    async def run() -> None:
        async with published(house, f"panic-{feed}") as camera, watched(house, f"panic-{feed}", feed) as view:
            await view.more(15)
            declared_ns = await declare(True)
            await until(lambda: any(one.at_ns > declared_ns for one in view.slates), "the slate")
            await asyncio.sleep(1)
            over_ns = time.monotonic_ns()
            await declare(False)
            await view.more(15)
            shown = [camera.sent_ns(one.number, one.at_ns) for one in view.pictures]
            assert not [sent_ns for sent_ns in shown if declared_ns < sent_ns < over_ns]
            assert feed == "raw" or view.seen == 0

    asyncio.run(run())
