from __future__ import annotations

import json
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from server.metrics import Metrics

GOLDEN = Path(__file__).parents[1] / "golden" / "metric_names.json"


def stats(**stages: list[int]) -> dict[str, object]:
    """A STATS body with buckets up to 1, 10 and 100 ms."""
    times = {stage: {"counts": counts, "sum_ms": 12.5} for stage, counts in stages.items()}
    stream = {
        "name": "stage", "rung_number": 2, "swaps_s": [0.7], "counts": {"decoded": 3}, "drops": {"detect_late": 2}, "stages": times,
    }  # fmt: skip
    feed = {"stream": 1, "counts": {"encoded": 2, "bytes": 5000}, "drops": {}, "stages": {}}
    return {
        "rss_bytes": 1 << 20, "buckets_ms": [1, 10, 100], "detector": {"counts": {"hung": 1}},
        "streams": {"1": stream}, "feeds": {"2": feed}, "load": 0.25, "room": 3,
    }  # fmt: skip


def values(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    families = text_string_to_metric_families(metrics.text().decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(metrics: Metrics, name: str, **labels: str) -> float:
    if name.startswith("fancam_stage"):
        labels["stream"] = "stage"
    return values(metrics)[name, frozenset(labels.items())]


def test_the_metrics_are_the_known_ones() -> None:
    names = sorted(family.name for family in text_string_to_metric_families(Metrics().text().decode()))
    assert names == json.loads(GOLDEN.read_text())


def test_the_studio_s_reports_add_up() -> None:
    metrics = Metrics()
    metrics.take_stats(stats(detected=[0, 3, 1, 0]))
    metrics.take_stats(stats(detected=[1, 0, 0, 2], decoded=[4, 0, 0, 0]))
    assert value(metrics, "fancam_stage_seconds_bucket", stage="detected", le="0.001") == 1
    assert value(metrics, "fancam_stage_seconds_bucket", stage="detected", le="0.01") == 4
    assert value(metrics, "fancam_stage_seconds_bucket", stage="detected", le="+Inf") == 7
    assert value(metrics, "fancam_name_swap_seconds_count") == 2
    assert value(metrics, "fancam_name_swap_seconds_bucket", le="0.5") == 0
    assert value(metrics, "fancam_stage_seconds_count", stage="detected") == 7
    assert value(metrics, "fancam_stage_seconds_sum", stage="detected") == pytest.approx(0.025)
    assert value(metrics, "fancam_stage_seconds_count", stage="decoded") == 4
    assert value(metrics, "fancam_dropped_frames_total", reason="detect_late") == 4
    assert value(metrics, "fancam_frames_total", what="decoded") == 6
    assert value(metrics, "fancam_frames_total", what="encoded") == 4
    assert value(metrics, "fancam_detector_events_total", what="hung") == 2
    assert value(metrics, "fancam_studio_resident_bytes") == 1 << 20
    assert value(metrics, "fancam_rung", stream="stage") == 2
    assert value(metrics, "fancam_load_ratio") == 0.25
    assert value(metrics, "fancam_room_streams") == 3


def test_nothing_is_told_by_name_of_a_stream_that_has_gone() -> None:
    metrics = Metrics()
    metrics.take_stats(stats(detected=[0, 3, 1, 0]))
    assert "stage" in {labels.get("stream") for labels in map(dict, (key[1] for key in values(metrics)))}
    metrics.forget_stream("stage")
    metrics.forget_stream("never there")
    assert not {labels.get("stream") for labels in map(dict, (key[1] for key in values(metrics)))} - {None}
