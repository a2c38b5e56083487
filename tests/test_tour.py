"""The whole way of a frame, in order: start here.

A scene is drawn, encoded as a publisher would, decoded, searched for faces, tracked, covered, encoded again, and decoded as a
viewer would. Live, the same happens in `server/studio`; over a file, in `engines/offline.py`.
"""

from __future__ import annotations

import numpy as np
import pytest

from engines.codecs.decode import VideoDecoder
from engines.codecs.encode import Encoder
from engines.detect.detector import open_detector
from engines.frame import RTP_CLOCK_HZ, Detections, Frame, Picture, RedactedFrame
from engines.pipeline import Pipeline, make_feed
from engines.render.redact import Unsafe
from engines.scene.demo import demo_scene
from engines.scene.truth import Face

WIDTH, HEIGHT, FPS = 640, 480, 30


def test_the_way_of_a_frame() -> None:
    scene = demo_scene(WIDTH, HEIGHT)
    publisher, studio_decoder = Encoder("h264", WIDTH, HEIGHT), VideoDecoder("h264")
    pipeline = Pipeline(open_detector())
    redacted = make_feed("redacted", WIDTH, HEIGHT)
    feed_encoder, viewer = Encoder("h264", WIDTH, HEIGHT), VideoDecoder("h264")

    for number in range(12):
        # The publisher draws a picture, knows where its faces are, and encodes it.
        planes, faces = scene.render(number / FPS)
        sent = publisher.encode(picture_of(planes).video_frame, number * RTP_CLOCK_HZ // FPS, key=number == 0)[0]

        # The studio decodes it: planes Y, U and V, nothing is ever converted to RGB ...
        (frame,) = studio_decoder.decode(sent.data, sent.pts_90k, arrival_ns=0)
        # ... finds and tracks the faces ...
        analysed = pipeline.analyse(frame)
        assert analysed.detections.belong_to(frame)
        # ... and covers them, in a picture of its own, which only the redactor can make.
        safe = redacted.render(analysed)
        assert isinstance(safe, RedactedFrame)
        out = feed_encoder.encode(safe.picture.video_frame, safe.rtp_time, key=number == 0)[0]
        redacted.release(safe)

        # A viewer decodes what came out: the same moment, the same scene, and no face.
        (shown,) = viewer.decode(out.data, out.pts_90k, arrival_ns=0)
        assert shown.rtp_time == frame.rtp_time
        clear = [face for face in faces if not face.ignore and face.visible > 0.6]
        assert clear
        for face in clear:
            assert covered(frame, shown, face), f"frame {number}, person {face.id}"
        assert np.abs(shown.y[-40:].astype(int) - frame.y[-40:]).mean() < 12, "what is no face is left alone"

    # By now the people have ids that last, and each can have a camera of their own.
    people = analysed.tracks.ids[analysed.tracks.confirmed]
    assert len(people) >= 3
    fancam = make_feed(f"fancam/{people[0]}", WIDTH, HEIGHT)
    picture = fancam.render(analysed)
    assert isinstance(picture, Picture)
    assert (picture.width, picture.height) == fancam.size == (270, 480)


def test_a_frame_that_was_not_analysed_is_not_shown() -> None:
    planes, _ = demo_scene(WIDTH, HEIGHT).render(0)
    frame = Frame.from_video_frame(picture_of(planes).video_frame, rtp_time=0, arrival_ns=0)
    analysed = Pipeline().track(frame, Detections.none_for(frame, complete=False))
    redacted = make_feed("redacted", WIDTH, HEIGHT)
    with pytest.raises(Unsafe, match="not analysed"):
        redacted.render(analysed)


def picture_of(planes: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Picture:
    picture = Picture(WIDTH, HEIGHT)
    picture.y[:], picture.u[:], picture.v[:] = planes
    return picture


def covered(source: Frame, shown: Frame, face: Face) -> bool:
    """Whether the inner half of a face is flat in `shown`, though it is not in `source`."""
    x0, y0, x1, y1 = face.xyxy_px
    inner = np.s_[
        int(y0 * 0.75 + y1 * 0.25) : int(y0 * 0.25 + y1 * 0.75), int(x0 * 0.75 + x1 * 0.25) : int(x0 * 0.25 + x1 * 0.75)
    ]
    return float(shown.y[inner].std()) < 6 < float(source.y[inner].std())
