"""Task-aligned assignment of places to faces (after TOOD, Feng et al. 2021), on faces of a whole batch at once."""

from dataclasses import dataclass

import torch
from torch import Tensor

from engines.train.network import decode_boxes

#: Face sizes, sqrt(w*h) in pixels, that each stride answers for. They overlap on purpose.
SIZE_RANGES_PX = {8: (0.0, 72.0), 16: (20.0, 190.0), 32: (56.0, float("inf"))}
CENTRE_STRIDES = 1.25
SCORE_POWER, IOU_POWER = 0.5, 4.0
PLACES_MIN, PLACES_MAX = 2, 10
IGNORE_MARGIN_PX = 2.0


@dataclass(frozen=True)
class Targets:
    """Faces of a batch, concatenated. Boxes are xyxy in pixels."""

    boxes: Tensor  # float32 [g,4]
    picture: Tensor  # int64 [g], index in the batch
    landmarks: Tensor  # float32 [g,5,2], NaN where unknown
    ignore: Tensor  # float32 [i,4], regions that count neither way
    ignore_picture: Tensor  # int64 [i]


@dataclass(frozen=True)
class Assignment:
    """Chosen places, one row each, and the places that count neither way."""

    picture: Tensor  # int64 [k]
    place: Tensor  # int64 [k]
    face: Tensor  # int64 [k], row of `Targets.boxes`
    quality: Tensor  # float32 [k] in 0..1, the score to learn
    ignored: Tensor  # bool [n,p]


def paired_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU [k] of boxes [k,4] with boxes [k,4], row by row."""
    sides = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0)
    common = sides[:, 0] * sides[:, 1]
    areas = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1)
    return common / (areas - common).clamp(min=1e-6)


def candidates(boxes: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
    """Places that may answer for each face, bool [g,p]: near its centre, on a level made for its size."""
    sizes = (boxes[:, 2:] - boxes[:, :2]).prod(1).clamp(min=0).sqrt()
    low, high = torch.empty_like(strides), torch.empty_like(strides)
    for stride, (smallest, largest) in SIZE_RANGES_PX.items():
        low[strides == stride], high[strides == stride] = smallest, largest
    fits = (sizes[:, None] >= low) & (sizes[:, None] < high)
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]) / 4
    reach = torch.maximum(half[:, None], CENTRE_STRIDES * strides[None, :, None])
    return fits & ((centres - middle[:, None]).abs() <= reach).all(2)


def _ignored(targets: Targets, centres: Tensor, pictures: int) -> Tensor:
    margin = IGNORE_MARGIN_PX
    low, high = targets.ignore[:, None, :2] - margin, targets.ignore[:, None, 2:] + margin
    inside = ((centres >= low) & (centres <= high)).all(2)
    ignored = torch.zeros(pictures, centres.shape[0], dtype=torch.int32, device=centres.device)
    return ignored.index_add_(0, targets.ignore_picture, inside.int()) > 0


@torch.no_grad()
def assign(predictions: Tensor, targets: Targets, centres: Tensor, strides: Tensor) -> Assignment:
    """Choose the places that learn each face from the network's own `predictions`, float32 [n,p,15]."""
    ignored = _ignored(targets, centres, predictions.shape[0])
    may = candidates(targets.boxes, centres, strides)
    face, place = may.nonzero(as_tuple=True)
    picture = targets.picture[face]
    raw = predictions[picture, place]
    iou = paired_iou(decode_boxes(raw[:, 1:5], centres[place], strides[place]), targets.boxes[face])
    metric = raw[:, 0].sigmoid() ** SCORE_POWER * iou**IOU_POWER

    dense_iou, dense = (torch.zeros(may.shape, device=may.device) for _ in range(2))
    dense_iou[face, place] = iou
    dense[face, place] = metric + 1e-9
    width = min(PLACES_MAX, dense.shape[1])
    counts = (dense_iou.topk(width).values.sum(1) + PLACES_MIN).long().clamp(max=PLACES_MAX)
    best, best_places = dense.topk(width)
    chosen = (torch.arange(width, device=may.device) < counts[:, None]) & (best > 0)
    face, column = chosen.nonzero(as_tuple=True)
    place, metric = best_places[face, column], best[face, column]
    picture, iou = targets.picture[face], dense_iou[face, place]

    # A place that two faces want goes to the one it fits better: sort by fit, keep the first of each place.
    order = iou.argsort(descending=True, stable=True)
    slot = (picture * centres.shape[0] + place)[order]
    slot, by_slot = slot.sort(stable=True)
    first = torch.ones_like(slot, dtype=torch.bool)
    first[1:] = slot[1:] != slot[:-1]
    keep = order[by_slot[first]]
    picture, place, face, metric, iou = (t[keep] for t in (picture, place, face, metric, iou))

    faces = targets.boxes.shape[0]
    top_metric = iou.new_zeros(faces).scatter_reduce(0, face, metric, "amax")
    top_iou = iou.new_zeros(faces).scatter_reduce(0, face, iou, "amax")
    quality = metric / top_metric[face].clamp(min=1e-9) * top_iou[face]
    ignored[picture, place] = False
    return Assignment(picture, place, face, quality, ignored)
