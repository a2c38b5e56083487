"""Fifty sessions opened and closed leave no thread, no file descriptor and no stream behind."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.plot import save_plot
from benchmarks.proc import Sample, summary
from benchmarks.soak import count_sessions


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_sessions_leave_nothing_behind() -> None:
    figures = count_sessions(50)
    before, after = figures["before"], figures["after"]
    assert figures["failed"] == {}
    assert after["streams"] == before["streams"] == 1
    for process in ("door", "studio"):
        assert after[f"{process}_fds"] <= before[f"{process}_fds"] + 2  # a socket that is just being closed
        assert (
            after[f"{process}_threads"] <= before[f"{process}_threads"] + 2
        )  # the event loop's pool, which has its bound
        assert after[f"{process}_rss_mb"] < before[f"{process}_rss_mb"] + 40


def samples(mb_a_minute: float) -> list[Sample]:
    return [Sample(float(s), 1, 100 + mb_a_minute * s / 60, 4, 20 + s % 2, 250.0, 12, 7) for s in range(600)]


def test_a_slope_is_told_by_the_hour() -> None:
    found = summary(samples(1.0), "door")
    assert found["rss_mb"]["slope_per_hour"] == pytest.approx(60, abs=0.1)
    assert found["rss_mb"]["end"] - found["rss_mb"]["start"] == pytest.approx(9, abs=0.2)
    assert found["threads"] == {"start": 4, "end": 4, "max": 4, "slope_per_hour": 0}


def test_the_plot_shows_the_slope(tmp_path: Path) -> None:
    pictures = []
    for slope in (0.0, 20.0):
        save_plot(tmp_path / "plot.png", samples(slope), 60)
        pictures.append(cv2.imread(str(tmp_path / "plot.png")))
    flat, steep = pictures
    panel = flat.shape[0] // 3
    assert not np.array_equal(flat[:panel], steep[:panel])
    assert np.array_equal(flat[panel:], steep[panel:])
