"""What a stage costs: followed while it runs, not thrown by one bad moment, kept by machine and model."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from engines.detect.detector import open_detector
from server.studio.calibrate import known_or_measured
from server.studio.costs import DECODE, DETECT, RENDER, TRACK, Cost, Costs, Stopwatch, keep, load

FIGURES = st.floats(0.01, 1000)


@given(FIGURES, FIGURES)
def test_a_figure_follows_what_is_measured_up_and_down(before, after):
    cost = Cost(before, before)
    for _ in range(200):
        cost = cost.follow(after, after)
    assert abs(cost.cpu - after) <= 0.05 * max(before, after)
    assert abs(cost.wall - after) <= 0.05 * max(before, after)


@given(FIGURES, st.floats(1, 1e9))
def test_one_bad_moment_moves_it_by_an_eighth_at_most(before, spike):
    cost = Cost(before, before).follow(before * spike, before * spike)
    assert cost.wall <= before * 1.126
    assert cost.wall + 2 * cost.spread <= before * 1.4


def test_the_clock_is_what_a_stage_waited_for_and_cpu_time_what_it_did():
    costs = Costs()
    assert costs.wall_ns(DETECT, 100) == 0, "nothing is known yet"
    watch = Stopwatch()
    time.sleep(0.05)
    costs.note(DETECT, 1000, watch)
    assert costs.wall_ns(DETECT, 1000) >= 50e6
    assert costs.cpu_ns(DETECT, 1000) < 25e6
    assert costs.wall_ns(DETECT, 2000) == 2 * costs.wall_ns(DETECT, 1000)


def test_every_stage_is_measured_and_kept_for_this_machine_and_model(tmp_path, monkeypatch):
    detector = open_detector()
    costs = known_or_measured(detector, tmp_path)
    assert {DECODE, DETECT, TRACK, RENDER, "encode h264 superfast", "encode h264 ultrafast", "encode vp8"} == set(costs)
    assert all(0 < cost.cpu <= 1.5 * cost.wall for cost in costs.values())
    assert costs["encode h264 superfast"].cpu > costs["encode h264 ultrafast"].cpu
    assert costs[DETECT].cpu > costs[RENDER].cpu
    monkeypatch.setattr("server.studio.calibrate.measure", lambda detector, seconds: {})
    again = known_or_measured(detector, tmp_path)
    assert {stage: (cost.cpu, cost.wall) for stage, cost in again.items()} == {
        stage: (cost.cpu, cost.wall) for stage, cost in costs.items()
    }
    detector.long_side = 320
    assert known_or_measured(detector, tmp_path) == {}, "another model, or the same one otherwise"
    detector.long_side = 640
    assert known_or_measured(detector, tmp_path)
    detector.model = tmp_path / detector.model.name
    detector.model.write_bytes(b"another network under the same name")
    assert known_or_measured(detector, tmp_path) == {}


def test_a_broken_file_is_no_file_and_a_folder_that_cannot_be_written_ends_nothing(tmp_path):
    keep({"cpu": "a"}, {DETECT: Cost(1.5, 2.5)}, tmp_path)
    assert load({"cpu": "a"}, tmp_path) == {DETECT: Cost(1.5, 2.5)}
    assert load({"cpu": "b"}, tmp_path) is None
    (file,) = tmp_path.iterdir()
    for broken in ("", "[]", '{"costs": {"detect": 3}}', '{"costs": {"detect": ["x", 1]}}'):
        file.write_text(broken)
        assert load({"cpu": "a"}, tmp_path) is None
    keep({"cpu": "a"}, {DETECT: Cost(1.5, 2.5)}, file)
    assert load({"cpu": "a"}, file) is None
