"""What is counted and timed, in a Prometheus registry of our own."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

disable_created_metrics()  # a second series for each counter that nobody reads

SWAP_BUCKETS_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
FRAME_BUCKETS_S: Final = (0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.25, 0.5, 1.0)


class StageTimes(Collector):
    """Adds up the histograms that the studio reports each second: `fancam_stage_seconds`, by stream and stage."""

    def __init__(self) -> None:
        self._bounds_s: list[float] = []
        self._counts: dict[tuple[str, str], list[int]] = {}
        self._sums_s: dict[tuple[str, str], float] = defaultdict(float)

    def add(self, stream: str, buckets_ms: Iterable[float], stages: dict[str, Any]) -> None:
        self._bounds_s = [bound / 1000 for bound in buckets_ms]
        for stage, times in stages.items():
            key = stream, stage
            known = self._counts.get(key) or [0] * len(times["counts"])
            self._counts[key] = [a + b for a, b in zip(known, times["counts"], strict=True)]
            self._sums_s[key] += times["sum_ms"] / 1000

    def forget(self, stream: str) -> None:
        for key in [key for key in self._counts if key[0] == stream]:
            del self._counts[key], self._sums_s[key]

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(
            "fancam_stage_seconds",
            "Time a frame spent in each stage; total is arrival to encoded.",
            labels=["stream", "stage"],
        )
        for key, counts in sorted(self._counts.items()):
            buckets, below = [], 0
            for bound, count in zip([*map(str, self._bounds_s), "+Inf"], counts, strict=True):
                below += count
                buckets.append((bound, below))
            family.add_metric(key, buckets, self._sums_s[key])
        yield family


class Metrics:
    """All of the server's metrics. `Door.refresh_metrics` sets the gauges that nothing keeps up to date, when they are asked for."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.stages = StageTimes()
        registry.register(self.stages)
        self.frames = Counter(
            "fancam_frames",
            "Frames received, decoded, detected, encoded, and slates shown.",
            ["what"],
            registry=registry,
        )
        self.drops = Counter(
            "fancam_dropped_frames",
            "Frames dropped, by reason; slow_viewer and viewer_before_key once for each viewer.",
            ["reason"],
            registry=registry,
        )
        self.frame_seconds = Histogram(
            "fancam_frame_seconds",
            "A frame's arrival until it was handed to its viewers' senders, by kind of feed.",
            ["feed"],
            buckets=FRAME_BUCKETS_S,
            registry=registry,
        )
        self.swap_seconds = Histogram(
            "fancam_name_swap_seconds",
            "How long a member's name was doubted until it went from one track to another.",
            buckets=SWAP_BUCKETS_S,
            registry=registry,
        )
        self.detector = Counter(
            "fancam_detector_events", "Detector failed, hung, lost its check.", ["what"], registry=registry
        )
        self.offers = Counter(
            "fancam_offers", "WHIP and WHEP offers, by answer.", ["kind", "status"], registry=registry
        )
        self.link_bytes = Counter(
            "fancam_link_bytes", "Bytes between door and studio.", ["direction"], registry=registry
        )
        self.link_backlog = Gauge(
            "fancam_link_backlog_bytes", "Bytes waiting to be read by the studio.", registry=registry
        )
        self.rung = Gauge(
            "fancam_rung", "The rung that a stream is on: 0 is full, 5 the lowest.", ["stream"], registry=registry
        )
        self.load = Gauge(
            "fancam_load_ratio", "The share of the machine that the streams take, by measured costs.", registry=registry
        )
        self.room = Gauge(
            "fancam_room_streams", "More streams that there is room for on the lowest rung.", registry=registry
        )
        self.input_restarts = Counter(
            "fancam_input_restarts", "Times an input was started again.", ["stream"], registry=registry
        )
        self.studio_restarts = Counter("fancam_studio_restarts", "Studios lost and replaced.", registry=registry)
        self.studio_ready = Gauge("fancam_studio_ready", "1 while a warm studio serves.", registry=registry)
        self.runtime_meanwhile = Gauge(
            "fancam_runtime_meanwhile",
            "1 while another runtime than the one asked for serves, until a plan is built.",
            registry=registry,
        )
        self.studio_memory = Gauge("fancam_studio_resident_bytes", "The studio's memory.", registry=registry)
        self.streams = Gauge("fancam_streams", "Streams, by state.", ["state"], registry=registry)
        self.sessions = Gauge("fancam_sessions", "WebRTC sessions, by kind.", ["kind"], registry=registry)
        self.feeds = Gauge(
            "fancam_feeds",
            "Open feeds, also those whose last viewer has just gone, by kind and codec.",
            ["feed", "codec"],
            registry=registry,
        )
        self.listeners = Gauge("fancam_event_listeners", "Open /events connections.", registry=registry)

    def take_stats(self, stats: dict[str, Any]) -> None:
        """Add one STATS message of the studio."""
        names = {int(ident): entry["name"] for ident, entry in stats["streams"].items()}
        for entry in (*stats["streams"].values(), *stats["feeds"].values()):
            name = entry["name"] if "name" in entry else names.get(entry["stream"])
            if name is not None:
                self.stages.add(name, stats["buckets_ms"], entry["stages"])
            for reason, count in entry["drops"].items():
                self.drops.labels(reason).inc(count)
            for what, count in entry["counts"].items():
                if what != "bytes":
                    self.frames.labels(what).inc(count)
        for what, count in stats["detector"]["counts"].items():
            self.detector.labels(what).inc(count)
        for entry in stats["streams"].values():
            self.rung.labels(entry["name"]).set(entry["rung_number"])
            for seconds in entry["swaps_s"]:
                self.swap_seconds.observe(seconds)
        self.load.set(stats["load"])
        self.room.set(stats["room"])
        self.studio_memory.set(stats["rss_bytes"])

    def forget_stream(self, name: str) -> None:
        """What is told of streams by name is told only while they are there."""
        self.stages.forget(name)
        with contextlib.suppress(KeyError):
            self.rung.remove(name)

    def text(self) -> bytes:
        """The registry in Prometheus' text format."""
        return generate_latest(self.registry)


def kind_of_feed(name: str) -> str:
    """A feed's name without its number, so that the people seen do not each make a series."""
    return name.split("/")[0]
