"""How many streams does this machine serve within the latency budget, and what does each frame cost?

Real streams over loopback WebRTC: `fancam publish` sends packets that were encoded beforehand, a viewer for each feed (the
redacted one and two fancams) counts access units and decodes nothing. Latency is the server's own, from a frame's arrival
until it was sent; a miss is a frame that was not sent within its budget, drops included. CPU time is read from /proc: of the
server's processes (door and studios) for each frame that came in, and beside it that of the clients.
"""

from __future__ import annotations

import asyncio
import contextlib
import json as json_module
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import typer

STEADY_S: Final = 8.0
"""The ladder has found its place when no stream's rung has changed for so long; until then nothing is measured."""
MOST_SETTLE_S: Final = 60.0
OFFER_GAP_S: Final = 0.4
"""The door takes five offers a second of one address."""
FANCAMS: Final = 2
FLAGS: Final = ("--max-streams", "64", "--max-feeds", "64", "--max-viewers", "256")
LEAST_RATE: Final = 28 / 30
MOST_STREAMS: Final = 16
PEERS: Final[dict[str, tuple[str, ...]]] = {
    "plain aiortc, nothing detected": (),
    "aiortc with a callback on BGR pictures and the same detector": ("cover",),
}
ECHO: Final = Path(__file__).with_name("peers") / "aiortc_echo.py"
PEER_WARM_S: Final = 4.0


def command(
    streams: Annotated[str, typer.Option(help="Numbers of streams, one run each.")] = "1,2,4,8",
    size: Annotated[str, typer.Option(help="Of the video, WIDTHxHEIGHT.")] = "640x480",
    fps: Annotated[int, typer.Option(min=5, max=60, help="Of the video.")] = 30,
    seconds: Annotated[int, typer.Option(min=3, max=60, help="Measured in each run.")] = 30,
    find: Annotated[
        bool, typer.Option("--find", help="Look for the largest number that holds the budget at p99.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="The last run as one line of JSON, after the table.")] = False,
) -> None:
    from benchmarks.report import write_result

    width, height = map(int, size.split("x"))
    counts = list(range(1, MOST_STREAMS + 1)) if find else [int(n) for n in streams.split(",")]
    runs: list[dict[str, Any]] = []
    print(HEAD)
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder, "scene.mp4")
        _draw(video, width, height, fps)
        for count in counts:
            runs.append(run := measure(video, count, size, fps, seconds))
            print(row(run), flush=True)
            if find and not run["holds"]:
                break
        peers = {name: measure_peer(video, fps, seconds, *words) for name, words in PEERS.items()}
    print(f"one stream, {FANCAMS + 1} viewers; ours: {runs[0]['cpu_ms_per_frame']} ms of CPU a frame")
    for name, peer in peers.items():
        print(f"{name}: {peer['cpu_ms_per_frame']} ms, {peer['fps']} frames a second for the worst viewer")
    if find:
        print(f"holds the budget at p99, at {LEAST_RATE:.0%} of the rate: {largest(runs)} streams")
    write_result(
        "load",
        {
            "what": "published, redacted and watched over loopback",
            "seconds": seconds,
            "runs": runs,
            "peers": peers,
        },
    )
    if json:
        last = runs[-1]
        print(
            json_module.dumps(
                {key: last[key] for key in ("streams", "size", "per_stream", "cpu_ms_per_frame", "rss_mb")}
            )
        )


def _draw(video: Path, width: int, height: int, fps: int) -> None:
    from engines.scene.demo import demo_scene
    from engines.scene.write import write_scene

    write_scene(video, scene=demo_scene(width, height), fps=fps)


def measure(video: Path, count: int, size: str, fps: int, seconds: int) -> dict[str, Any]:
    """One run with a server of its own."""
    from benchmarks.browser import publishing, serving

    with serving(*FLAGS) as server, ExitStack() as stack:
        names = [f"load-{number}" for number in range(count)]
        for name in names:
            stack.enter_context(publishing(video, f"{server.url}/whip/{name}"))
            time.sleep(OFFER_GAP_S)
        return asyncio.run(_watch_and_measure(server, names, size, fps, seconds))


def measure_peer(video: Path, fps: int, seconds: int, *words: str) -> dict[str, Any]:
    """One stream and its viewers through a server that decodes it and encodes it for each of them."""
    from benchmarks.browser import publishing

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(ECHO), str(port), *words]
    peer = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        _wait_for(port)
        with publishing(video, f"http://127.0.0.1:{port}/whip/load"):
            time.sleep(PEER_WARM_S)
            return asyncio.run(_watch_peer(peer.pid, port, fps, seconds))
    finally:
        peer.kill()
        peer.wait()


