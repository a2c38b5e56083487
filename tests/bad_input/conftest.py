"""One server for all that is bad, a good stream beside it, and the count of what was tried."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bad_input.serving import END_S, GOOD, Looking, Server, publish, start, written
from tests.client.clips import write_clip
from tests.server.door.running import wait_until

LONGEST_GAP_S = 3.0
"""Between two frames of the good stream: a machine with two busy cores stands still for a while by itself."""


@pytest.fixture(scope="package")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of 320x240, of few frames: there has to be room for another stream on a slow machine too."""
    return write_clip(tmp_path_factory.mktemp("video") / "good.mp4", frames=20, rate=10)


@pytest.fixture(scope="package")
def server(video: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serves the stream `good` to a viewer all the time; afterwards it must be as it was, and have written nowhere."""
    server = start(tmp_path_factory.mktemp("server"))
    publisher = publish(video, f"{server.url}/whip/{GOOD}")
    looking = None
    try:
        wait_until(lambda: server.ask("GET", "/readyz").status == 200, "a warm studio", 60)
        wait_until(lambda: GOOD in server.streams(), "the good stream", 60)
        looking = Looking(server)
        wait_until(lambda: len(server.frames_s) > 10, "frames of the good stream", 30)
        studio = server.get("/healthz")["studio"]["pid"]
        yield server
        assert server.get("/healthz")["studio"]["pid"] == studio, "the studio was lost"
        wait_until(lambda: set(server.streams()) == {GOOD}, "an end of the streams that were bad", 30)
        wait_until(lambda: server.metric("fancam_sessions") == 2, "an end of all other sessions", 30)
    finally:
        if looking is not None:
            looking.stop()
        publisher.terminate()
        publisher.wait(END_S)
        server.process.terminate()
        server.process.communicate(timeout=END_S)
    for told in ("Traceback", "Exception in ASGI application"):
        assert told not in server.log, server.log
    outside = {path for path in written(server.folder) if not _may_be_written(path, server.folder)}
    assert not outside, f"files were written to outside the server's folder: {sorted(outside)}"
    assert not list((server.folder / "work").iterdir())


def _may_be_written(path: str, folder: Path) -> bool:
    return Path(path).is_relative_to(folder) or path.startswith("/dev/")


@pytest.fixture(scope="module", autouse=True)
def _others_go_on(request: pytest.FixtureRequest) -> Iterator[None]:
    """While a module's cases run, the good stream stands still at no time."""
    if not _needs_server(request):
        yield
        return
    server: Server = request.getfixturevalue("server")
    began_s = time.monotonic()
    yield
    server.wait_frames(3)
    times_s = [began_s, *(at_s for at_s in server.frames_s if at_s >= began_s)]
    longest_s, since_s = max((after - before, before - began_s) for before, after in itertools.pairwise(times_s))
    still = f"the good stream stood still for {longest_s:.1f} s, {since_s:.1f} s after the module's first case"
    assert longest_s < LONGEST_GAP_S, f"{still}: {server.log[-3000:]}"


def _needs_server(request: pytest.FixtureRequest) -> bool:
    return any("server" in item.fixturenames for item in request.session.items if item.module is request.module)


@pytest.fixture
def tried(record_property: Callable[[str, object], None]) -> Callable[[int], None]:
    """A fuzzer says how many inputs it tried."""
    return lambda count: record_property("tried", count)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    cases: Counter[str] = Counter()
    mutated: Counter[str] = Counter()
    for report in terminalreporter.stats.get("passed", []):
        file, _, _ = report.nodeid.partition("::")
        if report.when != "call" or Path(file).parent.name != "bad_input":
            continue
        kind = Path(file).stem.removeprefix("test_")
        count = dict(report.user_properties).get("tried")
        if isinstance(count, int):
            mutated[kind] += count
        else:
            cases[kind] += 1
    if cases or mutated:
        told = [
            f"{kind} {cases[kind]}" + f" (+{mutated[kind]} made)" * (kind in mutated) for kind in {**cases, **mutated}
        ]
        terminalreporter.write_line(
            f"bad inputs: {sum(cases.values())} cases, {sum(mutated.values())} made at random: {', '.join(told)}"
        )
