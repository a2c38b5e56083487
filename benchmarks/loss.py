"""What does a viewer see when packets are lost, late, out of order, or too many for the line, and how soon is it over?

A publisher and a viewer (Fancam's own, then Chromium) reach the server through a router in user space (benchmarks/wire.py) that
does it to one of the two: *in*, on the publisher's way, media and feedback alike, or *out*, on the viewer's. Each frame's
number is drawn in; the feed is `redacted`. A frame counts when another number than the last is shown; a freeze is a gap of
over 200 ms; recovered is when, after the weather has cleared, a second begins in which 27 of 30 frames are shown.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final, Protocol

import typer

from benchmarks.wire import Weather, Wire, background, free_udp_ports, wired

OUTSIDE, INSIDE = "127.0.0.9", "127.0.0.1"
PORTS: Final = 40
WEATHERS: Final = {
    "clear": Weather(),
    "5 % lost": Weather(loss=0.05),
    "20 % lost": Weather(loss=0.2),
    "0-30 ms late": Weather(jitter_ms=30),
    "0-30 ms, reordered": Weather(jitter_ms=30, reorders=True),
    "that and 5 % lost": Weather(loss=0.05, jitter_ms=30, reorders=True),
    "a line of 600 kbit/s": Weather(bit_s=600_000),
}
CALM_S, AFTER_S, CONNECT_S = 2.0, 5.0, 30.0
CAMERA_S: Final = 10
LONGER_S: Final = 20
"""Our publisher's video does not begin anew while a row lasts; Chromium's camera does, from memory."""
FREEZE_MS, SOUND_FPS = 200.0, 27

Shown = Sequence[tuple[float, int | None]]
"""When (ms) a frame was shown, and its number if it could be read."""


class Client(Protocol):
    """One that publishes and watches; `take` gives its clock (ms), and what has been shown since it was asked last."""

    name: str

    def publishing(self, stream: str) -> AbstractContextManager[None]: ...
    def watching(self, stream: str) -> AbstractContextManager[None]: ...
    def take(self) -> tuple[float, Shown]: ...


def command(
    seconds: Annotated[int, typer.Option(min=5, help="How long each weather lasts.")] = 10,
) -> None:
    from benchmarks.report import write_result

    rows = measure(seconds)
    _print(rows)
    write_result("loss", {"what": __doc__.split("\n")[0], "seconds_each": seconds, "rows": rows})


def measure(seconds: float) -> list[dict[str, Any]]:
    from playwright.sync_api import sync_playwright

    from benchmarks.browser import chromium, flags, serving, write_camera
    from engines.scene.write import write_scene

    ports = free_udp_ports(PORTS)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        video, camera_video, camera = (Path(folder, name) for name in ("scene.mp4", "camera.mp4", "camera.y4m"))
        write_scene(camera_video, seconds=CAMERA_S, marker=True)
        write_camera(camera_video, camera)
        write_scene(video, seconds=seconds + LONGER_S, marker=True)
        with (
            serving("--udp-ports", f"{ports[0]}-{ports[-1]}", "--advertise", OUTSIDE) as server,
            wired(OUTSIDE, INSIDE, ports) as wire,
        ):
            rows += _rows(Own(server.url, video), wire, seconds)
            where = chromium()
            if where is None:
                print("no Chromium here: its rows are left out")
                return rows
            with sync_playwright() as playwright:
                with playwright.chromium.launch(executable_path=where, args=flags(camera)) as browser:
                    page = browser.new_page()
                    rows += _rows(Chromium(page, server.url, browser.version), wire, seconds)
    return rows


def _rows(client: Client, wire: Wire, seconds: float) -> Iterator[dict[str, Any]]:
    for number, (side, name) in enumerate((side, name) for side in ("in", "out") for name in WEATHERS):
        row = {"client": client.name, "side": side, "weather": name, **asdict(WEATHERS[name])}
        row |= _row(client, wire, f"stage-{number}", side, WEATHERS[name], seconds)
        yield row


def _row(client: Client, wire: Wire, stream: str, side: str, weather: Weather, seconds: float) -> dict[str, Any]:
    wire.ports.clear()
    with client.publishing(stream):
        _wait(lambda: wire.ports, "no publisher has come")
        publisher = set(wire.ports)
        with client.watching(stream):
            _wait(lambda: len(client.take()[1]) > 1, "nothing is shown")
            time.sleep(CALM_S)
            hit = publisher if side == "in" else wire.ports - publisher
            begin_ms, shown = client.take()
            lost = wire.lost
            wire.weather = dict.fromkeys(hit, weather)
            time.sleep(seconds)
            wire.weather = {}
            end_ms, more = client.take()
            lost = wire.lost - lost
            time.sleep(AFTER_S)
            over_ms, last = client.take()
    shown = [*shown, *more, *last]
    return figures(shown, begin_ms, end_ms, over_ms) | {"packets_lost": lost, "load": round(os.getloadavg()[0], 1)}


def figures(shown: Shown, begin_ms: float, end_ms: float, over_ms: float) -> dict[str, Any]:
    """Of what was shown until `over_ms`, while the weather lasted from `begin_ms` to `end_ms`."""
    fresh = [shown[0][0]] if shown else [begin_ms]
    number = shown[0][1] if shown else None
    for ms, marker in shown[1:]:
        if marker is not None and marker != number:
            number = marker
            fresh.append(ms)
    gaps = list(zip(fresh, [*fresh[1:], over_ms], strict=True))
    felt = [b - a for a, b in gaps if b > begin_ms and a < end_ms]
    sound = (ms for ms in fresh if ms >= end_ms and sum(ms <= other < ms + 1000 for other in fresh) >= SOUND_FPS)
    recovered = next(sound, None)
    return {
        "fps": round(1000 * sum(begin_ms <= ms < end_ms for ms in fresh) / (end_ms - begin_ms), 1),
        "freezes": sum(gap > FREEZE_MS for gap in felt),
        "median_gap_ms": round(statistics.median(felt)),
        "longest_gap_ms": round(max(felt)),
        "recovered_ms": None if recovered is None else round(recovered - end_ms),
    }


def _wait(true: Any, otherwise: str) -> None:
    from client.cli.main import Failure

    end_s = time.monotonic() + CONNECT_S
    while not true():
        if time.monotonic() > end_s:
            raise Failure(otherwise)
        time.sleep(0.1)


def _print(rows: Sequence[dict[str, Any]]) -> None:
    print(f"{'client':<16}{'side':<5}{'weather':<20}{'fps':>6}{'freezes':>9}{'longest gap':>13}{'recovered':>11}")
    for row in rows:
        after = "never" if row["recovered_ms"] is None else f"{row['recovered_ms']} ms"
        print(
            f"{row['client']:<16}{row['side']:<5}{row['weather']:<20}{row['fps']:>6}{row['freezes']:>9}"
            f"{row['longest_gap_ms']:>10} ms{after:>11}"
        )


class Own:
    """`fancam publish`, and the client of `fancam watch` with a decoder behind it."""

    name = "fancam"

    def __init__(self, url: str, video: Path) -> None:
        self._url, self._video = url, video
        self._shown: list[tuple[float, int | None]] = []

    def publishing(self, stream: str) -> AbstractContextManager[None]:
        from benchmarks.browser import publishing

        return publishing(self._video, f"{self._url}/whip/{stream}")

    @contextmanager
    def watching(self, stream: str) -> Iterator[None]:
        from client.watch import Watcher
        from engines.codecs.decode import DecodeError, VideoDecoder
        from engines.scene.marker import read_marker

        decoder = VideoDecoder("h264")

        def show(unit: Any) -> None:
            try:
                for frame in decoder.decode(unit.data, unit.rtp_time, unit.arrival_ns):
                    self._shown.append((time.monotonic() * 1000, read_marker(frame.y)))
            except DecodeError:
                return

        watcher = Watcher(f"{self._url}/whep/{stream}/redacted", on_unit=show)
        with background() as run:
            run(watcher.__aenter__())
            try:
                yield
            finally:
                run(watcher.__aexit__())

    def take(self) -> tuple[float, Shown]:
        shown, self._shown = self._shown, []
        return time.monotonic() * 1000, shown


class Chromium:
    """One page that publishes its camera and watches."""

    def __init__(self, page: Any, url: str, version: str) -> None:
        self.name = f"Chromium {version.partition('.')[0]}"
        self._page, self._url = page, url

    @contextmanager
    def publishing(self, stream: str) -> Iterator[None]:
        from benchmarks.browser import PROBE_JS

        self._page.goto(f"{self._url}/healthz")  # any page of the server's: scripts are put in from here
        for script in (PROBE_JS, PROBE_JS.with_name("loss.js")):
            self._page.evaluate(script.read_text())
        self._page.evaluate("path => loss.publish(path)", f"/whip/{stream}")
        try:
            yield
        finally:
            self._page.evaluate("loss.close()")

    @contextmanager
    def watching(self, stream: str) -> Iterator[None]:
        self._page.evaluate("path => loss.watch(path)", f"/whep/{stream}/redacted")
        yield

    def take(self) -> tuple[float, Shown]:
        taken = self._page.evaluate("loss.take()")
        return taken["now"], [(ms, number) for ms, number in taken["shown"]]
