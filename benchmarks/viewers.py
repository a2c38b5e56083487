"""How soon does a new viewer see a picture, and at full quality, and what does it cost the server?

A stream of 1920x1080 at 30 frames a second is published over loopback, and viewers come to its redacted feed one after the
other. First picture = from the POST of the offer until the first access unit is whole. Full quality = until the 500 ms
begin from which on frames have 80 % of the bytes that they have in the last seconds, or more. Then a 640x480 stream has one viewer and
thirteen by turns: CPU time a frame of the door, which sends each viewer its own encrypted packets, and of all of the server's
processes. Pictures are encoded once, however many watch. The viewers count access units and decode nothing.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

LARGE, SMALL = (1920, 1080), (640, 480)
FPS: Final = 30
NEWCOMERS: Final = 4
WATCH_S, STEADY_S, STEP_S = 8.0, 4.0, 0.5
FULL: Final = 0.8
FEW, MANY, ROUNDS = 1, 13, 3
MEASURE_S, SETTLE_S, OFFER_GAP_S = 10.0, 3.0, 0.3
WARM_S: Final = 4.0
FLAGS: Final = ("--max-viewers", "64")
AIMS: Final = {"first_picture_ms": 500, "full_quality_s": 2.0, "cpu_ms_per_viewer": 0.15}


def command() -> None:
    from benchmarks.report import write_result

    newcomers = _with_stream(LARGE, _newcomers)
    crowds = _with_stream(SMALL, _crowds)
    per_viewer = [
        round((many["door_cpu_ms"] - few["door_cpu_ms"]) / (MANY - FEW), 3)
        for few, many in zip(crowds[::2], crowds[1::2], strict=True)
    ]
    print(f"{'viewer':<8}{'first picture':>14}{'full quality':>14}{'steady kbit/s':>15}{'fps':>6}")
    for number, one in enumerate(newcomers, 1):
        print(
            f"{number:<8}{one['first_picture_ms']:>11} ms{one['full_quality_s']:>12} s{one['steady_bit_s'] // 1000:>15}"
            f"{one['steady_fps']:>6}"
        )
    print(f"\n{'viewers':<8}{'CPU ms a frame: door':>20}{'server':>8}{'fps, worst':>12}")
    for one in crowds:
        print(f"{one['viewers']:<8}{one['door_cpu_ms']:>20}{one['cpu_ms']:>8}{one['worst_fps']:>12}")
    print(f"a viewer more: {statistics.median(per_viewer)} ms of CPU a frame (aim {AIMS['cpu_ms_per_viewer']})")
    write_result("viewers", {"newcomers": newcomers, "crowds": crowds, "cpu_ms_per_viewer": per_viewer, "aims": AIMS})


def _with_stream(size: tuple[int, int], measure: Any) -> Any:
    from benchmarks.browser import PATIENT, publishing, serving
    from engines.scene.demo import demo_scene
    from engines.scene.write import write_scene

    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder, "scene.mp4")
        write_scene(video, scene=demo_scene(*size), fps=FPS)
        with serving(*FLAGS, *PATIENT) as server, publishing(video, f"{server.url}/whip/stage"):
            time.sleep(WARM_S)
            return asyncio.run(measure(server))


async def _newcomers(server: Any) -> list[dict[str, Any]]:
    """One after the other while those before them stay."""
    found = []
    async with AsyncExitStack() as stack:
        for _ in range(NEWCOMERS):
            began_s, units = time.monotonic(), list[tuple[float, int]]()
            await stack.enter_async_context(_watching(server, units, began_s))
            await asyncio.sleep(WATCH_S)
            found.append(newcomer(units))
    return found


def newcomer(units: list[tuple[float, int]]) -> dict[str, Any]:
    """Figures of (seconds since the POST, bytes) by access unit."""
    end_s = units[-1][0]
    last = [size for at_s, size in units if at_s > end_s - STEADY_S]
    steps = [[size for at_s, size in units if at_s // STEP_S == step] for step in range(int(end_s / STEP_S))]
    poor = [step for step, sizes in enumerate(steps) if sizes and statistics.mean(sizes) < FULL * statistics.mean(last)]
    return {
        "first_picture_ms": round(1000 * units[0][0]),
        "full_quality_s": STEP_S * (poor[-1] + 1) if poor else 0.0,
        "steady_bit_s": round(8 * sum(last) / STEADY_S),
        "steady_fps": round(len(last) / STEADY_S, 1),
    }


async def _crowds(server: Any) -> list[dict[str, Any]]:
    found = []
    async with AsyncExitStack() as stack:
        few = await _come(server, stack, FEW)
        for _ in range(ROUNDS):
            found.append(await _cost(server, few))
            async with AsyncExitStack() as more:
                found.append(await _cost(server, few + await _come(server, more, MANY - FEW)))
    return found


async def _come(server: Any, stack: AsyncExitStack, count: int) -> list[list[tuple[float, int]]]:
    """So many viewers, and what each of them sees."""
    seen: list[list[tuple[float, int]]] = [[] for _ in range(count)]
    for units in seen:
        await stack.enter_async_context(_watching(server, units, 0.0))
        await asyncio.sleep(OFFER_GAP_S)
    return seen


async def _cost(server: Any, seen: list[list[tuple[float, int]]]) -> dict[str, Any]:
    """CPU time a frame, and the frame rate of the worst of the viewers, whose units are in `seen`."""
    from benchmarks.load import CpuTimes
    from benchmarks.proc import cpu_s, parent

    await asyncio.sleep(SETTLE_S)
    door = parent(int(server.get("/healthz")["studio"]["pid"]))
    before, all_of_it, door_s, began_s = [len(units) for units in seen], CpuTimes(server), cpu_s(door), time.monotonic()
    await asyncio.sleep(MEASURE_S)
    took_s, (server_s, _), door_s = time.monotonic() - began_s, all_of_it.since(), cpu_s(door) - door_s
    rates = [(len(units) - count) / took_s for units, count in zip(seen, before, strict=True)]
    return {
        "viewers": len(seen),
        "door_cpu_ms": round(1000 * door_s / (FPS * took_s), 3),
        "cpu_ms": round(1000 * server_s / (FPS * took_s), 2),
        "worst_fps": round(min(rates), 1),
    }


def _watching(server: Any, units: list[tuple[float, int]], began_s: float) -> Any:
    from client.watch import Watcher

    def note(unit: Any) -> None:
        units.append((time.monotonic() - began_s, len(unit.data)))

    return Watcher(f"{server.url}/whep/stage/redacted", on_unit=note)
