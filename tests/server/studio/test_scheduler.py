"""The laws of the scheduler, whatever the order of events."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from server.studio.scheduler import Scheduler

STREAMS = st.integers(0, 4)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("offer"), STREAMS), st.tuples(st.just("pick"), st.none()), st.tuples(st.just("done"), STREAMS)
    ),
    max_size=80,
)


@given(EVENTS)
def test_only_the_newest_frame_of_a_stream_is_served_in_order_and_none_gets_lost(events):
    scheduler: Scheduler[int] = Scheduler()
    newest: dict[int, int] = {}
    busy: set[int] = set()
    offered = dropped = picked = 0
    served: dict[int, list[int]] = {}
    for now, (event, stream) in enumerate(events):
        if event == "offer":
            offered += 1
            dropped += scheduler.offer(stream, now) is not None
            newest[stream] = now
        elif event == "done":
            scheduler.done(stream)
            busy.discard(stream)
        else:
            choice = scheduler.pick(now)
            free = newest.keys() - busy
            assert (choice is None) == (not free)
            if choice is not None:
                taken, frame = choice
                assert taken in free
                assert frame == newest.pop(taken)
                busy.add(taken)
                served.setdefault(taken, []).append(frame)
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
            scheduler.offer(stream, now)
        if len(at_work) == workers:
            scheduler.done(at_work.pop(0))
        choice = scheduler.pick(now)
        if choice is not None:
            at_work.append(choice[0])
            served[choice[0]] += 1
    counts = [served[stream] for stream in range(streams)]
    assert max(counts) - min(counts) <= 1


def test_a_stream_that_ended_leaves_nothing_behind():
    scheduler: Scheduler[str] = Scheduler()
    scheduler.offer(1, "a")
    assert scheduler.pick(0) == (1, "a")
    scheduler.offer(1, "b")
    assert scheduler.forget(1) == "b"
    scheduler.offer(1, "c")
    assert scheduler.pick(1) == (1, "c")
