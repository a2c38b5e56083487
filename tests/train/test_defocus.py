"""What is thrown out of focus: faces that can no longer be seen for one are neither faces nor background."""

import cv2
import numpy as np
import pytest

from engines.train import augment, data
from engines.train.defocus import defocus


def detail(picture: np.ndarray, box: np.ndarray) -> float:
    x0, y0, x1, y1 = box.astype(int)
    return float(np.abs(cv2.Laplacian(picture[y0:y1, x0:x1, 0].astype(np.float32), cv2.CV_32F)).mean())


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (200, 240, 3), np.uint8)


@pytest.mark.parametrize("size", [16, 64])
def test_a_face_called_clear_still_shows_things_of_a_quarter_of_its_size(size):
    rows, columns = np.mgrid[:200, :240] // (size // 4) % 2
    board = np.repeat((255 * (rows ^ columns)).astype(np.uint8)[..., None], 3, 2)
    box = np.array([[100, 80, 100 + size, 80 + size]], np.float32)
    inside = np.s_[80 : 80 + size, 100 : 100 + size, 0]
    kept: list[bool] = []
    for seed in range(80):
        picture, clear = defocus(np.random.default_rng(seed), board, box)
        assert picture.shape == board.shape
        assert picture.dtype == np.uint8
        kept.append(bool(clear[0]))
        if clear[0]:
            assert picture[inside].std() > 0.3 * board[inside].std()
    assert 0 < sum(kept) < len(kept)


def test_a_picture_without_faces_is_blurred(noise):
    none = np.zeros((0, 4), np.float32)
    whole = np.array([0, 0, 240, 200], np.float32)
    for seed in range(20):
        picture, clear = defocus(np.random.default_rng(seed), noise, none)
        assert clear.shape == (0,)
        assert detail(picture, whole) < 0.5 * detail(noise, whole)


def test_a_tile_ignores_the_faces_that_it_blurs_away(labelled, monkeypatch):
    monkeypatch.setattr(augment, "DEFOCUS_SHARE", 1.0)
    album = data.Album(data.read_labels(labelled))
    ignored = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        picture = album.pick(rng)
        sample = augment.tile(rng, picture, 160, 160)
        assert len(sample.boxes) == len(sample.landmarks)
        assert len(sample.boxes) + len(sample.ignore) <= len(picture.boxes)
        ignored += len(sample.ignore)
    assert ignored > 5
