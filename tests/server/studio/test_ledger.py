"""Where a frame's milliseconds went: the stages sum to the total, and what one stage takes is seen in that stage alone."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.codecs.decode import VideoDecoder
from engines.codecs.encode import Encoder
from engines.frame import STAGES, Ledger
from engines.pipeline import Pipeline, RedactedFeed
from server.link import NO_FLAGS, Flag, Kind

SLEEP_MS = 100
STAMPS = st.lists(st.integers(1, 1 << 40), min_size=len(STAGES), max_size=len(STAGES)).map(sorted)


@given(STAMPS, st.sets(st.sampled_from(STAGES)))
def test_the_stages_sum_to_the_time_between_the_first_and_the_last_stamp(stamps, missing):
    passed = {stage: stamp for stage, stamp in zip(STAGES, stamps, strict=True) if stage not in missing}
    stages = Ledger(**passed).stages_ms()
    kept = list(passed.values())
    total_ms = (kept[-1] - kept[0]) / 1e6 if kept else 0
    assert sum(stages.values()) == pytest.approx(total_ms, abs=1e-6)
    assert all(ms >= 0 for ms in stages.values())


def sleepy(function):
    def slow(*args, **kwargs):
        time.sleep(SLEEP_MS / 1000)
        return function(*args, **kwargs)

    return slow


PLACES = {
    "decoded": (VideoDecoder, "decode"),
    "tracked": (Pipeline, "track"),
    "rendered": (RedactedFeed, "render"),
    "encoded": (Encoder, "encode"),
}


@pytest.mark.parametrize("stage", [*PLACES, "detected"])
def test_a_sleep_in_one_stage_is_seen_there_and_nowhere_else(bench, monkeypatch, stage):
    fault = (lambda: time.sleep(SLEEP_MS / 1000)) if stage == "detected" else lambda: None
    door = bench.start(lambda: bench.detector(fault=fault))
    if stage in PLACES:
        owner, name = PLACES[stage]
        monkeypatch.setattr(owner, name, sleepy(getattr(owner, name)))
    door.open_stream(1)
    door.open_feed(10)
    until = time.monotonic() + 20
    for data, key in itertools.cycle(bench.clip.units):
        if len(door.seen(Kind.META, 1)) >= 12 or time.monotonic() > until:
            break
        now_ns = time.monotonic_ns()
        flags = Flag.KEY if key else NO_FLAGS
        door.send(Kind.ACCESS_UNIT, 1, body=data, flags=flags, rtp_time=now_ns * 9 // 100_000, arrival_ns=now_ns)
        time.sleep(0.2)  # so that none waits for the one before
    ledgers = [m.json()["l"] for m in door.wait(Kind.META, 1, count=12)]
    # What the machine does besides shows in some of the frames: the quicker half tells.
    typical = {name: float(np.percentile([one.get(name, 0) for one in ledgers], 30)) for name in STAGES}
    assert typical.pop(stage) >= SLEEP_MS
    assert max(typical.values()) < SLEEP_MS / 2, typical
