"""How much later than the relayed source does a browser show the redacted feed?

One headless Chromium publishes a drawn camera (640x480 at 30 frames a second, each frame's number drawn in) over WHIP and
watches it over WHEP. Captured = the frame leaves the camera's track; shown = requestVideoFrameCallback; both by the page's
clock. The floor is the feed `raw`: what the camera's encoder made, relayed undecoded through the same door to the same page.
The two are watched in turns, so that both see the same machine. Faces are detected on every frame.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

FLOOR, FEED = "raw", "redacted"
LEAD_S, TURN_S, CAMERA_S = 2.0, 5.0, 10.0
AIMS_MS = {"p50": 15.0, "p95": 30.0}
"""How much later than the floor at most."""


def command(
    seconds: Annotated[int, typer.Option(min=5, help="Seconds measured of each of the two feeds.")] = 20,
) -> None:
    from benchmarks.report import write_result

    figures = measure(max(1, round(seconds / TURN_S)))
    _print(figures)
    write_result("latency", figures)


def measure(turns: int) -> dict[str, Any]:
    """The figures of `turns` turns of 5 s for each feed."""
    from playwright.sync_api import sync_playwright

    from benchmarks.browser import PROBE_JS, chromium, flags, serving, write_camera
    from client.cli.main import Failure
    from engines.scene.write import write_scene

    where = chromium()
    if where is None:
        raise Failure("this needs Chromium: install it (Debian and Ubuntu: apt install chromium)")
    taken: dict[str, list[dict[str, Any]]] = {FLOOR: [], FEED: []}
    loads = []
    with tempfile.TemporaryDirectory() as folder:
        video, camera = Path(folder, "scene.mp4"), Path(folder, "scene.y4m")
        write_scene(video, seconds=CAMERA_S, marker=True)
        write_camera(video, camera)
        with serving() as server, sync_playwright() as playwright:
            with playwright.chromium.launch(executable_path=where, args=flags(camera)) as browser:
                page = browser.new_page()
                page.goto(f"{server.url}/healthz")  # any page of the server's: scripts are put in from here
                page.evaluate(PROBE_JS.read_text())
                page.evaluate(PROBE_JS.with_name("latency.js").read_text())
                source = page.evaluate("latency.publish('/whip/camera')")
                for _ in range(turns):
                    for feed in (FLOOR, FEED):
                        arguments = [f"/whep/camera/{feed}", LEAD_S, TURN_S]
                        taken[feed].append(page.evaluate("([path, a, b]) => latency.watch(path, a, b)", arguments))
                        loads.append(os.getloadavg()[0])
                ledger = server.get("/streams/camera/latency")
                version = browser.version
            studio = server.get("/healthz")["studio"]
    figures: dict[str, Any] = {feed: _summary(of) for feed, of in taken.items()}
    more = {q: round(figures[FEED][f"{q}_ms"] - figures[FLOOR][f"{q}_ms"], 1) for q in AIMS_MS}
    return {
        "what": "captured -> shown in one Chromium, milliseconds",
        "browser": f"Chromium {version}",
        "source": source,
        "studio": {key: studio[key] for key in ("runtime", "precision", "model") if key in studio},
        "load_during": [round(min(loads), 1), round(max(loads), 1)],
        **figures,
        "more_ms": more,
        "aims_ms": AIMS_MS,
        "met": {q: more[q] <= aim for q, aim in AIMS_MS.items()},
        "ledger_p50_ms": {stage: round(ms, 2) for stage, ms in ledger["p50_ms"].items()},
        "ledger_p95_ms": {stage: round(ms, 2) for stage, ms in ledger["p95_ms"].items()},
    }


def _summary(turns: list[dict[str, Any]]) -> dict[str, Any]:
    import numpy as np

    from client.cli.main import Failure

    sample = np.concatenate([turn["ms"] for turn in turns])
    if not sample.size:
        raise Failure("no frame was recognised: the feeds did not come")
    quantiles = {f"p{q}_ms": round(float(np.percentile(sample, q)), 1) for q in (50, 95, 99)}
    by_turn = [round(float(np.median(turn["ms"])), 1) if turn["ms"] else None for turn in turns]
    return {
        **quantiles,
        "p50_by_turn_ms": by_turn,
        "frames": int(sample.size),
        "fps": round(sample.size / (TURN_S * len(turns)), 1),
        "unread": sum(turn["unread"] for turn in turns),
        "size": turns[-1]["size"],
    }


def _print(figures: dict[str, Any]) -> None:
    print(
        f"{figures['browser']}, load {figures['load_during'][0]}–{figures['load_during'][1]}, captured -> shown in ms"
    )
    print(f"{'feed':<10}{'p50':>8}{'p95':>8}{'p99':>8}{'frames':>9}{'fps':>7}  size")
    for feed in (FLOOR, FEED):
        one = figures[feed]
        size = "x".join(map(str, one["size"]))
        print(
            f"{feed:<10}{one['p50_ms']:>8}{one['p95_ms']:>8}{one['p99_ms']:>8}{one['frames']:>9}{one['fps']:>7}  {size}"
        )
    more, aims = figures["more_ms"], figures["aims_ms"]
    print(f"{'more':<10}" + "".join(f"{more[q]:>8}" for q in AIMS_MS))
    print(f"{'at most':<10}" + "".join(f"{aims[q]:>8}" for q in AIMS_MS))
    print("the server's ledger, medians: " + ", ".join(f"{k} {v}" for k, v in figures["ledger_p50_ms"].items()))
