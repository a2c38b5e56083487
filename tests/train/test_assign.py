"""The assigner gives every face places of its own, and never a place of an ignore region to the negatives."""

import torch

from engines.train.assign import PLACES_MAX, Targets, assign
from engines.train.network import OUTPUTS, places

SIDE = 256
CENTRES, STRIDES = places(SIDE, SIDE)


def targets(boxes: list, pictures: list, ignore: list = (), ignore_pictures: list = ()) -> Targets:
    return Targets(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(pictures, dtype=torch.int64),
        torch.full((len(boxes), 5, 2), float("nan")),
        torch.tensor(ignore, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(ignore_pictures, dtype=torch.int64),
    )


def untrained(pictures: int = 2) -> torch.Tensor:
    out = torch.zeros(pictures, len(CENTRES), OUTPUTS)
    out[..., 0], out[..., 1:5] = -4.6, 0.5
    return out


def test_every_face_gets_places_in_its_own_picture_and_near_its_centre():
    boxes = [[10, 10, 18, 20], [60, 50, 100, 100], [20, 30, 230, 240], [100, 100, 130, 140]]
    chosen = assign(untrained(), targets(boxes, [0, 0, 1, 1]), CENTRES, STRIDES)
    assert set(chosen.face.tolist()) == {0, 1, 2, 3}
    truth = torch.tensor(boxes, dtype=torch.float32)
    middles = (truth[:, :2] + truth[:, 2:]) / 2
    half = (truth[:, 2:] - truth[:, :2]) / 2
    apart = (CENTRES[chosen.place] - middles[chosen.face]).abs()
    assert (apart <= torch.maximum(half[chosen.face], 1.25 * STRIDES[chosen.place, None])).all()
    assert chosen.picture.tolist() == torch.tensor([0, 0, 1, 1])[chosen.face].tolist()
    assert torch.bincount(chosen.face).max() <= PLACES_MAX


def test_small_faces_go_to_fine_levels_and_large_ones_to_coarse():
    chosen = assign(untrained(1), targets([[10, 10, 18, 20], [20, 30, 240, 250]], [0, 0]), CENTRES, STRIDES)
    assert set(STRIDES[chosen.place[chosen.face == 0]].tolist()) == {8}
    assert set(STRIDES[chosen.place[chosen.face == 1]].tolist()) == {32}


def test_a_place_belongs_to_one_face_the_one_it_fits():
    predictions = untrained(1)
    # Place (4, 4) of stride 8 predicts the second box exactly.
    place, fits, other = 4 * (SIDE // 8) + 4, [20.0, 20.0, 52.0, 52.0], [22.0, 18.0, 56.0, 50.0]
    middle = CENTRES[place]
    distances = torch.cat([middle - torch.tensor(fits[:2]), torch.tensor(fits[2:]) - middle])
    predictions[0, place, 1:5] = (distances / 8).log()
    chosen = assign(predictions, targets([other, fits], [0, 0]), CENTRES, STRIDES)
    pairs = list(zip(chosen.picture.tolist(), chosen.place.tolist(), strict=True))
    assert len(pairs) == len(set(pairs))
    assert chosen.face[chosen.place == place].tolist() == [1]
    assert chosen.quality[chosen.place == place].item() == torch.max(chosen.quality).item() > 0.99


def test_ignore_regions_count_neither_way_unless_a_face_is_there():
    truth = targets([[40, 40, 70, 80]], [0], [[30, 30, 120, 120], [200, 200, 240, 240]], [0, 1])
    chosen = assign(untrained(), truth, CENTRES, STRIDES)
    inside = ((CENTRES >= 200) & (CENTRES <= 240)).all(1)
    assert chosen.ignored[1, inside].all()
    assert not chosen.ignored[0, inside].any()
    assert not chosen.ignored[chosen.picture, chosen.place].any()
    assert len(chosen.place)


def test_no_faces_no_places():
    chosen = assign(untrained(), targets([], []), CENTRES, STRIDES)
    assert len(chosen.place) == 0
    assert not chosen.ignored.any()
