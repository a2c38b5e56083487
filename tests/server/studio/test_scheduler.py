"""The laws of the scheduler, whatever the order of events, and what it makes of an engine that has too much to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.studio.scheduler import TRY_NS, Scheduler, Waiting, choose

ROOT = Path(__file__).parents[3]
YARDSTICK = ROOT.parent / "shared" / "prototypes" / "faults" / "sched.py"
NEVER = 1 << 62
STREAMS = st.integers(0, 4)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("offer"), STREAMS), st.tuples(st.just("pick"), st.none()), st.tuples(st.just("done"), STREAMS)
    ),
    max_size=80,
)


@given(EVENTS, st.integers(1, 3))
def test_only_the_newest_frame_of_a_stream_is_served_in_order_and_none_gets_lost(events, most):
    scheduler: Scheduler[int] = Scheduler(most=most)
    newest: dict[int, int] = {}
    busy: set[int] = set()
    offered = dropped = picked = 0
    served: dict[int, list[int]] = {}
    for now, (event, stream) in enumerate(events):
        if event == "offer":
            offered += 1
            dropped += scheduler.offer(stream, now, NEVER) is not None
            newest[stream] = now
        elif event == "done":
            scheduler.done(stream)
            busy.discard(stream)
        else:
            choice = scheduler.pick(now)
            assert not choice.hopeless
            assert len(choice.batch) == min(most, len(newest.keys() - busy))
            for taken in choice.batch:
                assert taken.stream not in busy
                assert taken.frame == newest.pop(taken.stream)
                busy.add(taken.stream)
                served.setdefault(taken.stream, []).append(taken.frame)
                picked += 1
    assert offered == dropped + picked + len(scheduler)
    assert all(frames == sorted(frames) for frames in served.values())


@given(st.integers(2, 6), st.integers(1, 3), st.integers(20, 60))
def test_streams_that_always_have_a_frame_are_served_in_turn(streams, workers, rounds):
    scheduler: Scheduler[int] = Scheduler()
    served: Counter[int] = Counter()
    at_work: list[int] = []
    for now in range(rounds):
        for stream in range(streams):
            scheduler.offer(stream, now, NEVER)
        if len(at_work) == workers:
            scheduler.done(at_work.pop(0))
        for taken in scheduler.pick(now).batch:
            at_work.append(taken.stream)
            served[taken.stream] += 1
    counts = [served[stream] for stream in range(streams)]
    assert max(counts) - min(counts) <= 1


MS = 1_000_000
WAITING = st.lists(st.tuples(st.integers(-50, 200), st.integers(0, 400)), max_size=9)


@given(WAITING, st.integers(0, 40), st.integers(1, 20), st.integers(1, 6))
def test_a_batch_keeps_the_deadline_of_every_frame_in_it(frames, base, per, most):
    """`frames`: when a frame's deadline is and how long ago its stream was served, ms."""
    now_ns = 1_000 * MS

    def latency_ns(batch):
        return (base + per * len(batch)) * MS

    waiting = [Waiting(stream, now_ns + left * MS, stream) for stream, (left, _) in enumerate(frames)]
    served_ns = {stream: now_ns - ago * MS for stream, (_, ago) in enumerate(frames)}
    choice = choose(waiting, now_ns, latency_ns, served_ns, most)
    ready_ns = now_ns + latency_ns(choice.batch)
    starved = {w.stream for w in waiting if now_ns - served_ns[w.stream] >= TRY_NS}
    late = [w for w in choice.batch if w.deadline_ns < ready_ns]
    assert not late or (len(choice.batch) == 1 and late[0].stream in starved)
    assert len(choice.batch) <= most
    alone_ns = now_ns + latency_ns([0])
    assert all(w.deadline_ns < alone_ns and w.stream not in starved for w in choice.hopeless)
    possible = [w for w in waiting if w.deadline_ns >= alone_ns]
    assert bool(choice.batch) >= bool(possible), "the engine stands idle though a frame can be in time"
    if choice.batch and not late:
        first = min(possible, key=lambda w: served_ns[w.stream])
        assert served_ns[choice.batch[0].stream] == served_ns[first.stream], "not the least recently served"


