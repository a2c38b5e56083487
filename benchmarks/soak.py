"""Do the server's memory, threads and file descriptors stay flat while viewers come and go?

A real `fancam serve` with its studios, a real `fancam publish`, and three viewers in turn 10 s there and 10 s gone, on the
feeds redacted, overlay and raw. Once a second the door and the studio that serves are looked at in /proc. With `--sessions N`,
instead: N sessions are opened and closed, publishers of a stream of their own and viewers by turns, and what is left is
compared with what was there before.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from benchmarks.proc import Sample, look, summary
from benchmarks.report import ROOT, write_result

STREAM: Final = "soak"
FEEDS: Final = ("redacted", "overlay", "raw")
STAY_S: Final = 10.0
PUBLISHED_S: Final = 30.0
WARM_UP_S: Final = 60.0
SETTLE_S: Final = 8.0
"""A stream whose publisher has gone is kept for a while, and so are closed transports."""
WARM_SESSIONS: Final = 20
OFFERS_A_SECOND: Final = 4.0
"""The door takes five of one address."""


def command(
    minutes: Annotated[float, typer.Option(min=0.5, help="How long, the first minute not counted.")] = 10,
    sessions: Annotated[int, typer.Option(min=0, help="Open and close so many sessions instead.")] = 0,
) -> None:
    if sessions:
        figures = count_sessions(sessions)
        print_left(figures)
        write_result("soak_sessions", figures)
        return
    samples, figures = soak(60 * minutes)
    print_table(figures)
    path = write_result("soak", figures)
    if path is not None:
        from benchmarks.plot import save_plot

        save_plot(path.with_suffix(".png"), samples, WARM_UP_S)
        print(f"written: {path.with_suffix('.png').relative_to(ROOT)}")


def soak(seconds: float, warm_up_s: float = WARM_UP_S) -> tuple[list[Sample], dict[str, Any]]:
    """A sample a second, and the figures of those after the warm-up."""
    from benchmarks.browser import publishing, serving
    from engines.scene.write import write_scene

    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder, "scene.mp4")
        write_scene(video, seconds=10.0)
        with serving() as server, publishing(video, f"{server.url}/whip/{STREAM}"):
            samples, seen = asyncio.run(_watch_and_sample(server, warm_up_s + seconds))
    steady = [sample for sample in samples if sample.at_s >= warm_up_s]
    return samples, {
        "what": f"three viewers, {STAY_S:g} s there and {STAY_S:g} s gone, on the feeds {', '.join(FEEDS)}",
        "seconds": seconds,
        "visits": seen["visits"],
        "visits_without_a_frame": seen["empty"],
        "units_received": seen["units"],
        "studio_restarts": len({sample.studio_pid for sample in samples}) - 1,
        "door": summary(steady, "door"),
        "studio": summary(steady, "studio"),
    }


async def _watch_and_sample(server: Any, seconds: float) -> tuple[list[Sample], dict[str, int]]:
    await _published(server)
    seen = {"visits": 0, "empty": 0, "units": 0}
    viewers = [asyncio.ensure_future(_come_and_go(server.url, turn, seen)) for turn in range(len(FEEDS))]
    samples: list[Sample] = []
    began_s = time.monotonic()
    try:
        while (at_s := time.monotonic() - began_s) < seconds:
            samples.append(await asyncio.to_thread(look, server, at_s))
            await asyncio.sleep(max(0.0, began_s + len(samples) - time.monotonic()))
            for viewer in viewers:
                if viewer.done():
                    viewer.result()
    finally:
        for viewer in viewers:
            viewer.cancel()
        await asyncio.gather(*viewers, return_exceptions=True)
    return samples, seen


async def _come_and_go(url: str, turn: int, seen: dict[str, int]) -> None:
    """One viewer's visits: another feed each time."""
    await asyncio.sleep(turn * 2 * STAY_S / len(FEEDS))
    for feed in itertools.islice(itertools.cycle(FEEDS), turn, None):
        units = await _visit(url, STREAM, feed, STAY_S)
        seen["visits"] += 1
        seen["empty"] += not units
        seen["units"] += units
        await asyncio.sleep(STAY_S)


