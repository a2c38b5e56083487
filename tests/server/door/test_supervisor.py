"""Studios as processes: lost, silent, crashing, and the spare that takes over. The fake studio speaks the real link."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from tests.server.door.running import FAKE_STUDIO, Running, running_door, wait_until

START_S = 60
"""Until there is a spare: its process gives way to others while it starts."""


def studio(door: Running) -> int | None:
    """The process that serves."""
    described = door.ask("GET", "/healthz").json()["studio"]
    return described and described["pid"]


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_studio_that_is_killed_or_stands_still_is_replaced_by_the_warm_spare(
    start_door: Callable[..., Running],
) -> None:
    door = start_door()
    for how, within_s in ((signal.SIGKILL, 1), (signal.SIGSTOP, 4)):
        wait_until(lambda: door.door.supervisor.spare_ready, "a warm spare", START_S)
        lost = studio(door)
        os.kill(lost, how)
        wait_until(lambda pid=lost: studio(door) not in (None, pid), f"another studio after {how.name}", within_s)
        wait_until(lambda pid=lost: is_gone(pid), "the end of the one that was lost")
    assert b"fancam_studio_restarts_total 2.0" in door.ask("GET", "/metrics").body


def test_a_spare_that_dies_changes_nothing_for_the_one_that_serves(start_door: Callable[..., Running]) -> None:
    door = start_door()
    wait_until(lambda: door.door.supervisor.spare_ready, "a warm spare", START_S)
    first = studio(door)
    spare = next(s for s in door.door.supervisor._studios if s.process.pid != first).process.pid
    os.kill(spare, signal.SIGKILL)
    wait_until(lambda: is_gone(spare) and door.door.supervisor.spare_ready, "another spare", START_S)
    assert studio(door) == first


def test_a_studio_that_crashes_at_its_start_is_tried_ever_more_rarely(start_door: Callable[..., Running]) -> None:
    door = start_door((*FAKE_STUDIO, "--crash"), warm=False)
    wait_until(lambda: door.door.supervisor._failures >= 3, "three crashes")
    answer = door.ask("GET", "/readyz")
    assert answer.status == 503
    assert answer.headers["Retry-After"]
    health = door.ask("GET", "/healthz")
    assert health.status == 200
    assert health.json()["status"] == "degraded"
    assert health.json()["trouble"]


def test_nothing_is_left_of_a_door_that_ends() -> None:
    with running_door() as door:
        wait_until(lambda: door.door.supervisor.spare_ready, "a warm spare", START_S)
        pids = [s.process.pid for s in door.door.supervisor._studios]
        assert len(pids) == 2
    assert all(map(is_gone, pids))


def test_studios_that_do_not_listen_are_killed_at_the_end() -> None:
    with running_door((*FAKE_STUDIO, "--deaf")) as door:
        pids = [s.process.pid for s in door.door.supervisor._studios]
    assert all(map(is_gone, pids))


def test_a_runtime_that_serves_until_a_plan_is_built_is_shown(start_door: Callable[..., Running]) -> None:
    door = start_door((*FAKE_STUDIO, "--meanwhile"))
    assert b"fancam_runtime_meanwhile 1.0" in door.ask("GET", "/metrics").body
    assert door.ask("GET", "/healthz").json()["studio"]["asked"] == "tensorrt"
    os.kill(studio(door), signal.SIGUSR1)
    wait_until(lambda: b"fancam_runtime_meanwhile 0.0" in door.ask("GET", "/metrics").body, "the one asked for")
    assert "asked" not in door.ask("GET", "/healthz").json()["studio"]