def _wait_for(port: int) -> None:
    end_s = time.monotonic() + 30
    while time.monotonic() < end_s:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise RuntimeError("the plain aiortc server did not start")


async def _watch_peer(pid: int, port: int, fps: int, seconds: int) -> dict[str, Any]:
    from benchmarks.proc import cpu_s
    from client.watch import Watcher

    units: list[list[Any]] = [[] for _ in range(FANCAMS + 1)]
    async with contextlib.AsyncExitStack() as stack:
        for number in range(len(units)):
            url = f"http://127.0.0.1:{port}/whep/load/{number}"
            await stack.enter_async_context(Watcher(url, on_unit=units[number].append))
            await asyncio.sleep(OFFER_GAP_S)
        await asyncio.sleep(PEER_WARM_S)
        before, taken_s, began_s = [len(seen) for seen in units], cpu_s(pid), time.monotonic()
        await asyncio.sleep(seconds)
        took_s = time.monotonic() - began_s
        taken_s = cpu_s(pid) - taken_s
    rates = [(len(seen) - count) / took_s for seen, count in zip(units, before, strict=True)]
    return {"fps": round(min(rates), 1), "cpu_ms_per_frame": round(1000 * taken_s / (fps * took_s), 2)}


@dataclass
class Viewers:
    """Those of one stream: access units by feed, and how long each viewer waited for its first."""

    units: Counter[str] = field(default_factory=Counter)
    first_ms: list[float] = field(default_factory=list)


async def _watch_and_measure(server: Any, names: list[str], size: str, fps: int, seconds: int) -> dict[str, Any]:
    viewers = {name: Viewers() for name in names}
    offers = asyncio.Lock()
    tasks = [
        asyncio.ensure_future(_stay(server, name, place, viewers[name], offers))
        for place in range(FANCAMS + 1)
        for name in names
    ]
    try:
        await asyncio.sleep(len(tasks) * OFFER_GAP_S)
        settled_s = await _settle(server)
        before = {name: Counter(one.units) for name, one in viewers.items()}
        cpu = CpuTimes(server)
        began_s = time.monotonic()
        rungs = [Counter[str]() for _ in names]
        while (left_s := began_s + seconds - time.monotonic()) > 0:
            await asyncio.sleep(min(1.0, left_s))
            told = await _rungs(server)
            for seen, name in zip(rungs, names, strict=True):
                if name in told:
                    seen[told[name]] += 1
        took_s = time.monotonic() - began_s
        server_s, clients_s = cpu.since()
        per_stream = [
            await _figures(server, name, viewers[name], before[name], took_s, rung)
            for name, rung in zip(names, rungs, strict=True)
        ]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    frames = max(1.0, len(names) * fps * took_s)
    budget = per_stream[0]["budget_ms"]
    return {
        "streams": len(names),
        "size": size,
        "per_stream": per_stream,
        "cpu_ms_per_frame": round(1000 * server_s / frames, 2),
        "clients_cpu_ms_per_frame": round(1000 * clients_s / frames, 2),
        "rss_mb": cpu.rss_mb,
        "settled_s": round(settled_s, 1),
        "first_picture_ms": sorted(round(ms) for one in viewers.values() for ms in one.first_ms),
        "holds": all(one["p99_ms"] <= budget and one["fps"] >= LEAST_RATE * fps for one in per_stream),
    }


async def _rungs(server: Any) -> dict[str, str]:
    """By stream."""
    return {one["name"]: one["rung"] for one in (await asyncio.to_thread(server.get, "/streams"))["streams"]}


async def _settle(server: Any) -> float:
    """Wait for the ladder to find its place; return how long that took."""
    began_s = changed_s = time.monotonic()
    rungs = await _rungs(server)
    while (now_s := time.monotonic()) < min(changed_s + STEADY_S, began_s + MOST_SETTLE_S):
        await asyncio.sleep(1)
        if (told := await _rungs(server)) != rungs:
            rungs, changed_s = told, now_s
    return changed_s - began_s


