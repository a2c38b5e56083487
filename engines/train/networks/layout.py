"""The layers of the ten YOLOv5 networks (release 6), as data: torch builds from it (`yolov5.py`), costs are counted from it (`cost.py`).

A CSP backbone (Wang et al. 2019, CSPNet) with SiLU (Elfwing et al. 2017), spatial pyramid pooling by three max pools in a row (after
He et al. 2014), a path aggregation neck (Liu et al. 2018, PANet; Lin et al. 2016, FPN), three anchors in each cell (Redmon and
Farhadi 2018, YOLOv3) and compound scaling (Tan and Le 2019). Depths and widths: github.com/ultralytics/yolov5, the table of
release 6.0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

Kind = Literal["conv", "csp", "pool", "up", "join"]
CLASSES: Final = 80
ANCHORS: Final = 3
SCALES: Final = {"n": (1 / 3, 0.25), "s": (1 / 3, 0.5), "m": (2 / 3, 0.75), "l": (1.0, 1.0), "x": (4 / 3, 1.25)}
"""Of each size: depth and width, as shares of l's."""
NETS: Final = (*SCALES, *(f"{size}6" for size in SCALES))


class Row(NamedTuple):
    """A layer: its kind and the rows that it takes (−1: the one before). `channels` go out; `kernel` and `stride` are a
    convolution's, `repeats` and `shortcut` a CSP block's."""

    kind: Kind
    channels: int = 0
    kernel: int = 1
    stride: int = 1
    repeats: int = 0
    shortcut: bool = True
    takes: tuple[int, ...] = (-1,)


@dataclass(frozen=True, slots=True)
class Layout:
    """`heads`: the rows that boxes are read from, one for each of `strides`; each gives ANCHORS · (5 + classes) values a cell."""

    net: str
    rows: tuple[Row, ...]
    heads: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def side(self) -> int:
        """Of the square pictures, px, that the network is meant for."""
        return 1280 if len(self.strides) == 4 else 640


def layout(net: str) -> Layout:
    """Of one of `NETS`.

    Raises:
        ValueError: there is no such net.
    """
    if net not in NETS:
        raise ValueError(f"no net {net!r}: one of {', '.join(NETS)}")
    widths = (256, 512, 768, 1024) if net.endswith("6") else (256, 512, 1024)
    depths = (6, 9, 3, 3) if net.endswith("6") else (6, 9, 3)
    depth, width = SCALES[net[0]]
    rows = _backbone(widths, depths)
    heads = _neck(rows, widths)
    scaled = tuple(_scaled(row, depth, width) for row in rows)
    return Layout(net, scaled, tuple(heads), tuple(8 << level for level in range(len(widths))))


def _backbone(widths: tuple[int, ...], depths: tuple[int, ...]) -> list[Row]:
    rows = [Row("conv", 64, 6, 2), Row("conv", 128, 3, 2), Row("csp", 128, repeats=3)]
    for channels, repeats in zip(widths, depths, strict=True):
        rows += [Row("conv", channels, 3, 2), Row("csp", channels, repeats=repeats)]
    return [*rows, Row("pool", widths[-1])]


def _neck(rows: list[Row], widths: tuple[int, ...]) -> list[int]:
    """Appends it to the backbone's `rows`; gives the heads' rows."""
    last = len(widths) - 1
    levels = [4 + 2 * level for level in range(last)]  # the backbone's CSP blocks, but for the deepest
    narrowed = []
    for level in range(last - 1, -1, -1):
        rows.append(Row("conv", widths[level]))
        narrowed.append(len(rows) - 1)
        rows += [Row("up"), Row("join", takes=(-1, levels[level]))]
        rows.append(Row("csp", widths[level], repeats=3, shortcut=False))
    heads = [len(rows) - 1]
    for level in range(1, last + 1):
        rows += [Row("conv", widths[level - 1], 3, 2), Row("join", takes=(-1, narrowed.pop()))]
        rows.append(Row("csp", widths[level], repeats=3, shortcut=False))
        heads.append(len(rows) - 1)
    return heads


def _scaled(row: Row, depth: float, width: float) -> Row:
    return row._replace(
        channels=math.ceil(row.channels * width / 8) * 8,
        repeats=max(1, round(row.repeats * depth)) if row.repeats else 0,
    )
