"""What each family's outputs mean, as plain loops over random tensors, written from the papers and upstream's code.

Nothing here knows how `engines` does it: numbers are Python's, one place after the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from engines.runtimes.signature import Port, Signature

Row = tuple[list[float], float, int, list[float] | None]
"""Box xyxy px, score, class, ten landmark values px."""
HEIGHT, WIDTH = 64, 128


@dataclass(frozen=True)
class Case:
    """Outputs of a family by the shapes and scales of their random values, and the loop that says what they mean."""

    family: str
    outputs: list[tuple[tuple[int, ...], float]]
    loop: Callable[[list[np.ndarray]], Iterator[Row]]
    shares: tuple[int, ...] = ()
    """Outputs that are between 0 and 1 by their nature."""
    metadata: dict[str, str] = field(default_factory=dict)
    planes: bool = False
    names: tuple[str, ...] = ()

    def tensors(self, seed: int) -> list[np.ndarray]:
        random = np.random.default_rng(seed)
        return [
            (random.uniform(0, scale, shape) if number in self.shares else random.normal(0, scale, shape)).astype(
                np.float32
            )
            for number, (shape, scale) in enumerate(self.outputs)
        ]

    def signature(self) -> Signature:
        picture = (Port("images", "float32", (1, 3, HEIGHT, WIDTH)),)
        planes = (Port("y", "uint8", (1, 1, HEIGHT, WIDTH)), Port("uv", "uint8", (1, 2, HEIGHT // 2, WIDTH // 2)))
        outputs = tuple(Port(f"out{n}", "float32", shape) for n, (shape, _) in enumerate(self.outputs))
        return Signature(planes if self.planes else picture, outputs, (HEIGHT, WIDTH), self.metadata)


def cells(strides: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    """Column, row and stride, level by level."""
    for stride in strides:
        for row in range(math.ceil(HEIGHT / stride)):
            for column in range(math.ceil(WIDTH / stride)):
                yield column, row, stride


def count(*strides: int) -> int:
    return len(list(cells(strides)))


def squash(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def centred(x: float, y: float, w: float, h: float) -> list[float]:
    return [x - w / 2, y - h / 2, x + w / 2, y + h / 2]


def numbers(values: np.ndarray) -> list[float]:
    return [float(value) for value in values]


def best(scores: list[float]) -> tuple[float, int]:
    return max(scores), scores.index(max(scores))


def fancam(outputs: list[np.ndarray]) -> Iterator[Row]:
    for output, stride in zip(outputs, (8, 16, 32), strict=True):
        for column, row, _ in cells((stride,)):
            v = numbers(output[0, :, row, column])
            x, y = (column + 0.5) * stride, (row + 0.5) * stride
            left, top, right, bottom = (math.exp(min(max(d, -4.0), 5.0)) * stride for d in v[1:5])
            points = [c + d * stride for d, c in zip(v[5:], [x, y] * 5, strict=True)]
            yield [x - left, y - top, x + right, y + bottom], squash(v[0]), 0, points


def decoded_rows(outputs: list[np.ndarray]) -> Iterator[Row]:
    for row in outputs[0][0]:
        x, y, w, h, thing, *classes = numbers(row)
        score, which = best(classes)
        yield centred(x, y, w, h), thing * score, which, None


def decoded_face_rows(outputs: list[np.ndarray]) -> Iterator[Row]:
    for row in outputs[0][0]:
        v = numbers(row)
        yield centred(*v[:4]), v[4] * v[15], 0, v[5:15]


def anchored(anchors: list[list[tuple[int, int]]], face: bool = False) -> Callable[[list[np.ndarray]], Iterator[Row]]:
    def loop(outputs: list[np.ndarray]) -> Iterator[Row]:
        for output, level, stride in zip(outputs, anchors, (8, 16, 32, 64), strict=False):
            for number, (wide, high) in enumerate(level):
                for column, row, _ in cells((stride,)):
                    v = numbers(output[0, number, row, column])
                    x = (2 * squash(v[0]) - 0.5 + column) * stride
                    y = (2 * squash(v[1]) - 0.5 + row) * stride
                    box = centred(x, y, (2 * squash(v[2])) ** 2 * wide, (2 * squash(v[3])) ** 2 * high)
                    score, which = best([squash(c) for c in v[15 if face else 5 :]])
                    points = None
                    if face:
                        pairs = zip(v[5:15], [wide, high] * 5, [column, row] * 5, strict=True)
                        points = [p * side + cell * stride for p, side, cell in pairs]
                    yield box, squash(v[4]) * score, which, points

    return loop


def columns(outputs: list[np.ndarray]) -> Iterator[Row]:
    for column in outputs[0][0].T:
        x, y, w, h, *classes = numbers(column)
        score, which = best(classes)
        yield centred(x, y, w, h), score, which, None


def face_columns(outputs: list[np.ndarray]) -> Iterator[Row]:
    for column in outputs[0][0].T:
        v = numbers(column)
        values = (len(v) - 5) // 5
        points = [v[5 + values * p + axis] for p in range(5) for axis in (0, 1)]
        yield centred(*v[:4]), v[4], 0, points


def listed(outputs: list[np.ndarray]) -> Iterator[Row]:
    for row in outputs[0][0]:
        x0, y0, x1, y1, score, which = numbers(row)
        yield [x0, y0, x1, y1], score, int(which), None


def yolox(outputs: list[np.ndarray]) -> Iterator[Row]:
    for row, (column, line, stride) in zip(outputs[0][0], cells((8, 16, 32)), strict=True):
        x, y, w, h, thing, *classes = numbers(row)
        score, which = best(classes)
        box = centred((x + column) * stride, (y + line) * stride, math.exp(w) * stride, math.exp(h) * stride)
        yield box, thing * score, which, None


def retinaface(outputs: list[np.ndarray]) -> Iterator[Row]:
    sides = {8: (16, 32), 16: (64, 128), 32: (256, 512)}
    priors = [
        ((column + 0.5) * stride, (row + 0.5) * stride, side)
        for column, row, stride in cells((8, 16, 32))
        for side in sides[stride]
    ]
    for box, score, points, (x, y, side) in zip(*(output[0] for output in outputs), priors, strict=True):
        dx, dy, dw, dh = numbers(box)
        wide, high = math.exp(0.2 * dw) * side, math.exp(0.2 * dh) * side
        landmarks = [c + 0.1 * d * side for d, c in zip(numbers(points), [x, y] * 5, strict=True)]
        yield centred(x + 0.1 * dx * side, y + 0.1 * dy * side, wide, high), float(score[1]), 0, landmarks


def scrfd(outputs: list[np.ndarray]) -> Iterator[Row]:
    """Scores of all levels, then distances of all levels, then landmarks."""
    for level, stride in enumerate((8, 16, 32)):
        anchors = [cell for cell in cells((stride,)) for _ in range(2)]
        for number, (column, row, _) in enumerate(anchors):
            x, y = column * stride, row * stride
            score = float(outputs[level].reshape(-1, 1)[number, 0])
            left, top, right, bottom = (d * stride for d in numbers(outputs[3 + level].reshape(-1, 4)[number]))
            points = None
            if len(outputs) > 6:
                offsets = numbers(outputs[6 + level].reshape(-1, 10)[number])
                points = [c + d * stride for d, c in zip(offsets, [x, y] * 5, strict=True)]
            yield [x - left, y - top, x + right, y + bottom], score, 0, points


def yunet(outputs: list[np.ndarray]) -> Iterator[Row]:
    """Class of all levels, then objectness, box, landmarks."""
    for level, stride in enumerate((8, 16, 32)):
        one, thing, boxes, points = (outputs[kind * 3 + level][0] for kind in range(4))
        for number, (column, row, _) in enumerate(cells((stride,))):
            dx, dy, dw, dh = numbers(boxes[number])
            box = centred((column + dx) * stride, (row + dy) * stride, math.exp(dw) * stride, math.exp(dh) * stride)
            landmarks = [(c + d) * stride for d, c in zip(numbers(points[number]), [column, row] * 5, strict=True)]
            clamped = [min(max(float(value[number, 0]), 0.0), 1.0) for value in (one, thing)]
            yield box, math.sqrt(clamped[0] * clamped[1]), 0, landmarks


def ultralight(outputs: list[np.ndarray]) -> Iterator[Row]:
    for scores, box in zip(outputs[0][0], outputs[1][0], strict=True):
        x0, y0, x1, y1 = numbers(box)
        score, which = best(numbers(scores)[1:])
        yield [x0 * WIDTH, y0 * HEIGHT, x1 * WIDTH, y1 * HEIGHT], score, which, None


def on_picture(x: float, y: float, w: float, h: float) -> list[float]:
    return centred(x * WIDTH, y * HEIGHT, w * WIDTH, h * HEIGHT)


def detr(outputs: list[np.ndarray]) -> Iterator[Row]:
    for values, box in zip(outputs[0][0], outputs[1][0], strict=True):
        powers = [math.exp(v) for v in numbers(values)]
        score, which = best([power / sum(powers) for power in powers[:-1]])
        yield on_picture(*numbers(box)), score, which, None


def rtdetr(outputs: list[np.ndarray]) -> Iterator[Row]:
    for values, box in zip(outputs[0][0], outputs[1][0], strict=True):
        score, which = best([squash(v) for v in numbers(values)])
        yield on_picture(*numbers(box)), score, which, None


def scored_queries(outputs: list[np.ndarray]) -> Iterator[Row]:
    for row in outputs[0][0]:
        score, which = best(numbers(row[4:]))
        yield on_picture(*numbers(row[:4])), score, which, None


def listed_queries(outputs: list[np.ndarray]) -> Iterator[Row]:
    for row in outputs[0][0]:
        yield on_picture(*numbers(row[:4])), float(row[4]), int(row[5]), None


P5, P6, P2 = (8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32)
V5 = [[(10, 13), (16, 30), (33, 23)], [(30, 61), (62, 45), (59, 119)], [(116, 90), (156, 198), (373, 326)]]
V5_P6 = [
    [(19, 27), (44, 40), (38, 94)],
    [(96, 68), (86, 152), (180, 137)],
    [(140, 301), (303, 264), (238, 542)],
    [(436, 615), (739, 380), (925, 792)],
]
V7 = [[(12, 16), (19, 36), (40, 28)], [(36, 75), (76, 55), (72, 146)], [(142, 110), (192, 243), (459, 401)]]
FACE = [[(4, 5), (8, 10), (13, 16)], [(23, 29), (43, 55), (73, 105)], [(146, 217), (231, 300), (335, 433)]]
SEVEN = {"names": str({number: f"thing {number}" for number in range(7)})}


def one(*shape: int) -> list[tuple[tuple[int, ...], float]]:
    return [(shape, 1.0)]


def maps(strides: tuple[int, ...], values: int) -> list[tuple[tuple[int, ...], float]]:
    return [((1, 3, HEIGHT // s, WIDTH // s, values), 2.0) for s in strides]


def levels(anchors: int, kinds: tuple[int, ...], batch: bool = True) -> list[tuple[tuple[int, ...], float]]:
    return [((1,) * batch + (anchors * count(s), values), 1.0) for values in kinds for s in P5]


PRIORS = 3 * count(8) + 2 * count(16) + 2 * count(32) + 3 * count(64)
CASES = (
    Case("fancam", [((1, 15, HEIGHT // s, WIDTH // s), 2.0) for s in P5], fancam, planes=True),
    Case("yolov5", one(1, 3 * count(*P5), 12), decoded_rows, (0,)),
    Case("yolov5", one(1, 3 * count(*P6), 12), decoded_rows, (0,)),
    Case("yolov7", one(1, 3 * count(*P5), 6), decoded_rows, (0,)),
    Case("yolov5", maps(P5, 12), anchored(V5)),
    Case("yolov5", maps(P6, 12), anchored(V5_P6)),
    Case("yolov7", maps(P5, 12), anchored(V7)),
    Case("yolov7", maps(P6, 6), anchored(V5_P6)),
    Case("yolov5-face", maps(P5, 16), anchored(FACE, face=True)),
    Case("yolov5-face", one(1, 3 * count(*P5), 16), decoded_face_rows, (0,)),
    Case("yolov8", one(1, 11, count(*P5)), columns, (0,)),
    Case("yolo11", one(1, 11, count(*P6)), columns, (0,)),
    Case("yolov8", one(1, 5, count(*P2)), columns, (0,)),
    Case("yolov8-face", one(1, 20, count(*P5)), face_columns, (0,)),
    Case("yolov8-face", one(1, 15, count(*P6)), face_columns, (0,)),
    Case("yolov8-face", one(1, 20, count(*P2)), face_columns, (0,)),
    Case("yolov10", one(1, 300, 6), listed, (0,), SEVEN),
    Case("yolox", one(1, count(*P5), 12), yolox, (0,)),
    Case("yolox-decoded", one(1, count(*P5), 12), decoded_rows, (0,)),
    Case("yolov6", one(1, count(*P5), 12), decoded_rows, (0,)),
    Case("retinaface", [((1, 2 * count(*P5), values), 1.0) for values in (4, 2, 10)], retinaface),
    Case("scrfd", levels(2, (1, 4, 10)), scrfd),
    Case("scrfd", levels(2, (1, 4, 10), batch=False), scrfd),
    Case("scrfd", levels(2, (1, 4)), scrfd),
    Case("yunet", levels(1, (1, 1, 4, 10)), yunet),
    Case("ultralight", [((1, PRIORS, 2), 1.0), ((1, PRIORS, 4), 1.0)], ultralight, (0, 1)),
    Case("ultralight", [((1, PRIORS, 3), 1.0), ((1, PRIORS, 4), 1.0)], ultralight, (0, 1)),
    Case("detr", [((1, 100, 8), 2.0), ((1, 100, 4), 1.0)], detr, (1,)),
    Case("rtdetr", [((1, 50, 7), 2.0), ((1, 50, 4), 1.0)], rtdetr, (1,)),
    Case("rtdetr", one(1, 50, 11), scored_queries, (0,), SEVEN),
    Case("rtdetr", one(1, 50, 6), listed_queries, (0,), {**SEVEN, "head": "RTDETRDecoder"}),
)
