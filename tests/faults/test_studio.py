"""The studio that serves is lost: a slate, then pictures again on the same connection, made by another one."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from tests.faults.stage import House, published, watched
from tests.server.door.rtc import until


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_it_is_killed_or_stands_still(house: House, how: signal.Signals) -> None:
    async def run() -> None:
        await until(lambda: house.door.door.supervisor.spare_ready, "a warm spare", 60)
        stream = how.name.lower()
        async with published(house, stream), watched(house, stream) as view:
            await view.more(15)
            lost = house.studio()
            os.kill(lost, how)
            slate = await view.slate()
            last = view.pictures[-1]
            assert (slate.at_ns - last.at_ns) / 1e9 < 4
            shown = await view.more(30)
            assert shown[0].at_ns > slate.at_ns
            assert house.studio() != lost
            view.assert_nobody_was_seen()

    asyncio.run(run())
