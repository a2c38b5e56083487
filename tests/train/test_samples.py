"""Training samples are what a decoder gives, and the truth moves with the pixels."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from engines.train import augment, colour, data, scenes


def test_a_jpeg_becomes_the_planes_that_opencv_makes_for_video(tmp_path):
    blocks = np.random.default_rng(1).integers(0, 256, (6, 8, 3), np.uint8)
    bgr = blocks.repeat(8, 0).repeat(8, 1)  # flat blocks: how chroma is sampled does not matter
    ok, jpeg = cv2.imencode(".png", bgr)
    assert ok
    y, uv = colour.to_planes(colour.recolour(colour.decode_ycc(jpeg.tobytes()), colour.video_matrix()))
    i420 = cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420)
    assert np.abs(y[0].astype(int) - i420[:48]).max() <= 2
    assert np.abs(uv.astype(int) - i420[48:].reshape(2, 24, 32)).max() <= 2


def test_the_boxes_lie_on_the_bright_ellipses(labelled):
    """On the drawn pictures a face is brighter than everything around it, before the sample's colours change."""
    album = data.Album(data.read_labels(labelled))
    seen = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        picture = album.pick(rng)
        plain = data.Picture(picture.pixels, picture.boxes, picture.ignore, np.ones(2, bool), picture.landmarks)
        matrix, scale = augment._view(rng, plain, 160, 160)
        boxes = augment._move(plain.boxes, matrix)
        moved = cv2.warpAffine(plain.pixels[..., 0], matrix, (160, 160), borderValue=0)
        for x0, y0, x1, y1 in boxes:
            if x0 < 2 or y0 < 2 or x1 > 158 or y1 > 158 or scale > 3:
                continue
            seen += 1
            bright = moved > 120
            columns, rows = np.flatnonzero(bright[int((y0 + y1) / 2)]), np.flatnonzero(bright[:, int((x0 + x1) / 2)])
            inside = columns[(columns > x0 - 3) & (columns < x1 + 3)]
            assert abs(inside.min() - x0) < 0.12 * (x1 - x0) + 2
            assert abs(inside.max() + 1 - x1) < 0.12 * (x1 - x0) + 2
            upright = rows[(rows > y0 - 3) & (rows < y1 + 3)]
            assert abs(upright.min() - y0) < 0.12 * (y1 - y0) + 2
    assert seen > 20


def test_landmarks_keep_their_order_when_mirrored(labelled):
    album = data.Album(data.read_labels(labelled))
    for seed in range(40):
        rng = np.random.default_rng(seed)
        for points in augment.tile(rng, album.pick(rng), 160, 160).landmarks:
            if np.isfinite(points).all():
                assert points[0, 0] < points[1, 0]
                assert points[3, 0] < points[4, 0]


def test_a_batch_depends_on_seed_and_step_alone(labelled):
    first, again = (data.make_batch(data.Album(data.read_labels(labelled)), 3, 5, 4) for _ in range(2))
    other = data.make_batch(data.Album(data.read_labels(labelled)), 3, 9, 4)
    assert (first.y == again.y).all()
    assert (first.uv == again.uv).all()
    assert first.y.shape == other.y.shape
    assert (first.y != other.y).any()
    count, side = first.y.shape[0], first.y.shape[-1]
    assert first.uv.shape == (count, 2, side // 2, side // 2)
    assert first.y.dtype == first.uv.dtype == np.uint8
    assert first.picture.max() < count
    assert len(first.boxes) == len(first.picture) == len(first.landmarks)


def test_scenes_are_drawn_once_and_their_labels_read_like_photographs(tmp_path):
    labels = scenes.draw(tmp_path, 2)
    before = labels.stat().st_mtime_ns
    assert scenes.draw(tmp_path, 2) == labels
    assert labels.stat().st_mtime_ns == before
    entries = data.read_labels(labels)
    pictures = [data.load_picture(entry) for entry in entries]
    assert [(p.pixels.shape[1], p.pixels.shape[0]) for p in pictures] == [(e.width, e.height) for e in entries]
    assert sum(len(p.boxes) for p in pictures) > 0


@pytest.mark.parametrize(("text", "said"), [("{", "line 1"), ('{"file": "a.jpg"}', "line 1"), ("", "no pictures")])
def test_bad_labels_are_named(tmp_path: Path, text: str, said: str):
    path = tmp_path / "train.jsonl"
    path.write_text(text)
    with pytest.raises(data.DataError, match=said):
        data.read_labels(path)


def test_missing_pictures_are_named(tmp_path: Path):
    path = tmp_path / "train.jsonl"
    path.write_text('{"file": "gone.jpg", "width": 8, "height": 8, "faces": []}')
    with pytest.raises(data.DataError, match=r"gone\.jpg"):
        data.load_picture(data.read_labels(path)[0])