async def _stay(server: Any, name: str, place: int, viewers: Viewers, offers: asyncio.Lock) -> None:
    """One viewer, of the redacted feed (`place` 0) or of one of the fancams there are; when its feed ends it takes another."""
    from client.session import Refused, Unreachable
    from client.watch import Lost, Watcher

    while True:
        feed = "redacted" if place == 0 else await _fancam(server, name, place - 1)
        if feed is None:
            await asyncio.sleep(1)
            continue
        began_s, first = time.monotonic(), True

        def on_unit(unit: object) -> None:
            nonlocal first
            if first:
                viewers.first_ms.append(1000 * (time.monotonic() - began_s))  # noqa: B023 (of this very round)
                first = False
            viewers.units["redacted" if place == 0 else f"fancam {place}"] += 1

        with contextlib.suppress(Refused, Unreachable, Lost):
            async with offers:
                await asyncio.sleep(OFFER_GAP_S)
                began_s = time.monotonic()
                watcher = Watcher(f"{server.url}/whep/{name}/{feed}", on_unit=on_unit)
                await watcher.__aenter__()
            try:
                await watcher.wait(None)
            finally:
                await watcher.__aexit__()
        await asyncio.sleep(1)


async def _fancam(server: Any, name: str, number: int) -> str | None:
    streams = (await asyncio.to_thread(server.get, "/streams"))["streams"]
    tracks: list[dict[str, Any]] = next((one["tracks"] for one in streams if one["name"] == name), [])
    return f"fancam/{tracks[number]['id']}" if number < len(tracks) else None


async def _figures(
    server: Any, name: str, viewers: Viewers, before: Counter[str], took_s: float, rungs: Counter[str]
) -> dict[str, Any]:
    """Of one stream; `rungs`: seconds on each."""
    told = await asyncio.to_thread(server.get, f"/streams/{name}/latency?seconds={min(60, round(took_s))}")
    came = viewers.units - before
    return {
        "fps": round(came["redacted"] / took_s, 1),
        "fancams_fps": [round(came[f"fancam {place + 1}"] / took_s, 1) for place in range(FANCAMS)],
        **{f"{q}_ms": told[f"{q}_ms"].get("total", float("inf")) for q in ("p50", "p95", "p99")},
        "misses": told["missed"],
        "drops": told["drops"],
        "budget_ms": told["budget_ms"],
        "rungs_s": dict(rungs),
        "stages_p50_ms": told["p50_ms"],
    }


class CpuTimes:
    """CPU seconds of the server's processes and of the clients (this process and the publishers), from now on."""

    def __init__(self, server: Any) -> None:
        from benchmarks.proc import parent

        self._door = parent(int(server.get("/healthz")["studio"]["pid"]))
        self._before = self._read()
        self.rss_mb = 0.0

    def since(self) -> tuple[float, float]:
        """Of the server and of the clients; the server's memory is read too."""
        now = self._read()
        self.rss_mb = round(sum(_rss_mb(pid) for pid in _family(self._door)), 1)
        return now[0] - self._before[0], now[1] - self._before[1]

    def _read(self) -> tuple[float, float]:
        from benchmarks.proc import cpu_s

        server = set(_family(self._door))
        mine = set(_family(os.getpid())) - server
        return sum(map(cpu_s, server)), sum(map(cpu_s, mine))


def _family(pid: int) -> Iterator[int]:
    yield pid
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _family(int(child))


def _rss_mb(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
    except OSError:
        return 0.0


HEAD: Final = (
    f"{'streams':>7} {'fps':>6} {'fancams':>8} {'p50':>7} {'p95':>7} {'p99':>7} {'misses':>7} "
    f"{'CPU/frame':>10} {'clients':>8} {'RSS MB':>7} {'first ms':>8}  rung"
)


def row(run: dict[str, Any]) -> str:
    """One line of the table: the worst stream's figures; the sum of the misses; the rung that streams were on for longest."""
    streams = run["per_stream"]
    rungs: Counter[str] = sum((Counter(one["rungs_s"]) for one in streams), Counter())
    first = run["first_picture_ms"]
    return (
        f"{run['streams']:>7} {min(one['fps'] for one in streams):>6} "
        f"{min(min(one['fancams_fps']) for one in streams):>8} "
        + " ".join(f"{max(one[f'{q}_ms'] for one in streams):>7}" for q in ("p50", "p95", "p99"))
        + f" {sum(one['misses'] for one in streams):>7} {run['cpu_ms_per_frame']:>10} "
        f"{run['clients_cpu_ms_per_frame']:>8} {run['rss_mb']:>7} {first[len(first) // 2] if first else '–':>8}  "
        + ", ".join(rung for rung, _ in rungs.most_common(2))
    )


def largest(runs: list[dict[str, Any]]) -> int:
    return max((run["streams"] for run in runs if run["holds"]), default=0)
