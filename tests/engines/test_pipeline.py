"""A frame's way through the engines: analysed once, shown by every feed, each in its own way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from engines.frame import Detections, Frame, Picture, RedactedFrame, Tracks
from engines.pipeline import WARY_FRAMES, Analysed, Due, FancamFeed, Pipeline, make_feed
from engines.render.followed import Place
from engines.render.redact import SOLID_YUV, Redactor, Unsafe
from engines.track.naming import Names
from tests.engines.made import found, frame, noise_frame

FACE = [140.0, 60.0, 190.0, 120.0]
TICKS = 3000


class Knows:
    """A detector that has been told where the faces are."""

    def __init__(self, *faces: list[float]) -> None:
        self.faces = faces

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        return [found(self.faces, of=frame) for frame in frames]


def analysed(source: Frame | None = None, *faces: list[float]) -> Analysed:
    return Pipeline(Knows(*(faces or [FACE]))).analyse(source or frame())


def test_analysing_detects_tracks_and_stamps_the_ledger() -> None:
    result = analysed()
    assert result.tracks.ids.tolist() == [1]
    assert len(result.detections) == 1
    ledger = result.frame.ledger
    assert 0 < ledger.detected <= ledger.tracked


def test_tracks_run_on_the_frames_own_clock() -> None:
    pipeline = Pipeline(Knows(FACE))
    pipeline.analyse(frame(rtp_time=0))
    late = pipeline.track(frame(rtp_time=90_000), found([], of=frame(rtp_time=90_000)))
    assert late.tracks.unseen_s.tolist() == [1.0]


def test_a_frame_that_was_not_analysed_has_predictions_and_is_not_redacted() -> None:
    pipeline = Pipeline(Knows(FACE))
    for n in range(5):
        pipeline.analyse(frame(rtp_time=n * TICKS))
    source = frame(rtp_time=5 * TICKS)
    blind = pipeline.track(source, Detections.none_for(source, complete=False))
    assert blind.tracks.ids.tolist() == [1]
    assert not blind.tracks.measured.any()
    with pytest.raises(Unsafe):
        make_feed("redacted", 320, 240).render(blind)
    fancam = make_feed("fancam/1", 320, 240).render(blind)
    assert isinstance(fancam, Picture)


def test_a_pipeline_without_a_detector_says_so() -> None:
    with pytest.raises(ValueError, match="no detector"):
        Pipeline().analyse(frame())


def test_a_cut_begins_a_new_shot_that_is_watched_warily() -> None:
    pipeline, one, other = Pipeline(Knows(FACE)), noise_frame(seed=1), noise_frame(seed=2)
    states = []
    for n in range(40):
        shown = one if n < 20 else other
        states.append(pipeline.analyse(Frame(shown.y, shown.u, shown.v, n * TICKS, 0)))
    assert [state.shot for state in states] == [1] * 20 + [2] * 20
    wary = [n for n, state in enumerate(states) if state.wary]
    assert wary == [*range(WARY_FRAMES), *range(20, 20 + WARY_FRAMES)]
    assert states[20].tracks.ids.tolist() == [2]  # in the same place, and yet it may be anybody
    pipeline.detector = Knows()
    cut_away = pipeline.analyse(Frame(one.y, one.u, one.v, 40 * TICKS, 0))
    assert len(cut_away.tracks) == 0


class Heard:
    """A recogniser that knows nobody and keeps what it was told of cuts."""

    def __init__(self) -> None:
        self.cuts: list[bool] = []

    def recognise(
        self, detections: Detections, tracks: Tracks, time_s: float, *, cut: bool
    ) -> tuple[np.ndarray, Names | None]:
        self.cuts.append(cut)
        return np.full(len(tracks), -1, np.int32), None


@pytest.mark.parametrize("analysed_at_once", [True, False])
def test_a_flash_ends_no_track_and_is_as_doubtful_as_a_cut(analysed_at_once: bool) -> None:
    """It might be a cut after all: nobody stays uncovered for who they were before it."""
    knows = Knows(FACE, [20.0, 60.0, 70.0, 120.0])
    pipeline, dark = Pipeline(knows), noise_frame(seed=1)
    pipeline.recogniser = heard = Heard()  # type: ignore[assignment]
    bright = np.clip(dark.y * 1.5 + 60, 16, 235).astype(np.uint8)
    for n in range(20):
        before = pipeline.analyse(Frame(dark.y, dark.u, dark.v, n * TICKS, 0))
    knows.faces = (FACE,)
    at = 20
    if not analysed_at_once:
        flash = Frame(bright, dark.u, dark.v, at * TICKS, 0)
        pipeline.track(flash, Detections.none_for(flash, complete=False))
        at += 1
    after = pipeline.analyse(Frame(bright, dark.u, dark.v, at * TICKS, 0))
    assert before.tracks.ids.tolist() == after.tracks.ids.tolist() == [1, 2]
    assert not before.wary
    assert after.wary
    assert after.shot == before.shot + 1
    assert heard.cuts == [True, *[False] * 19, True]


def test_a_cut_in_a_frame_that_was_not_analysed_counts_in_the_next_that_is() -> None:
    knows = Knows(FACE)
    pipeline = Pipeline(knows)
    for n in range(30):
        before = pipeline.analyse(frame(rtp_time=n * TICKS))
    knows.faces = ()
    one, two = noise_frame(), noise_frame()
    between = Frame(one.y, one.u, one.v, 30 * TICKS, 0)
    predicted = pipeline.track(between, Detections.none_for(between, complete=False))
    assert predicted.shot == before.shot + 1
    after = pipeline.analyse(Frame(two.y, two.u, two.v, 31 * TICKS, 0))
    assert after.shot == predicted.shot
    assert after.wary
    assert len(after.tracks) == 0, "a face of the scene before"


def test_another_size_ends_all_tracks() -> None:
    pipeline = Pipeline(Knows(FACE))
    pipeline.analyse(frame(320, 240))
    larger = pipeline.analyse(frame(640, 480, rtp_time=TICKS))
    assert larger.shot == 2
    assert larger.tracks.ids.tolist() == [2]


def test_the_redacted_feed_covers_and_gives_its_picture_back() -> None:
    feed = make_feed("redacted", 320, 240)
    result = feed.render(analysed())
    assert isinstance(result, RedactedFrame)
    assert (result.picture.y[60:120, 140:190] == SOLID_YUV[0]).all()
    extra = feed.render(analysed(), np.array([[10, 10, 40, 40]], np.float32))
    assert (extra.picture.y[10:40, 10:40] == SOLID_YUV[0]).all()
    assert extra.picture is not result.picture
    feed.release(result)
    assert feed.render(analysed()).picture is result.picture


def test_doubtful_faces_are_covered_just_after_a_start() -> None:
    source = frame()
    state = Pipeline().track(source, found([FACE], 0.12, of=source))
    result = make_feed("redacted", 320, 240).render(state)
    assert (result.picture.y[60:120, 140:190] == SOLID_YUV[0]).all()


def test_raw_shows_the_source_and_overlay_draws_on_it() -> None:
    source = noise_frame()
    raw, overlay = (make_feed(name, 320, 240).render(analysed(source)) for name in ("raw", "overlay"))
    np.testing.assert_array_equal(raw.y, source.y)
    np.testing.assert_array_equal(raw.v, source.v)
    different = overlay.y != source.y
    assert 0.002 < different.mean() < 0.2
    assert different[60:121, 138:192].mean() > 0.05


def test_feeds_of_another_size_show_nothing() -> None:
    assert make_feed("raw", 640, 480).render(analysed()) is None
    assert make_feed("overlay", 640, 480).render(analysed()) is None


def test_a_fancam_follows_its_person_at_one_size_and_ends_with_the_track() -> None:
    pipeline, feed = Pipeline(), make_feed("fancam/1", 320, 240)
    assert feed.size == (136, 240)
    for n in range(60):
        x = 60 + 3 * n
        picture = Picture(320, 240)
        picture.fill(60)
        picture.y[80:110, x : x + 24] = 230  # the only bright thing in the picture
        source = Frame.from_video_frame(picture.video_frame, n * TICKS, 0)
        state = pipeline.track(source, found([[x, 80, x + 24, 110], [20, 180, 44, 210]], of=source))
        shown = feed.render(state)
        assert (shown.width, shown.height) == feed.size
        rows, columns = np.nonzero(shown.y > 200)
        assert len(rows) > 24 * 30
        assert 0.15 < rows.mean() / 240 < 0.55
        assert 0.1 < columns.mean() / 136 < 0.9
        feed.release(shown)
    assert make_feed("fancam/77", 320, 240).render(state) is None


def test_a_fancam_keeps_its_size_when_the_source_changes_its_own() -> None:
    feed = FancamFeed(1, (136, 240))
    for size in ((320, 240), (640, 480), (160, 120)):
        picture = feed.render(analysed(frame(*size), [40.0, 30.0, 60.0, 60.0]))
        assert (picture.width, picture.height) == (136, 240)


def test_a_fancam_can_be_led_by_a_smoothed_box() -> None:
    source, feed = noise_frame(640, 480), make_feed("fancam/1", 640, 480, "face")
    state = analysed(source, [300.0, 200.0, 340.0, 250.0])
    own = feed.render(state).y.copy()
    place = Place(np.array([100, 100, 140, 150], np.float32), np.zeros(2), seen=True)
    led = make_feed("fancam/1", 640, 480, "face").show(Due(state, None, 1, place)).y
    assert (own != led).mean() > 0.5


@pytest.mark.parametrize("delay", [0, 3, 8])
def test_a_late_fancam_covers_the_others_where_its_own_frame_has_them(delay: int) -> None:
    pipeline, feed = Pipeline(), make_feed("fancam/1", 320, 240, delay=delay)
    feed.redactor, shown = Redactor(), []
    for n in range(50):
        picture = Picture(320, 240)
        picture.fill(60)
        other = [60, 90 + 3 * n % 90, 84, 120 + 3 * n % 90]
        picture.y[other[1] : other[3], other[0] : other[2]] = 230  # the only bright thing in the picture
        source = Frame.from_video_frame(picture.video_frame, n * TICKS, 0)
        state = pipeline.track(source, found([[60, 30, 84, 60], other], of=source))
        due = feed.take_in(state)
        assert (due is None) == (n < delay)
        if due is not None:
            assert due.analysed.frame.rtp_time == (n - delay) * TICKS
            shown.append(feed.show(due).y.copy())
    assert all(y.max() < 120 for y in shown)
    assert all((y > 50).mean() > 0.5 for y in shown), "not all is covered"


def test_a_late_fancam_that_covers_others_shows_no_frame_that_was_not_analysed() -> None:
    pipeline, feed = Pipeline(Knows(FACE)), make_feed("fancam/1", 320, 240, delay=2)
    feed.redactor = Redactor()
    for n in range(6):
        feed.take_in(pipeline.analyse(frame(rtp_time=n * TICKS)))
    blind = frame(rtp_time=6 * TICKS)
    feed.take_in(pipeline.track(blind, Detections.none_for(blind, complete=False)))
    feed.take_in(pipeline.analyse(frame(rtp_time=7 * TICKS)))
    due = feed.take_in(pipeline.analyse(frame(rtp_time=8 * TICKS)))
    assert due is not None
    with pytest.raises(Unsafe):
        feed.show(due)


@pytest.mark.parametrize("name", ["raw", "overlay", "redacted", "fancam/1"])
def test_no_feed_paints_on_the_decoders_planes(name: str) -> None:
    source = noise_frame()
    before = [plane.copy() for plane in (source.y, source.u, source.v)]
    assert make_feed(name, 320, 240).render(analysed(source)) is not None
    for plane, kept in zip((source.y, source.u, source.v), before, strict=True):
        np.testing.assert_array_equal(plane, kept)


@pytest.mark.parametrize("name", ["", "Redacted", "fancam", "fancam/", "fancam/x", "fancam/-1", "raw/1"])
def test_names_of_no_feed_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no feed"):
        make_feed(name, 320, 240)


def test_the_seeds_preset_has_the_seeds_size() -> None:
    assert make_feed("fancam/3", 1280, 720, "seeds").size == (200, 630)
