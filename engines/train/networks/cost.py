"""What a picture costs in a network, layer by layer: multiplications and additions, bytes moved, and the time no GPU can go below.

The roofline model (Williams, Waterman, Patterson 2009): a layer takes the longer of its arithmetic and its memory traffic. Counted as a
fused engine runs it: a convolution with its bias, SiLU and addition is one pass, joins are free, pools and enlargements are passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from engines.train.networks.layout import ANCHORS, CLASSES, Layout, Row

HALF: Final = 2
"""Bytes of a value in fp16."""


class Cost(NamedTuple):
    """Of one pass over one picture: `flop` (a multiplication and an addition are two), `moved` values in and out, `weights` read
    once a batch, `parameters` with the batch normalisation's two a channel."""

    name: str
    flop: int = 0
    moved: int = 0
    weights: int = 0
    parameters: int = 0


class Ceiling(NamedTuple):
    """What a GPU reaches: `flops` a second in matrix products of the type, `bytes` a second from its memory."""

    flops: float
    bytes: float


class _Map(NamedTuple):
    channels: int
    side: int


def costs(network: Layout, side: int, classes: int = CLASSES) -> list[Cost]:
    """Of each pass over a square picture of `side` px."""
    maps: list[_Map] = []
    found: list[Cost] = []
    for number, row in enumerate(network.rows):
        taken = [maps[number - 1 if source == -1 else source] for source in row.takes] if number else [_Map(3, side)]
        passes, out = _row(f"{number} {row.kind}", row, taken)
        found += passes
        maps.append(out)
    for row_number, stride in zip(network.heads, network.strides, strict=True):
        given = maps[row_number]
        values = ANCHORS * (5 + classes)
        found.append(_conv(f"head {stride}", given, _Map(values, given.side), 1)._replace(
            parameters=values * (given.channels + 1)
        ))  # fmt: skip
    return found


def floor_ms(passes: list[Cost], ceiling: Ceiling, batch: int, value_bytes: int = HALF) -> float:
    """Milliseconds a picture, in batches of `batch`."""
    seconds = (
        max(one.flop / ceiling.flops, value_bytes * (one.moved + one.weights / batch) / ceiling.bytes) for one in passes
    )
    return 1e3 * sum(seconds)


def _row(name: str, row: Row, taken: list[_Map]) -> tuple[list[Cost], _Map]:
    given = taken[0]
    match row.kind:
        case "conv":
            out = _Map(row.channels, given.side // row.stride)
            return [_conv(name, given, out, row.kernel)], out
        case "csp":
            return list(_csp(name, row, given)), _Map(row.channels, given.side)
        case "pool":
            return list(_pool(name, row, given)), _Map(row.channels, given.side)
        case "up":
            out = _Map(given.channels, 2 * given.side)
            return [Cost(name, moved=_values(given) + _values(out))], out
        case "join":
            return [], _Map(sum(part.channels for part in taken), given.side)


def _conv(name: str, given: _Map, out: _Map, kernel: int, also_reads: int = 0) -> Cost:
    weights = kernel * kernel * given.channels * out.channels
    moved = _values(given) + _values(out) + also_reads
    return Cost(name, 2 * weights * out.side * out.side, moved, weights, weights + 2 * out.channels)


def _csp(name: str, row: Row, given: _Map) -> Iterator[Cost]:
    half = _Map(row.channels // 2, given.side)
    yield _conv(f"{name} in", given, half, 1)
    yield _conv(f"{name} past", given, half, 1)
    for number in range(row.repeats):
        yield _conv(f"{name} {number} narrow", half, half, 1)
        yield _conv(f"{name} {number} wide", half, half, 3, _values(half) if row.shortcut else 0)
    yield _conv(f"{name} out", _Map(2 * half.channels, given.side), _Map(row.channels, given.side), 1)


def _pool(name: str, row: Row, given: _Map) -> Iterator[Cost]:
    half = _Map(given.channels // 2, given.side)
    yield _conv(f"{name} in", given, half, 1)
    for number in range(3):
        yield Cost(f"{name} {number}", moved=2 * _values(half))
    yield _conv(f"{name} out", _Map(4 * half.channels, given.side), _Map(row.channels, given.side), 1)


def _values(of: _Map) -> int:
    return of.channels * of.side * of.side
