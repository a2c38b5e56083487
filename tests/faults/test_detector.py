"""The detector fails, each time in another way: what viewers of the redacted feed see instead of what was not analysed."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from tests.faults.stage import House, Shown, published, watched
from tests.server.door.rtc import until


def test_with_nothing_wrong_the_search_finds_everyone_in_raw_and_nobody_in_redacted(house: House) -> None:
    async def run() -> None:
        async with published(house, "well"), watched(house, "well", "raw") as raw, watched(house, "well") as view:
            await view.more(30)
            view.assert_nobody_was_seen()
            assert raw.seen > 0.99

    asyncio.run(run())


def test_it_raises(house: House) -> None:
    async def run() -> None:
        async with published(house, "raises") as camera, watched(house, "raises") as view:
            await view.more(15)
            broken_ns = house.break_detector("raises")
            slate = await view.slate()
            last = view.pictures[-1]
            assert camera.sent_ns(last.number, last.at_ns) < broken_ns, "a frame that was not analysed was shown"
            assert 0.3 < (slate.at_ns - last.at_ns) / 1e9 < 1.5, "the last safe picture stays for half a second"
            house.mend_detector()
            await view.more(15)
            view.assert_nobody_was_seen()

    asyncio.run(run())


def test_it_finds_nothing_for_a_while(house: House) -> None:
    """The picture goes on; who was there before is taken to be there still."""

    async def run() -> None:
        async with published(house, "blind") as camera, watched(house, "blind") as view:
            await view.more(15)
            blind_ns = house.break_detector("finds nothing")

            def while_blind() -> list[Shown]:
                return [one for one in view.pictures if camera.sent_ns(one.number, one.at_ns) > blind_ns]

            await until(lambda: len(while_blind()) >= 15, "pictures in which nothing was found")
            house.mend_detector()
            await view.more(15)
            view.assert_nobody_was_seen()

    asyncio.run(run())


def test_it_hangs_for_5_s(house: House) -> None:
    """Another one takes its place; what it says in the end is of no interest any more."""

    async def run() -> None:
        async with published(house, "hangs"), watched(house, "hangs") as view:
            await view.more(15)
            studio = house.studio()
            house.break_detector("hangs")
            slate = await view.slate()
            last = view.pictures[-1]
            assert (slate.at_ns - last.at_ns) / 1e9 < 1.5
            shown = await view.more(30)
            assert (shown[0].at_ns - last.at_ns) / 1e9 < 4.5, "before the one that hangs is done"
            assert house.studio() == studio
            view.assert_nobody_was_seen()

    asyncio.run(run())


def test_it_answers_half_a_second_late(house: House) -> None:
    """The slate says so: what comes so late is not shown any more. When it is well, so is the picture."""

    async def run() -> None:
        async with published(house, "late"), watched(house, "late") as view:
            await view.more(15)
            house.break_detector("late")
            slate = await view.slate()
            assert (slate.at_ns - view.pictures[-1].at_ns) / 1e9 < 1.5
            await asyncio.sleep(1)
            house.mend_detector()
            await view.more(15)
            view.assert_nobody_was_seen()

    asyncio.run(run())


def test_twice_the_load_that_it_can_take(house: House) -> None:
    """Every other frame is shown, and none of them late: nothing queues up."""

    async def run() -> None:
        async with published(house, "load") as camera, watched(house, "load") as view:
            await view.more(15)
            house.break_detector("twice the load")
            shown = (await view.more(30))[-15:]
            delays_s = [(one.at_ns - camera.sent_ns(one.number, one.at_ns)) / 1e9 for one in shown]
            assert max(delays_s) < 0.8
            steps = [(b.number - a.number) % 60 for a, b in pairwise(shown)]
            assert sum(step >= 2 for step in steps) > len(steps) / 2
            view.assert_nobody_was_seen()

    asyncio.run(run())
