"""The way of a frame through Fancam, from a drawn scene to what a viewer sees: read this first.

    draw → encode → decode → detect → track → redact → encode → decode
                                           ↘ fancam

Each step is one object of `engines`; the server is these steps with sockets around them, `fancam process` with files.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from engines.codecs.decode import VideoDecoder
from engines.codecs.encode import Encoder
from engines.detect.detector import open_detector
from engines.frame import RTP_CLOCK_HZ, Detections, Frame, Picture
from engines.pipeline import FancamFeed, Pipeline, RedactedFeed
from engines.render.redact import Unsafe
from engines.scene.demo import demo_scene
from engines.scene.truth import Face

FPS, FRAMES = 15, 45
TICKS = RTP_CLOCK_HZ // FPS
SETTLED = 10
"""Live, a face that the network finds late is covered late; after these frames nobody is new."""


@dataclass
class Tour:
    """What was there at each step, one item a frame."""

    drawn: list[Frame] = field(default_factory=list)
    faces: list[list[Face]] = field(default_factory=list)
    detections: list[Detections] = field(default_factory=list)
    ids: list[list[int]] = field(default_factory=list)
    seen_by_viewer: list[Frame] = field(default_factory=list)
    fancam: list[np.ndarray] = field(default_factory=list)


@pytest.fixture(scope="module")
def tour() -> Tour:
    scene, seen = demo_scene(), Tour()

    # A publisher encodes what a camera sees. No B-frames, no delay: one picture in, one access unit out.
    camera = Encoder("h264", scene.width, scene.height, fps=FPS, bit_rate=4_000_000)
    units = []
    for number in range(FRAMES):
        picture = Picture(scene.width, scene.height)
        planes, faces = scene.render(number / FPS)
        picture.y[:], picture.u[:], picture.v[:] = planes
        seen.faces.append(faces)
        units += camera.encode(picture.video_frame, number * TICKS, key=number == 0)

    # The server decodes each access unit to YUV planes: nothing on the way ever turns them into RGB.
    decoder = VideoDecoder("h264")
    # It finds the faces in every frame, and follows them from one to the next.
    pipeline = Pipeline(open_detector())
    # From that it renders feeds: everyone covered, or one virtual camera on one person.
    redacted, fancam = RedactedFeed((scene.width, scene.height)), None
    # Each feed is encoded once for all its viewers, in the codec they take.
    encoder, viewer = Encoder("vp8", scene.width, scene.height, fps=FPS), VideoDecoder("vp8")

    for unit in units:
        (frame,) = decoder.decode(unit.data, unit.pts_90k, arrival_ns=0)
        analysed = pipeline.analyse(frame)
        tracks = analysed.tracks
        seen.drawn.append(frame)
        seen.detections.append(analysed.detections)
        seen.ids.append(tracks.ids[tracks.confirmed].tolist())

        covered = redacted.render(analysed)
        for out in encoder.encode(covered.picture.video_frame, frame.rtp_time, key=not seen.seen_by_viewer):
            seen.seen_by_viewer += viewer.decode(out.data, out.pts_90k, arrival_ns=0)
        redacted.release(covered)

        if fancam is None and tracks.confirmed.any():
            fancam = FancamFeed(int(tracks.ids[tracks.confirmed][0]), (180, 320))
        if fancam is not None and (close_up := fancam.render(analysed)) is not None:
            seen.fancam.append(close_up.y.copy())
            fancam.release(close_up)
    return seen


def test_every_picture_that_went_in_came_out_in_its_place(tour: Tour) -> None:
    assert [frame.rtp_time for frame in tour.drawn] == [number * TICKS for number in range(FRAMES)]
    assert [frame.rtp_time for frame in tour.seen_by_viewer] == [number * TICKS for number in range(FRAMES)]


def test_the_network_found_the_drawn_faces(tour: Tour) -> None:
    found = there = 0
    for faces, detections in zip(tour.faces, tour.detections, strict=True):
        for face in faces:
            if face.ignore:  # in profile, hidden, or smaller than a face can be known by
                continue
            x0, y0, x1, y1 = face.xyxy_px
            centres = (detections.boxes[:, :2] + detections.boxes[:, 2:]) / 2
            inside = (centres > (x0, y0)).all(1) & (centres < (x1, y1)).all(1)
            there += 1
            found += bool(inside.any())
    assert found >= 0.95 * there


def test_people_were_followed_under_one_name_each(tour: Tour) -> None:
    # Someone confirmed keeps the number for as long as they are seen, so that few numbers serve everybody.
    performers = {face.id for faces in tour.faces for face in faces if not face.ignore}
    assert len(performers) >= 4
    numbers = {number for ids in tour.ids for number in ids}
    assert len(performers) <= len(numbers) <= len(performers) + 2
    kept = set(tour.ids[SETTLED]) & set(tour.ids[-1])
    assert len(kept) >= len(performers) - 1


def test_the_viewer_can_recognise_nobody(tour: Tour) -> None:
    covered = there = 0
    everything = zip(tour.drawn[SETTLED:], tour.seen_by_viewer[SETTLED:], tour.faces[SETTLED:], strict=True)
    for before, after, faces in everything:
        for face in faces:
            if face.ignore:
                continue
            x0, y0, x1, y1 = (round(side) for side in face.xyxy_px)
            was, now = before.y[y0:y1, x0:x1], after.y[y0:y1, x0:x1]
            there += 1
            # Under a cover the picture is flat: what made the face itself is gone.
            covered += now.std() < 0.5 * was.std()
    assert there > 100
    assert covered >= 0.97 * there


def test_the_rest_of_the_picture_is_still_there(tour: Tour) -> None:
    before, after = tour.drawn[-1], tour.seen_by_viewer[-1]
    changed = np.abs(before.y.astype(int) - after.y) > 40
    assert changed.mean() < 0.25


def test_the_fancam_kept_its_person_in_the_picture(tour: Tour) -> None:
    detector = open_detector(conf=0.5)
    assert len(tour.fancam) >= FRAMES - SETTLED
    faces = 0
    for y in tour.fancam[::5]:
        grey = np.full((y.shape[0] // 2, y.shape[1] // 2), 128, np.uint8)
        faces += len(detector.detect([Frame(y, grey, grey, 0, 0)])[0]) > 0
    assert faces >= 0.8 * len(tour.fancam[::5])


def test_a_frame_that_was_not_looked_at_is_never_shown(tour: Tour) -> None:
    # The rule everything else serves: without the detections of this very frame there is no redacted picture of it.
    frame, other = tour.drawn[5], tour.detections[4]
    pipeline, feed = Pipeline(), RedactedFeed((frame.width, frame.height))
    with pytest.raises(Unsafe):
        feed.render(pipeline.track(frame, other))
