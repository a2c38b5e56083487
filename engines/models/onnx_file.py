"""A look at a stranger's ONNX file before any runtime reads it: that it is one, not too large, and all there is of it.

The file is protocol buffers; only the messages that can hold nodes or tensors are entered, by the field numbers of
onnx.proto (https://github.com/onnx/onnx), and nothing is copied out of it but names.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Final, NamedTuple

MAX_BYTES: Final = 512 << 20
MAX_NODES: Final = 5000
MAX_FIELDS: Final = 2_000_000
"""Of the messages entered: what a network of MAX_NODES has, many times over, walked in a second."""
MAX_DEPTH: Final = 32
STANDARD_DOMAINS: Final = (b"", b"ai.onnx")

INSIDE: Final[dict[str, dict[int, str]]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
"""Message → number of a field → the message that it holds."""
NODE_TYPE, NODE_DOMAIN = 4, 7
TENSOR_EXTERNAL, TENSOR_LOCATION = 13, 14
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5


class BadModel(Exception):
    """A file that no runtime is given; the text is one line: why."""


class _Part(NamedTuple):
    kind: str
    start: int
    end: int
    depth: int


def check(path: Path) -> None:
    """
    Raises:
        BadModel: no ONNX file, larger than MAX_BYTES, more than MAX_NODES, operators that are not ONNX's own, or weights
            that lie in other files.
    """
    try:
        if not path.is_file():
            raise BadModel(f"no model at {path}")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise BadModel(f"{path}: {size >> 20} MiB is more than {MAX_BYTES >> 20} MiB")
        if not size:
            raise BadModel(f"{path}: the file is empty")
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            nodes = _walk(data)
    except OSError as error:
        raise BadModel(f"{path}: {error.strerror}") from error
    except (ValueError, IndexError) as error:
        raise BadModel(f"{path}: {error if isinstance(error, _Refused) else 'not an ONNX file'}") from None
    if not nodes:
        raise BadModel(f"{path}: not an ONNX file")


class _Refused(ValueError):
    """It can be read, and is not to be run."""


def _walk(data: mmap.mmap) -> int:
    """How many nodes there are in all graphs, those in nodes too."""
    nodes = fields = 0
    parts = [_Part("model", 0, len(data), 0)]
    while parts:
        kind, at, end, depth = parts.pop()
        if depth > MAX_DEPTH:
            raise _Refused(f"graphs within graphs, more than {MAX_DEPTH} deep")
        nodes += kind == "node"
        if nodes > MAX_NODES:
            raise _Refused(f"more than {MAX_NODES} nodes")
        operator = domain = b""
        while at < end:
            fields += 1
            if fields > MAX_FIELDS:
                raise _Refused(f"more than {MAX_FIELDS} fields")
            number, wire, value, start, at = _field(data, at, end)
            if wire == LENGTH and number in INSIDE[kind]:
                parts.append(_Part(INSIDE[kind][number], start, at, depth + 1))
            elif kind == "node" and number in (NODE_TYPE, NODE_DOMAIN) and wire == LENGTH:
                text = data[start : min(at, start + 80)]
                operator, domain = (text, domain) if number == NODE_TYPE else (operator, text)
            elif kind == "tensor" and (number == TENSOR_EXTERNAL or (number == TENSOR_LOCATION and value)):
                raise _Refused("its weights lie in other files; export it as one")
        if domain not in STANDARD_DOMAINS:
            raise _Refused(f"{_shown(operator)} of {_shown(domain)} is not one of ONNX's own operators")
    return nodes


def _field(data: mmap.mmap, at: int, end: int) -> tuple[int, int, int, int, int]:
    """Number, wire type, value where it is a varint, and where the field's content begins and ends."""
    key, at = _varint(data, at)
    number, wire, value = key >> 3, key & 7, 0
    start = at
    if wire == VARINT:
        value, at = _varint(data, at)
    elif wire == LENGTH:
        length, start = _varint(data, at)
        at = start + length
    elif wire in (FIXED32, FIXED64):
        at += 4 if wire == FIXED32 else 8
    else:
        raise ValueError("not a wire type that is used")
    if at > end or not number:
        raise ValueError("a field that reaches beyond its message")
    return number, wire, value, start, at


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number of more than 64 bits")


def _shown(text: bytes) -> str:
    return ascii(text.decode("utf-8", "replace"))[1:-1]
