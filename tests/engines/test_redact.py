"""Nobody is left to be seen: what is covered, with what, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.frame import Frame, Picture, RedactedFrame, Tracks
from engines.render.covers import choose_covers
from engines.render.redact import SOLID_YUV, STYLES, Redactor, Style, Unsafe
from tests.engines.made import SOURCE_YUV, found, frame, noise_frame, track

NOBODY = Tracks.empty()


def inside(picture: Picture, box: list[float] | np.ndarray) -> list[np.ndarray]:
    """The samples of the three planes that a pixel inside `box` shares in."""
    x0, y0 = (max(0, int(np.floor(value))) for value in box[:2])
    x1, y1 = (max(0, int(np.ceil(value))) for value in box[2:])
    half = np.s_[y0 // 2 : (y1 + 1) // 2, x0 // 2 : (x1 + 1) // 2]
    return [picture.y[y0:y1, x0:x1], picture.u[half], picture.v[half]]


def is_solid(picture: Picture, box: list[float] | np.ndarray) -> bool:
    return all((part == level).all() for part, level in zip(inside(picture, box), SOLID_YUV, strict=True))


def covered_share(result: RedactedFrame, source: Frame) -> float:
    return float((result.picture.y != source.y).mean())


place = st.floats(-80, 400, width=32)
side = st.floats(3, 150, width=32)
faces = st.lists(st.builds(lambda x, y, w, h: [x, y, x + w, y + h], place, place, side, side), max_size=6)


@settings(max_examples=60)
@given(faces, st.sampled_from([(320, 240), (321, 241), (64, 48)]))
def test_every_pixel_of_every_face_is_covered_on_all_planes_at_every_edge(
    boxes: list[list[float]], size: tuple[int, int]
) -> None:
    source = frame(*size)
    result = Redactor().redact(source, found(boxes, 0.35, of=source), NOBODY)
    for box in boxes:
        assert is_solid(result.picture, box)


@pytest.mark.parametrize("style", STYLES)
@settings(max_examples=25)
@given(boxes=faces)
def test_every_style_hides_all_detail(style: Style, boxes: list[list[float]]) -> None:
    """Two sources that differ only in fine detail, and only inside the faces, look the same."""
    source, other = noise_frame(seed=1), Picture(320, 240)
    other.copy_from(source)
    for box in boxes:
        for part in inside(other, box):
            part[:] = part[::-1, ::-1].copy()
    shuffled = Frame.from_video_frame(other.video_frame, 0, 0)
    first, second = (Redactor(style).redact(f, found(boxes, of=f), NOBODY).picture for f in (source, shuffled))
    for box in boxes:
        for a, b in zip(inside(first, box), inside(second, box), strict=True):
            if a.size:  # a cover without a track is flat or nearly so; its level may differ by one step
                assert int(np.abs(a.astype(int) - b).max()) <= 32


@pytest.mark.parametrize("box", [[-30, 80, 30, 140], [130, -30, 190, 30], [290, 80, 350, 140], [130, 210, 190, 270]])
@pytest.mark.parametrize("style", STYLES)
def test_a_face_that_begins_outside_the_picture_is_covered(box: list[float], style: Style) -> None:
    source = noise_frame()
    picture = Redactor(style).redact(source, found([box]), NOBODY).picture
    luma = inside(picture, box)[0]
    x0, y0 = max(0, box[0]), max(0, box[1])
    same = luma == source.y[y0 : y0 + luma.shape[0], x0 : x0 + luma.shape[1]]
    assert same.mean() < 0.05  # chance: one level in 220


def test_a_cover_is_at_least_thirteen_tenths_of_the_face() -> None:
    source = frame()
    picture = Redactor().redact(source, found([[100, 80, 160, 160]]), NOBODY).picture
    assert is_solid(picture, [91, 119, 169, 121])
    assert is_solid(picture, [129, 68, 131, 172])
    assert not is_solid(picture, [60, 119, 62, 121])


def test_a_small_face_is_covered_at_a_score_that_says_nothing_of_a_large_one() -> None:
    source = frame(640, 480)
    small, large = [20.0, 20.0, 34.0, 36.0], [200.0, 100.0, 400.0, 350.0]
    picture = Redactor().redact(source, found([small, large], 0.2, of=source), NOBODY).picture
    assert is_solid(picture, small)
    assert not is_solid(picture, large)
    assert is_solid(Redactor().redact(source, found([large], 0.2, of=source), NOBODY, wary=True).picture, large)


def test_nothing_is_touched_where_nobody_is() -> None:
    source = noise_frame()
    picture = Redactor().redact(source, found([]), NOBODY).picture
    for plane, original in ((picture.y, source.y), (picture.u, source.u), (picture.v, source.v)):
        np.testing.assert_array_equal(plane, original)


def test_there_is_no_cap_on_the_number_of_covers() -> None:
    source = frame(640, 480)
    boxes = [[x, y, x + 8, y + 9] for x in range(0, 632, 12) for y in range(0, 470, 12)]
    picture = Redactor().redact(source, found(boxes, of=source), NOBODY).picture
    assert len(boxes) > 2000
    assert all(is_solid(picture, box) for box in boxes)


def test_doubtful_faces_are_covered_near_tracks_and_while_wary() -> None:
    source, near, far = frame(), [110, 80, 150, 130], [230, 160, 270, 210]
    detections = found([near, far], 0.12)
    someone = track([100, 80, 140, 130], unseen_s=0.2)
    calm = Redactor().redact(source, detections, someone).picture
    assert is_solid(calm, near)
    assert not is_solid(calm, far)
    wary = Redactor().redact(source, detections, NOBODY, wary=True).picture
    assert is_solid(wary, near)
    assert is_solid(wary, far)


def test_a_lost_face_stays_covered_for_a_second_under_a_growing_cover() -> None:
    source, box, sizes = frame(), [140, 100, 180, 150], []
    for unseen_s, spread in ((0.1, 2.0), (0.5, 8.0), (1.0, 16.0)):
        result = Redactor().redact(source, found([]), track(box, unseen_s=unseen_s, spread=spread))
        assert is_solid(result.picture, box)
        sizes.append(covered_share(result, source))
    assert sizes == sorted(sizes)
    assert sizes[-1] > 1.3 * sizes[0]
    assert covered_share(Redactor().redact(source, found([]), track(box, unseen_s=1.5)), source) == 0
    at_edge = [290, 100, 330, 150]  # may still be half in
    result = Redactor().redact(source, found([]), track(at_edge, unseen_s=1.5))
    assert is_solid(result.picture, [290, 100, 320, 150])


def test_a_fast_face_has_a_larger_cover() -> None:
    source, box = frame(), [140, 100, 180, 150]
    slow, fast = (
        covered_share(Redactor().redact(source, found([]), track(box, velocity=v)), source) for v in ((0, 0), (400, 0))
    )
    assert fast > slow


def test_boxes_known_from_elsewhere_are_covered() -> None:
    source, box = frame(), [10, 10, 50, 60]
    picture = Redactor().redact(source, found([]), NOBODY, extra_boxes=np.array([box], np.float32)).picture
    assert is_solid(picture, box)


@pytest.mark.parametrize(
    ("detections", "reason"),
    [
        (found([], complete=False), "not analysed"),
        (found([], of=frame(rtp_time=3000)), "another frame"),
        (found([], of=frame(640, 480)), "another frame"),
        (found([[10, 10, np.nan, 50]]), "not finite"),
        (found([[10, 10, np.inf, 50]]), "not finite"),
        (found([[10, 10, 40, 50]], np.nan), "not finite"),
    ],
)
def test_what_is_not_known_to_be_safe_is_refused(detections, reason: str) -> None:
    with pytest.raises(Unsafe, match=reason):
        Redactor().redact(frame(), detections, NOBODY)


@pytest.mark.parametrize("box", [[-1e6, -1e6, 1e6, 1e6], [-1e6, 100, 20, 140], [0, 0, 320, 1e9]])
@pytest.mark.parametrize("style", STYLES)
def test_absurdly_large_boxes_cover_what_they_hold(box: list[float], style: Style) -> None:
    source = frame()
    picture = Redactor(style).redact(source, found([box]), NOBODY).picture
    x0, y0, x1, y1 = np.clip(np.array(box), 0, [320, 240, 320, 240]).astype(int)
    if style == "solid":
        assert is_solid(picture, [x0, y0, x1, y1])
    else:
        assert (picture.y[y0:y1, x0:x1] != SOURCE_YUV[0]).all()


@pytest.mark.parametrize("style", STYLES)
def test_the_decoders_planes_are_never_painted_on(style: Style) -> None:
    source = noise_frame()
    before = [plane.copy() for plane in (source.y, source.u, source.v)]
    Redactor(style).redact(source, found([[50, 50, 120, 140], [-20, -20, 40, 40]]), NOBODY)
    for plane, original in zip((source.y, source.u, source.v), before, strict=True):
        assert not plane.flags.writeable
        np.testing.assert_array_equal(plane, original)


def test_a_redacted_frame_owns_its_planes_until_it_is_released() -> None:
    redactor, box = Redactor(), [100, 80, 160, 160]
    source = frame()
    kept = redactor.redact(source, found([box]), NOBODY)
    before = kept.picture.y.copy()
    given_back = redactor.redact(source, found([box]), NOBODY)
    assert given_back.picture is not kept.picture
    given_back.release()
    given_back.picture.fill(0, 0, 0)  # poison: whoever still looks at it sees this
    others = [redactor.redact(noise_frame(seed=n), found([box]), NOBODY) for n in range(3)]
    others.append(redactor.slate(320, 240, "poison", 0))
    assert all(other.picture is not kept.picture for other in others)
    np.testing.assert_array_equal(kept.picture.y, before)
    poisoned = next(other for other in others if other.picture is given_back.picture)
    assert poisoned.picture.y.min() > 0
    np.testing.assert_array_equal(others[1].picture.y[:60], noise_frame(seed=1).y[:60])


def test_an_unknown_style_is_refused() -> None:
    with pytest.raises(ValueError, match="solid, mosaic, blur"):
        Redactor("pretty")  # type: ignore[arg-type]


def mosaic_of(redactor: Redactor, source: Frame, box: list[float]) -> list[np.ndarray]:
    """What a mosaic shows of a face that belongs to track 1: the part that is surely inside the cover."""
    result = redactor.redact(source, found([], of=source), track(box))
    parts = [part.copy() for part in inside(result.picture, box)]
    result.release()
    return parts


def test_a_mosaic_shows_at_most_sixteen_levels_of_a_face() -> None:
    y, u, v = mosaic_of(Redactor("mosaic"), noise_frame(), [100, 60, 200, 180])
    assert 4 < len(np.unique(y)) <= 16
    assert len(np.unique(u)) <= 4
    assert len(np.unique(v)) <= 4


def test_a_mosaic_holds_its_cells_for_half_a_second_while_the_face_moves() -> None:
    redactor = Redactor("mosaic")
    levels = []
    for n in range(20):
        source = noise_frame(rtp_time=n * 3000, seed=n)
        source.owner.planes[0].update(bytes([40 + 10 * n]) * len(bytes(source.owner.planes[0])))  # it grows brighter
        levels.append(frozenset(np.unique(mosaic_of(redactor, source, [100 + n, 60, 200 + n, 180])[0]).tolist()))
    assert len(set(levels[:15])) == 1
    assert len(set(levels)) == 2


def test_a_mosaics_noise_belongs_to_the_track_and_does_not_average_out() -> None:
    redactor, box = Redactor("mosaic"), [100.0, 60, 200, 180]
    shown = [mosaic_of(redactor, frame(rtp_time=n * 90_000), box)[0] for n in range(5)]
    assert all((later == shown[0]).all() for later in shown)
    fresh = mosaic_of(Redactor("mosaic"), frame(), box)[0]
    assert (fresh != shown[0]).any()
    assert np.unique(shown[0]).size > 4  # of a face of one colour


def test_a_blur_is_the_mosaic_smoothed() -> None:
    """A checkerboard too fine for the cells leaves nothing of itself, and the picture has no hard edges inside."""
    picture = Picture(320, 240)
    picture.fill(120)
    picture.y[::2, ::2] = picture.y[1::2, 1::2] = 180
    source = Frame.from_video_frame(picture.video_frame, 0, 0)
    luma = mosaic_of(Redactor("blur"), source, [100, 60, 200, 180])[0].astype(int)
    assert np.abs(np.diff(luma, axis=0)).max() <= 6
    assert np.abs(np.diff(luma, axis=1)).max() <= 6


def test_a_face_found_and_tracked_gets_one_cover_over_both_boxes() -> None:
    detections = found([[100, 80, 150, 140]])
    someone = Tracks(
        np.array([4]), np.array([[104, 84, 158, 148]], np.float32), np.array([0.9], np.float32), np.array([True]),
        np.array([0], np.int32), np.zeros(1, np.float32), np.zeros((1, 2), np.float32), np.ones(1, np.float32),
        np.array([True]),
    )  # fmt: skip
    covers = choose_covers(detections, someone)
    assert covers.ids.tolist() == [4]
    picture = Redactor().redact(frame(), detections, someone).picture
    assert is_solid(picture, [100, 80, 158, 148])