async def _visit(url: str, stream: str, feed: str, seconds: float) -> int:
    """Watch for so long, or to the first access unit when that is 0 s; the number of access units that came."""
    from client.watch import Watcher

    units: list[None] = []
    came = asyncio.Event()

    def on_unit(unit: object) -> None:
        units.append(None)
        came.set()

    async with Watcher(f"{url}/whep/{stream}/{feed}", on_unit=on_unit) as watcher:
        if seconds:
            await watcher.wait(seconds)
        else:
            await asyncio.wait_for(came.wait(), STAY_S)
    return len(units)


def count_sessions(number: int) -> dict[str, Any]:
    """What N sessions leave behind."""
    from benchmarks.browser import publishing, serving
    from engines.scene.write import write_scene

    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder, "scene.mp4")
        write_scene(video, seconds=2.0)
        with serving() as server, publishing(video, f"{server.url}/whip/{STREAM}"):
            return asyncio.run(_open_and_close(server, video, number))


async def _open_and_close(server: Any, video: Path, number: int) -> dict[str, Any]:
    await _published(server)
    await _all_sessions(server.url, video, range(WARM_SESSIONS))
    before = await _settled(server)
    began_s = time.monotonic()
    failed = await _all_sessions(server.url, video, range(WARM_SESSIONS, WARM_SESSIONS + number))
    took_s = time.monotonic() - began_s
    after = await _settled(server)
    return {
        "what": f"{number} sessions opened, connected and closed; before: after {WARM_SESSIONS} others",
        "sessions": number,
        "failed": failed,
        "seconds": round(took_s, 1),
        "before": before,
        "after": after,
    }


async def _all_sessions(url: str, video: Path, numbers: range) -> dict[str, int]:
    """Open and close sessions, a few at a time; how many failed, by why."""
    from client.publish import Lost as Unpublished
    from client.session import Refused, Unreachable
    from client.watch import Lost as Unwatched

    at_once = asyncio.Semaphore(3)
    failed: dict[str, int] = {}

    async def one(number: int) -> None:
        async with at_once:
            try:
                if number % 2:
                    await _publish_once(f"{url}/whip/guest-{number}", video)
                else:
                    await _visit(url, STREAM, FEEDS[number // 2 % len(FEEDS)], 0.0)
            except (Refused, Unreachable, Unpublished, Unwatched, TimeoutError, ConnectionError) as error:
                why = f"{type(error).__name__}: {error}"
                failed[why] = failed.get(why, 0) + 1

    tasks = []
    for number in numbers:
        async with at_once:
            tasks.append(asyncio.ensure_future(one(number)))
        await asyncio.sleep(1 / OFFERS_A_SECOND)
    await asyncio.gather(*tasks)
    return failed


async def _publish_once(url: str, video: Path) -> None:
    """Publish until the connection stands, and leave."""
    from client.publish import Session
    from server.pull.source import Source

    connected = asyncio.Event()
    source = await asyncio.to_thread(Source, str(video), True)
    running = asyncio.ensure_future(Session(source, url, None, []).run(connected.set))
    waiting = asyncio.ensure_future(connected.wait())
    try:
        await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
    finally:
        waiting.cancel()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _published(server: Any) -> None:
    deadline_s = time.monotonic() + PUBLISHED_S
    while not (await asyncio.to_thread(server.get, "/streams"))["streams"]:
        if time.monotonic() > deadline_s:
            raise RuntimeError("the publisher did not come")
        await asyncio.sleep(0.2)


async def _settled(server: Any) -> dict[str, Any]:
    await asyncio.sleep(SETTLE_S)
    sample = await asyncio.to_thread(look, server, 0.0)
    streams = await asyncio.to_thread(server.get, "/streams")
    return {**sample.as_dict(), "streams": len(streams["streams"])}


def print_table(figures: dict[str, Any]) -> None:
    visits = f"{figures['visits']} visits, {figures['visits_without_a_frame']} of them without a frame"
    print(f"{figures['seconds']:g} s after the warm-up, {visits}, {figures['studio_restarts']} restarts of the studio")
    print(f"{'':<24}{'start':>10}{'end':>10}{'an hour':>12}")
    for process in ("door", "studio"):
        for what, of in figures[process].items():
            print(f"{process + ' ' + what:<24}{of['start']:>10}{of['end']:>10}{of['slope_per_hour']:>+12}")


def print_left(figures: dict[str, Any]) -> None:
    print(f"{figures['sessions']} sessions in {figures['seconds']} s; failed: {figures['failed'] or 'none'}")
    print(f"{'':<24}{'before':>10}{'after':>10}")
    for what, before in figures["before"].items():
        print(f"{what:<24}{before:>10}{figures['after'][what]:>10}")