def test_a_stream_for_which_there_is_never_time_gets_a_late_frame_now_and_then():
    scheduler: Scheduler[int] = Scheduler(lambda frames: 120 * MS)
    served = []
    for now in range(0, 3000, 33):
        scheduler.offer(1, now, (now + 100) * MS)
        served += [w.frame for w in scheduler.pick(now * MS).batch]
        scheduler.done(1)
    assert 10 <= len(served) <= 12


def test_a_stream_that_ended_leaves_nothing_behind():
    scheduler: Scheduler[str] = Scheduler()
    scheduler.offer(1, "a", NEVER)
    assert [w.frame for w in scheduler.pick(0).batch] == ["a"]
    scheduler.offer(1, "b", NEVER)
    assert scheduler.forget(1) == "b"
    scheduler.offer(1, "c", NEVER)
    assert [w.frame for w in scheduler.pick(1).batch] == ["c"]


@pytest.mark.parametrize("load", [1.5, 2, 4])
def test_past_its_capacity_the_engine_stays_busy_with_frames_in_time_and_is_fair(load):
    """30 fps streams, 100 ms a frame, b frames together take 8 + 5b ms: at most 8 of them fit twice into 100 ms, 167/s."""
    capacity, seconds = 8 / 0.048, 20
    streams = round(load * capacity / 30)
    phases_ms = np.random.default_rng(3).uniform(0, 33, streams)
    arrivals = sorted(
        (float(phase + k * 1000 / 30), s) for s, phase in enumerate(phases_ms) for k in range(30 * seconds)
    )
    scheduler: Scheduler[float] = Scheduler(lambda frames: (8 + 5 * len(frames)) * MS, most=100)
    now_ms, late, served = 0.0, 0, Counter[int]()
    while arrivals:
        now_ms = max(now_ms, arrivals[0][0])
        while arrivals and arrivals[0][0] <= now_ms:
            at_ms, stream = arrivals.pop(0)
            scheduler.offer(stream, at_ms, round((at_ms + 100) * MS))
        batch = scheduler.pick(round(now_ms * MS)).batch
        now_ms += 8 + 5 * len(batch)
        for taken in batch:
            scheduler.done(taken.stream)
            late += now_ms > taken.frame + 100
            served[taken.stream] += now_ms <= taken.frame + 100
    counts = [served[stream] for stream in range(streams)]
    assert sum(counts) / seconds >= 0.95 * capacity
    assert late <= 0.01 * sum(counts)
    assert min(counts) >= 0.8 * np.mean(counts)


@pytest.mark.skipif(not YARDSTICK.is_file(), reason="the yardstick's simulation is not here")
def test_the_yardstick_agrees():
    policy = Path(__file__).with_name("yardstick.py")
    command = [sys.executable, YARDSTICK, "--json", "--loads", "1.5,2,4", "--seconds", "20", "--noise", ".05"]
    told = subprocess.run(
        [*command, "--policy", f"{policy}:studio"],
        check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=120,
    )  # fmt: skip
    rows = [row for row in json.loads(told.stdout)["rows"] if row["policy"] == "studio"]
    assert len(rows) == 3
    assert all(row["meets_aims"] for row in rows), rows


@pytest.mark.parametrize(("ready", "together"), [(1, 1), (2, 1), (3, 1), (5, 5), (8, 8), (9, 8), (40, 32)])
def test_as_many_go_together_as_are_done_fastest_by_what_was_measured(ready, together):
    """An engine built for 1, 8 and 32: fewer take as long as the next of these, and 1 takes a quarter of 8."""

    def latency_ns(frames):
        return {1: 1, 8: 4, 32: 12}[next(size for size in (1, 8, 32) if len(frames) <= size)] * MS

    waiting = [Waiting(stream, 1_000 * MS, stream) for stream in range(ready)]
    assert len(choose(waiting, 0, latency_ns, {}, 32).batch) == together
