"""Once a stream runs, its frames are worked on in memory that is there: no stage makes a picture of its own."""

from __future__ import annotations

import tracemalloc
from collections import Counter

from benchmarks.rig import HEIGHT, TICKS, WIDTH
from engines.codecs.decode import VideoDecoder
from engines.codecs.encode import Encoder
from engines.detect.detector import open_detector
from engines.frame import Ledger
from engines.pipeline import Pipeline, make_feed

FEEDS = ("redacted", "overlay", "raw", "fancam/1")
SETTLE, FRAMES = 20, 40
LEAST_PICTURE_BYTES = WIDTH * HEIGHT // 2
"""Less than any feed's picture takes, and than the network's maps (1.2 bytes a pixel)."""


def test_no_stage_of_a_running_stream_makes_a_new_picture(clip):
    decoder, detector, pipeline = VideoDecoder("h264"), open_detector(), Pipeline()
    feeds = [make_feed(name, WIDTH, HEIGHT, delay=2) for name in FEEDS]
    encoders = {feed.name: Encoder("h264", *feed.size) for feed in feeds}
    most: Counter[str] = Counter()
    shown: Counter[str] = Counter()

    def stage(name, work, *inputs):
        if not tracemalloc.is_tracing():
            return work(*inputs)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        result = work(*inputs)
        most[name] = max(most[name], tracemalloc.get_traced_memory()[1] - before)
        return result

    try:
        for number in range(FRAMES):
            if number == SETTLE:
                tracemalloc.start()
            data, _ = clip.units[number % len(clip.units)]
            for frame in stage("decode", decoder.decode, data, number * TICKS, 0, Ledger()):
                (found,) = stage("detect", detector.detect, [frame])
                analysed = stage("track", pipeline.track, frame, found)
                for feed in feeds:
                    result = stage(f"render {feed.name}", feed.render, analysed)
                    if result is None:
                        continue
                    picture = getattr(result, "picture", result)
                    stage(f"encode {feed.name}", encoders[feed.name].encode, picture.video_frame, number * TICKS, False)
                    feed.release(result)
                    shown[feed.name] += 1
    finally:
        tracemalloc.stop()
    assert min(shown[name] for name in FEEDS) > SETTLE, "all feeds had something to do"
    assert most
    assert {name: size for name, size in most.items() if size >= LEAST_PICTURE_BYTES} == {}
