"""ONNX files made for a test, byte by byte: the messages of onnx.proto that a small network needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

FLOAT, INT64, HALF = 1, 7, 10


def field(number: int, value: bytes | str | int) -> bytes:
    """One field: a varint, or what has a length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def tensor(name: str, values: np.ndarray) -> bytes:
    """A TensorProto of float32, or of int64 where the values are."""
    kind, dtype = (INT64, "<i8") if values.dtype == np.int64 else (FLOAT, "<f4")
    dims = b"".join(field(1, side) for side in values.shape)
    return dims + field(2, kind) + field(8, name) + field(9, values.astype(dtype).tobytes())


def port(name: str, shape: Sequence[int | None], kind: int = FLOAT) -> bytes:
    """A ValueInfoProto of float32, or another type; sides that are None are open."""
    sides = b"".join(field(1, b"" if side is None else field(1, side)) for side in shape)
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, sides)))


def node(operator: str, inputs: Sequence[str], outputs: Sequence[str], *attributes: bytes, domain: str = "") -> bytes:
    """A NodeProto."""
    ends = b"".join(field(1, name) for name in inputs) + b"".join(field(2, name) for name in outputs)
    return ends + field(4, operator) + b"".join(field(5, one) for one in attributes) + field(7, domain)


def model(
    nodes: Sequence[bytes],
    inputs: Sequence[bytes] = (),
    outputs: Sequence[bytes] = (),
    tensors: Sequence[bytes] = (),
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """A ModelProto of opset 17."""
    graph = b"".join(field(1, one) for one in nodes) + field(2, "made")
    graph += b"".join(field(5, one) for one in tensors)
    graph += b"".join(field(11, one) for one in inputs) + b"".join(field(12, one) for one in outputs)
    said = b"".join(field(14, field(1, key) + field(2, value)) for key, value in (metadata or {}).items())
    return field(1, 8) + field(7, graph) + field(8, field(2, 17)) + said


def constant_network(output: np.ndarray, side: int = 64, metadata: Mapping[str, str] | None = None) -> bytes:
    """A network that takes (1, 3, side, side) and says `output` of whatever it sees."""
    nodes = [
        node("ReduceMax", ["images"], ["most"], field(1, "keepdims") + field(3, 0) + field(20, 2)),
        node("Mul", ["most", "zero"], ["nothing"]),
        node("Add", ["said", "nothing"], ["output0"]),
    ]
    tensors = [tensor("said", output), tensor("zero", np.zeros((), np.float32))]
    ends = [port("images", (1, 3, side, side))], [port("output0", output.shape)]
    return model(nodes, *ends, tensors, metadata)


def yolov8(
    boxes: Sequence[Sequence[float]], classes: Sequence[int], names: Sequence[str], side: int = 64, score: float = 0.9
) -> bytes:
    """A YOLOv8 of fixed size that finds the same boxes, xyxy px of its input, in every picture."""
    places = sum((side // stride) ** 2 for stride in (8, 16, 32))
    output = np.zeros((1, 4 + len(names), places), np.float32)
    for place, ((x0, y0, x1, y1), number) in enumerate(zip(boxes, classes, strict=True)):
        output[0, :4, place] = (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0
        output[0, 4 + number, place] = score
    told = {"names": str(dict(enumerate(names))), "stride": "32", "task": "detect", "imgsz": f"[{side}, {side}]"}
    return constant_network(output, side, told)
