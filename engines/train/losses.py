"""Losses of the face network: varifocal scores, CIoU boxes, smooth-L1 landmarks."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from engines.train.assign import Targets, assign, paired_iou
from engines.train.network import decode_boxes, decode_landmarks

SCORE_WEIGHT, BOX_WEIGHT, LANDMARK_WEIGHT = 1.0, 2.5, 5.0
NEGATIVE_WEIGHT, NEGATIVE_POWER = 0.75, 1.0
LANDMARK_BETA = 0.02


def ciou_loss(boxes: Tensor, truth: Tensor) -> Tensor:
    """1 - complete IoU (Zheng et al., 2020) of boxes xyxy [k,4], row by row: [k], 0 when equal."""
    iou = paired_iou(boxes, truth)
    outer = torch.maximum(boxes[:, 2:], truth[:, 2:]) - torch.minimum(boxes[:, :2], truth[:, :2])
    offset = (boxes[:, :2] + boxes[:, 2:] - truth[:, :2] - truth[:, 2:]) / 2
    apart = offset.square().sum(1) / outer.square().sum(1).clamp(min=1e-6)
    size, true_size = boxes[:, 2:] - boxes[:, :2], truth[:, 2:] - truth[:, :2]
    angle = torch.atan2(true_size[:, 0], true_size[:, 1]) - torch.atan2(size[:, 0], size[:, 1])
    shape = 4 / math.pi**2 * angle.square()
    with torch.no_grad():
        alpha = shape / (1 - iou + shape).clamp(min=1e-6)
    return 1 - iou + apart + alpha * shape


def score_loss(logits: Tensor, quality: Tensor, ignored: Tensor) -> Tensor:
    """Varifocal loss (Zhang et al., 2021), summed; `quality` is 0 at places without a face. All [n,p].

    Negatives weigh p and not the paper's p²: faint false alarms are to be unlearnt too.
    """
    with torch.no_grad():
        negative = NEGATIVE_WEIGHT * logits.sigmoid() ** NEGATIVE_POWER
        weight = torch.where(quality > 0, quality, negative).masked_fill(ignored, 0.0)
    return F.binary_cross_entropy_with_logits(logits, quality, weight, reduction="sum")


def landmark_loss(points: Tensor, truth: Tensor, sizes: Tensor) -> Tensor:
    """Mean smooth-L1 [k] over five points [k,5,2], in units of the face size [k]."""
    return F.smooth_l1_loss(
        points / sizes[:, None, None], truth / sizes[:, None, None], beta=LANDMARK_BETA, reduction="none"
    ).mean((1, 2))


def face_loss(predictions: Tensor, targets: Targets, centres: Tensor, strides: Tensor) -> dict[str, Tensor]:
    """The losses of `predictions`, float32 [n,p,15]: "score", "box", "landmarks" (weighted) and their sum "total"."""
    chosen = assign(predictions, targets, centres, strides)
    quality = predictions.new_zeros(predictions.shape[:2])
    quality[chosen.picture, chosen.place] = chosen.quality
    weight = chosen.quality
    total_weight = weight.sum().clamp(min=1.0)

    raw, truth = predictions[chosen.picture, chosen.place], targets.boxes[chosen.face]
    at, stride = centres[chosen.place], strides[chosen.place]
    box = (ciou_loss(decode_boxes(raw[:, 1:5], at, stride), truth) * weight).sum() / total_weight

    points = targets.landmarks[chosen.face]
    known = points.isfinite().all(2).all(1)
    sizes = (truth[known, 2:] - truth[known, :2]).prod(1).sqrt()
    found = decode_landmarks(raw[known, 5:], at[known], stride[known])
    landmarks = (landmark_loss(found, points[known], sizes) * weight[known]).sum()

    losses = {
        "score": SCORE_WEIGHT * score_loss(predictions[..., 0], quality, chosen.ignored) / total_weight,
        "box": BOX_WEIGHT * box,
        "landmarks": LANDMARK_WEIGHT * landmarks / weight[known].sum().clamp(min=1.0),
    }
    return losses | {"total": losses["score"] + losses["box"] + losses["landmarks"]}
