"""The losses are zero where the prediction is right and have gradients that lead there."""

import torch

from engines.train.assign import Targets
from engines.train.losses import ciou_loss, face_loss, landmark_loss, score_loss
from engines.train.network import OUTPUTS, decode_boxes, decode_landmarks, places


def test_ciou_is_zero_on_the_box_and_grows_with_distance_even_without_overlap():
    box = torch.tensor([[10.0, 20.0, 50.0, 80.0]])
    losses = [ciou_loss(box + shift, box).item() for shift in (0.0, 5.0, 20.0, 100.0, 300.0)]
    assert abs(losses[0]) < 1e-6
    assert losses == sorted(losses)
    assert losses[3] > 1


def test_score_loss_leaves_ignored_places_alone_and_pushes_confident_errors_hardest():
    logits = torch.tensor([[3.0, -3.0, 3.0, 0.0]], requires_grad=True)
    quality = torch.tensor([[0.0, 0.0, 0.0, 0.9]])
    ignored = torch.tensor([[False, False, True, False]])
    score_loss(logits, quality, ignored).backward()
    wrong, quiet, ignored_grad, face = logits.grad[0].tolist()
    assert wrong > 100 * quiet > 0
    assert ignored_grad == 0
    assert face < 0


def test_landmark_loss_is_relative_to_the_face():
    points = torch.rand(2, 5, 2) * 40
    off = torch.tensor([[[1.0, 1.0]], [[2.0, 2.0]]])
    losses = landmark_loss(points + off, points, torch.tensor([20.0, 40.0]))
    assert torch.allclose(losses[0], losses[1])
    assert landmark_loss(points, points, torch.tensor([20.0, 40.0])).abs().max() == 0


def test_descending_the_loss_finds_the_face():
    centres, strides = places(96, 96)
    points = torch.tensor([[[32.0, 40], [56, 40], [44, 50], [35, 60], [53, 60]], [[float("nan")] * 2] * 5])
    truth = Targets(
        torch.tensor([[20.0, 24, 68, 78], [4, 70, 20, 90]]), torch.tensor([0, 0]), points,
        torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64),
    )  # fmt: skip
    raw = torch.zeros(1, len(centres), OUTPUTS)
    raw[..., 0], raw[..., 1:5] = -4.6, 0.5
    raw.requires_grad_()
    optimizer = torch.optim.Adam([raw], lr=0.1)
    first = None
    for _ in range(150):
        losses = face_loss(raw, truth, centres, strides)
        first = first or losses["total"].item()
        optimizer.zero_grad()
        losses["total"].backward()
        optimizer.step()
    assert losses["total"].item() < first / 3
    best = raw[0, :, 0].argmax()
    found = decode_boxes(raw[0, best, 1:5], centres[best], strides[best]).detach()
    assert min(ciou_loss(found[None], box[None]).item() for box in truth.boxes) < 0.1
    # The best place of the face with landmarks knows them.
    near = raw[0, :, 0].masked_fill((centres - torch.tensor([44.0, 51.0])).abs().max(1).values > 12, -99).argmax()
    assert (decode_landmarks(raw[0, near, 5:], centres[near], strides[near]) - points[0]).abs().max() < 3
