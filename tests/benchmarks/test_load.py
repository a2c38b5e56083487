"""A short run over real connections, and what the table makes of its figures."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.load import _draw, largest, measure, row


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_two_streams_are_published_watched_and_measured(tmp_path: Path) -> None:
    video = tmp_path / "scene.mp4"
    _draw(video, 320, 240, 30)
    run = measure(video, 2, "320x240", 30, 8)
    assert (run["streams"], run["size"], len(run["per_stream"])) == (2, "320x240", 2)
    for stream in run["per_stream"]:
        assert stream["fps"] > 5
        assert 0 < stream["p50_ms"] <= stream["p95_ms"] <= stream["p99_ms"]
        assert stream["p50_ms"] == pytest.approx(
            sum(ms for stage, ms in stream["stages_p50_ms"].items() if stage not in ("arrived", "total")), rel=0.5
        )
        assert sum(stream["rungs_s"].values()) >= 6
    assert run["cpu_ms_per_frame"] > 0
    assert run["clients_cpu_ms_per_frame"] > 0
    assert run["rss_mb"] > 100
    assert run["first_picture_ms"]


def run(streams: int, holds: bool, **more: Any) -> dict[str, Any]:
    one = {"fps": 28.5, "fancams_fps": [30.0, 12.0], "p50_ms": 9.0, "p95_ms": 15.0, "p99_ms": 31.0, "misses": 3}
    one |= {"rungs_s": dict(Counter({"full": 20, "smaller network input": 5})), **more}
    return {
        "streams": streams, "per_stream": [one] * streams, "cpu_ms_per_frame": 11.0, "clients_cpu_ms_per_frame": 4.0,
        "rss_mb": 300.0, "first_picture_ms": [90, 110, 400], "holds": holds,
    }  # fmt: skip


def test_the_table_tells_the_worst_stream_and_all_misses() -> None:
    words = row(run(4, True)).split()
    assert words[:7] == ["4", "28.5", "12.0", "9.0", "15.0", "31.0", "12"]
    assert "110" in words
    assert row(run(1, True)).endswith("full, smaller network input")


def test_the_largest_number_is_that_of_the_runs_that_held() -> None:
    assert largest([run(1, True), run(2, True), run(3, False)]) == 2
    assert largest([run(1, False)]) == 0
