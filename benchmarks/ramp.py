"""What does the ladder do when streams come and go: one to many and back to one?

Real streams over loopback WebRTC (`fancam publish`, packets that were encoded beforehand), a viewer for each stream's redacted
feed that counts access units. Every few seconds a stream is added, until there are as many as asked for or the server refuses
one (503); after a pause they go again, and the last one is watched until it is back on the rung `full`.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Final

import typer

STEP_S: Final = 4.0
HOLD_S: Final = 10.0
BACK_S: Final = 180.0
FLAGS: Final = ("--max-streams", "64", "--max-feeds", "64", "--max-viewers", "256")


def command(
    streams: Annotated[int, typer.Option(min=2, max=32, help="The most at a time.")] = 12,
    size: Annotated[str, typer.Option(help="Of the video, WIDTHxHEIGHT.")] = "640x480",
) -> None:
    from benchmarks.browser import serving
    from benchmarks.report import write_result
    from engines.scene.demo import demo_scene
    from engines.scene.write import write_scene

    width, height = map(int, size.split("x"))
    print(HEAD)
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder, "scene.mp4")
        write_scene(video, scene=demo_scene(width, height), fps=30)
        with serving(*FLAGS) as server:
            trace = asyncio.run(Ramp(server, video).run(streams))
    back_s = trace[-1]["second"] - next(row["second"] for row in reversed(trace) if row["streams"] > 1)
    full = trace[-1]["rungs"] == {"full": 1}
    print(f"{'back on full' if full else 'NOT back on full'} {back_s} s after the last of the others had gone")
    write_result("ramp", {"size": size, "step_s": STEP_S, "back_s": back_s if full else None, "trace": trace})


class Ramp:
    """The publishers, the viewers, and a row each second of what the server says of its streams."""

    def __init__(self, server: Any, video: Path) -> None:
        self._server, self._video = server, video
        self._publishers: list[subprocess.Popen[bytes]] = []
        self._viewers: dict[str, asyncio.Task[None]] = {}
        self._units: Counter[str] = Counter()
        self._refused = 0
        self._trace: list[dict[str, Any]] = []
        self._began_s = time.monotonic()

    async def run(self, most: int) -> list[dict[str, Any]]:
        sampling = asyncio.ensure_future(self._sample())
        try:
            for number in range(most):
                if not await self._add(number):
                    break
            await asyncio.sleep(HOLD_S)
            while len(self._publishers) > 1:
                self._end(self._publishers.pop())
                await asyncio.sleep(STEP_S / 2)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BACK_S):
                    while self._trace[-1]["rungs"] != {"full": 1}:  # noqa: ASYNC110 (what the server says changes)
                        await asyncio.sleep(1)
        finally:
            sampling.cancel()
            for viewer in self._viewers.values():
                viewer.cancel()
            for publisher in self._publishers:
                self._end(publisher)
        return self._trace

    async def _add(self, number: int) -> bool:
        """Another stream and its viewer; False when the server refuses it."""
        from benchmarks.browser import start

        name = f"ramp-{number}"
        publisher = start("publish", str(self._video), f"{self._server.url}/whip/{name}", "--loop")
        await asyncio.sleep(STEP_S)
        if publisher.poll() is not None:
            self._refused += 1
            return False
        self._publishers.append(publisher)
        self._viewers[name] = asyncio.ensure_future(self._watch(name))
        return True

    @staticmethod
    def _end(publisher: subprocess.Popen[bytes]) -> None:
        from benchmarks.browser import stop

        stop(publisher)

    async def _watch(self, name: str) -> None:
        from client.session import Refused, Unreachable
        from client.watch import Lost, Watcher

        def count(unit: object) -> None:
            self._units[name] += 1

        with contextlib.suppress(Refused, Unreachable, Lost):
            async with Watcher(f"{self._server.url}/whep/{name}/redacted", on_unit=count) as watcher:
                await watcher.wait(None)

    async def _sample(self) -> None:
        while True:
            before, since_s = Counter(self._units), time.monotonic()
            await asyncio.sleep(1)
            told = (await asyncio.to_thread(self._server.get, "/streams"))["streams"]
            live = [one for one in told if one["state"] == "live"]
            p99 = [await self._p99_ms(one["name"]) for one in live]
            took_s = time.monotonic() - since_s
            fps = [(self._units[one["name"]] - before[one["name"]]) / took_s for one in live]
            row = {
                "second": round(time.monotonic() - self._began_s),
                "streams": len(live),
                "rungs": dict(Counter(one["rung"] for one in live)),
                "fps_worst": round(min(fps, default=0.0), 1),
                "p99_ms": max(p99, default=None),
                "refused": self._refused,
            }
            self._trace.append(row)
            print(line(row), flush=True)

    async def _p99_ms(self, name: str) -> float:
        told = await asyncio.to_thread(self._server.get, f"/streams/{name}/latency?seconds=3")
        return float(told["p99_ms"].get("total", 0.0))


HEAD: Final = f"{'second':>6} {'streams':>7} {'fps, worst':>10} {'p99 ms':>7} {'refused':>7}  rungs"


def line(row: dict[str, Any]) -> str:
    rungs = ", ".join(f"{count} × {rung}" for rung, count in row["rungs"].items())
    return f"{row['second']:>6} {row['streams']:>7} {row['fps_worst']:>10} {row['p99_ms'] or '–':>7} {row['refused']:>7}  {rungs}"
