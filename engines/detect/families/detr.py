"""DETR and RT-DETR: a list of queries, no anchors, no suppression. *Contract only*: no trained network of theirs was tried.

Source: Carion et al., arXiv 2005.12872 (softmax, the last class is nothing); Zhao et al., arXiv 2304.08069 (a sigmoid for each class), as
transformers and `yolo export format=onnx` write them. A network with a second input (a mask, the picture's size) is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np

from engines.detect.families.family import (
    Family,
    Found,
    Look,
    Size,
    best_class,
    corners,
    no_landmarks,
    on_grid,
    shapes,
    sigmoid,
)
from engines.detect.families.names import may_have, names_in
from engines.detect.families.yolov10 import lists_boxes
from engines.frame import F32
from engines.runtimes.signature import Signature

IMAGENET: Final = Look("rgb", mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375), pad=117)
MOST_QUERIES: Final = 1000


def decode_detr(outputs: Sequence[F32], conf: float, size: Size) -> Found:
    """(1, queries, classes + 1) logits and (1, queries, 4) centre x, y, width, height of 0–1, in that order."""
    logits, boxes = (output[0] for output in outputs)
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    return _found(shares[:, :-1], boxes, conf, size)


def decode_rtdetr(outputs: Sequence[F32], conf: float, size: Size) -> Found:
    """(1, queries, classes) logits and (1, queries, 4) centre x, y, width, height of 0–1, in that order."""
    logits, boxes = (output[0] for output in outputs)
    return _found(sigmoid(logits), boxes, conf, size)


def decode_scored(outputs: Sequence[F32], conf: float, size: Size) -> Found:
    """One output (1, queries, 4 + classes): centre x, y, width, height of 0–1, a score for each class."""
    rows = outputs[0][0]
    return _found(rows[:, 4:], rows[:, :4], conf, size)


def decode_listed(outputs: Sequence[F32], conf: float, size: Size) -> Found:
    """One output (1, queries, 6): centre x, y, width, height of 0–1, score, class."""
    rows = outputs[0][0]
    rows = rows[rows[:, 4] > conf]
    boxes = corners(rows[:, :4]) * _sides(size)
    return Found(boxes, rows[:, 4].copy(), rows[:, 5].astype(np.int32), no_landmarks(len(rows)))


def _found(scores: F32, boxes: F32, conf: float, size: Size) -> Found:
    classes, best = best_class(scores)
    kept = best > conf
    return Found(corners(boxes[kept]) * _sides(size), best[kept], classes[kept], no_landmarks(int(kept.sum())))


def _sides(size: Size) -> F32:
    height, width = size
    return np.array((width, height, width, height), np.float32)


def _values(signature: Signature) -> int:
    """Of the first output (1, queries, values), whose queries are no grid's cells; else 0."""
    shape = signature.outputs[0].shape
    if len(shape) != 3 or any(on_grid(signature, side) for side in shape) or (shape[1] or 0) > MOST_QUERIES:
        return 0
    return shape[2] or 0


def _recognise_pair(signature: Signature, nothing: int) -> bool:
    pair = [(1, *signature.outputs[0].shape[1:2], values) for values in (_values(signature), 4)]
    return shapes(signature) == pair and may_have(signature, _values(signature) - nothing)


def _recognise_scored(signature: Signature) -> bool:
    # Those that wrote this form wrote the names as well, and later ones say which head it is.
    named = len(names_in(signature.metadata)) == _values(signature) - 4 and "head" not in signature.metadata
    return len(signature.outputs) == 1 and named


def _recognise_listed(signature: Signature) -> bool:
    silent = not {"head", "names", "end2end"} & signature.metadata.keys()
    return lists_boxes(signature) and (silent or signature.metadata.get("head") == "RTDETRDecoder")


FAMILIES: Final = (
    Family(
        "detr",
        "(1, queries, classes + 1) and (1, queries, 4)",
        partial(_recognise_pair, nothing=1),
        decode_detr,
        classes=lambda signature: _values(signature) - 1,
        look=IMAGENET,
        iou=None,
    ),
    Family(
        "rtdetr",
        "(1, queries, classes) and (1, queries, 4)",
        partial(_recognise_pair, nothing=0),
        decode_rtdetr,
        classes=_values,
        look=Look(stretched=True),
        iou=None,
    ),
    Family(
        "rtdetr",
        "one output (1, queries, 4 + classes) and the classes' names",
        _recognise_scored,
        decode_scored,
        classes=lambda signature: _values(signature) - 4,
        look=Look(stretched=True),
        iou=None,
    ),
    Family(
        "rtdetr",
        "one output (1, queries, 6) of the head RTDETRDecoder",
        _recognise_listed,
        decode_listed,
        classes=lambda signature: len(names_in(signature.metadata)),
        look=Look(stretched=True),
        iou=None,
    ),
)
