"""What streams take of a machine, in told figures."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.studio.costs import Cost, Costs
from server.studio.ladder import CALM_LOAD, LOWEST, RUNGS
from server.studio.load import DoorShare, Machine, cores, demand, room

MS_640x480 = 1e6 / (640 * 480)


def costs(scale: float = 1.0) -> Costs:
    """Milliseconds of CPU time a 640x480 picture."""
    known = {"decode": 0.6, "detect": 5.0, "track": 0.8, "render": 0.3, "encode h264 superfast": 2.0}
    known |= {"encode h264 ultrafast": 1.0, "encode vp8": 3.0}
    made = Costs()
    made.begin_with({stage: Cost(ms * scale * MS_640x480, 0.0) for stage, ms in known.items()})
    return made


def stream(**more: Any) -> dict[str, Any]:
    return {"fps": 30, "width": 640, "height": 480, "counts": {}, "drops": {}, **more}


def feed(name: str = "redacted", **more: Any) -> dict[str, Any]:
    return {"feed": name, "codec": "h264", "width": 640, "height": 480, "counts": {}, "drops": {}, **more}


def test_what_the_door_takes_is_read_from_its_process() -> None:
    program = "import time; print(flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as busy:
        try:
            assert busy.stdout is not None
            busy.stdout.readline()
            share = DoorShare(busy.pid)
            end_s, seen = time.monotonic() + 20, 0.0
            while seen < 0.05 and time.monotonic() < end_s:
                time.sleep(0.3)
                seen = share.read()
            assert 0.05 <= seen <= 1
        finally:
            busy.kill()


def test_a_door_that_cannot_be_seen_counts_as_nothing() -> None:
    assert DoorShare(2**30).read() == 0


def test_what_other_processes_take_of_the_cores_is_not_there_unless_they_give_way(tmp_path: Any) -> None:
    stat, own_s = tmp_path / "stat", 0.0
    count = len(os.sched_getaffinity(0))
    times = dict.fromkeys(("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"), 0)

    def later(**shares: float) -> float:
        """What is left after ten seconds of which all cores spent such shares so."""
        nonlocal own_s
        for _ in range(10):
            for name, share in shares.items():
                times[name] += round(100 * share)
            rows = (f"cpu{n} " + " ".join(map(str, times.values())) + " 0 0" for n in os.sched_getaffinity(0))
            stat.write_text("cpu 1 2 3\n" + "\n".join(rows) + "\nintr 5\n")
            own_s += 0.2 * count
            left = machine.read()
        return left / count

    stat.write_text("")
    machine = Machine(stat, lambda: own_s)
    assert later(user=0.2, idle=0.8) == pytest.approx(1, abs=0.05), "nobody but this process"
    assert later(user=0.5, system=0.1, idle=0.4) == pytest.approx(0.6, abs=0.05)
    assert later(user=0.5, system=0.1, steal=0.4) == pytest.approx(0.2, abs=0.05)
    assert later(user=0.2, nice=0.8) == pytest.approx(1, abs=0.05)
    assert Machine(tmp_path / "none").read() == count


def test_a_stream_s_share_is_what_its_stages_take_of_the_cores_or_of_the_one_detector() -> None:
    on_one = demand(stream(), [feed()], costs(), 1)
    assert on_one.shares[0] == pytest.approx(30 * (0.6 + 5.0 + 0.8 + 0.3 + 2.0) / 1000)
    on_many = demand(stream(), [feed()], costs(), 64)
    assert on_many.shares[0] == pytest.approx(30 * 5.0 / 1000)


def test_the_redacted_feed_costs_less_where_fewer_frames_are_detected_and_others_do_not() -> None:
    redacted, raw = (demand(stream(), [feed(name)], costs(), 1).shares for name in ("redacted", "raw"))
    assert redacted[2] == pytest.approx((30 * (0.6 + 0.8) + 10 * (5.0 + 0.3 + 2.0)) / 1000)
    assert raw[2] == pytest.approx((30 * (0.6 + 0.8 + 0.3 + 2.0) + 10 * 5.0) / 1000)


@given(st.lists(st.sampled_from(["redacted", "raw", "overlay", "fancam/1"]), max_size=4), st.integers(1, 60))
def test_no_rung_takes_more_than_the_one_above(feeds: list[str], fps: int) -> None:
    shares = demand(stream(fps=fps), [feed(name) for name in feeds], costs(), 2).shares
    assert len(shares) == len(RUNGS)
    assert all(above >= below for above, below in pairwise(shares))


@given(st.integers(0, 20), st.floats(0.1, 20))
def test_there_is_room_as_long_as_all_at_the_bottom_and_the_new_ones_stay_below_70_per_cent(
    n: int, scale: float
) -> None:
    known = costs(scale)
    demands = [demand(stream(), [feed()], known, 2)] * n
    lowest = demand(stream(), [feed()], known, 2).shares[LOWEST]
    more = room(demands, known, 2)
    if more > (0 if n else 1):
        assert (n + more) * lowest <= CALM_LOAD + 1e-9
    assert (n + more + 1) * lowest > CALM_LOAD - 1e-9
    assert more >= (0 if n else 1)


def test_without_figures_nobody_is_refused() -> None:
    assert room([], Costs(), 2) >= 1000


def test_misses_are_frames_late_or_let_go_of_the_stream_or_its_worst_feed() -> None:
    fine = feed(counts={"encoded": 30})
    bad = feed(counts={"encoded": 20, "late": 3}, drops={"encode_no_time": 6, "encode_late": 4, "unsafe": 5})
    known = costs()
    assert demand(stream(counts={"detected": 30}), [fine], known, 2).missed == 0
    assert demand(stream(counts={"detected": 30}), [fine, bad], known, 2).missed == pytest.approx(13 / 30)
    assert demand(stream(counts={"detected": 20}, drops={"detect_late": 20}), [], known, 2).missed == 0.5
    assert demand(stream(counts={"detected": 1}, drops={"detect_late": 1}), [], known, 2).missed == 0.1


def test_a_control_group_s_quota_counts(tmp_path: Any) -> None:
    usable = cores(tmp_path)
    assert usable >= 1
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert cores(tmp_path) == 0.5
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert cores(tmp_path) == usable
