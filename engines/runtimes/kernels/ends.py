"""The two ends of a batch on the GPU: frames in as they are, boxes out. What lies between, a network, is the runtime's."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from engines.frame import F32, Frame
from engines.runtimes import kernels
from engines.runtimes.kernels import CANDIDATES, MOST, Kind, Letterboxed, Look, Maps, Module, Planes, Rows

ALL_CLASSES: Final = kernels.wanted(range(kernels.MOST_CLASSES))


class Form(NamedTuple):
    """How a network's outputs lie, for a batch: `rows` (count, places, 5 + classes), `columns` (count, 4 + classes, places), or
    `maps` (count, 3, rows, columns, 5 + classes) for each of `strides`, before the sigmoid, with its three `anchors` (px)."""

    kind: Literal["rows", "columns", "maps"]
    strides: tuple[int, ...] = ()
    anchors: tuple[tuple[tuple[int, int], ...], ...] = ()


class Ends(NamedTuple):
    """`look` None: the network takes planes. `form` None: its outputs come back as they are, and are decoded on the CPU; else boxes
    with scores above `conf`, of one class that overlap by more than `iou` only the best."""

    look: Look | None
    form: Form | None
    conf: float
    iou: float


class Kept(NamedTuple):
    """Of one picture, best first: `boxes` (n, 4) xyxy and `scores` (n,) float32, `classes` (n,) int32; `all`: there are no more, and none
    was no number."""

    boxes: F32
    scores: F32
    classes: NDArray[np.int32]
    all: bool


class Memory(Protocol):
    def page_locked(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Of the host, zeroed."""

    def allocate(self, size: int) -> Any:
        """Of the device; `int` gives its address."""


class FramesIn:
    """Frames of any sizes into the network's input: copied as they are, laid out by one launch.

    `inputs`: addresses of the network's input, (slots, 3, height, width) of `kind`, or of its y and uv where `look` is None.
    """

    def __init__(
        self, module: Module, memory: Memory, slots: int, size: tuple[int, int], look: Look | None,
        inputs: Sequence[int], kind: Kind = "f16",
    ) -> None:  # fmt: skip
        self._module, self._memory, self._size, self._look = module, memory, size, look
        self._inputs, self._kind = inputs, kind
        self._jobs_here = memory.page_locked((slots, ctypes.sizeof(Letterboxed)), np.dtype(np.uint8))
        self._jobs = (Letterboxed * slots).from_buffer(self._jobs_here)  # type: ignore[arg-type]
        self._jobs_there = memory.allocate(self._jobs_here.nbytes)
        self._here = [np.zeros(0, np.uint8)] * slots
        self._there: list[Any] = [0] * slots
        self._used = [0] * slots

    def place(self, number: int, frame: Frame, inner_w: int, inner_h: int) -> None:
        """Frame `number` of the next batch; it will lie at the top left of its picture, `inner_w` × `inner_h` px."""
        planes = frame.y, frame.u, frame.v
        size = sum(plane.size for plane in planes)
        if size > self._here[number].size:
            self._here[number] = self._memory.page_locked((size,), np.dtype(np.uint8))
            self._there[number] = self._memory.allocate(size)
        here, at, addresses = self._here[number], 0, []
        for plane in planes:
            np.copyto(here[at : at + plane.size].reshape(plane.shape), plane)
            addresses.append(int(self._there[number]) + at)
            at += plane.size
        there = Planes(*addresses, frame.width, frame.height, frame.width, frame.u.shape[1], 1)
        self._jobs[number] = Letterboxed(there, inner_w, inner_h)
        self._used[number] = size

    def upload(self, count: int) -> None:
        for there, here, used in zip(self._there[:count], self._here, self._used, strict=False):
            if used:
                self._module.upload(int(there), here[:used])
        self._module.upload(int(self._jobs_there), self._jobs_here[:count])

    def lay_out(self, count: int) -> None:
        """Slots in which no frame was placed yet become empty pictures."""
        jobs, (height, width) = int(self._jobs_there), self._size
        if self._look is None:
            y, uv = self._inputs
            kernels.letterbox_planes(self._module, jobs, count, y, uv, height, width)
        else:
            (out,) = self._inputs
            kernels.letterbox(self._module, jobs, count, out, height, width, self._look, self._kind)


class BoxesOut:
    """The boxes of a batch's outputs, at most `most` pictures at a time with `places` each."""

    def __init__(self, module: Module, memory: Memory, ends: Ends, most: int, places: int) -> None:
        self._module, self._ends = module, ends
        own = (most * places * 4, most * places * 4, most * CANDIDATES * 16)
        answers = ((MOST, 4), np.float32), ((MOST,), np.float32), ((MOST,), np.int32), ((2,), np.int32)
        self._here = [memory.page_locked((most, *shape), np.dtype(dtype)) for shape, dtype in answers]
        self._there = [memory.allocate(size) for size in (*own, *(values.nbytes for values in self._here))]
        self._buffers = kernels.SuppressBuffers(*map(int, self._there))

    def suppress(self, outputs: Sequence[int], shapes: Sequence[tuple[int, ...]], kind: Kind) -> None:
        """`outputs`: addresses of the network's whole outputs, `shapes` with the batch."""
        assert self._ends.form is not None
        told, batch = told_of(self._ends.form, outputs, shapes), shapes[0][0]
        conf, iou = self._ends.conf, self._ends.iou
        kernels.suppress(self._module, told, batch, kind, ALL_CLASSES, conf, iou, self._buffers)

    def download(self, batch: int) -> None:
        for here, there in zip(self._here, self._buffers[3:], strict=True):
            self._module.download(here[:batch], there)

    def kept(self, count: int) -> list[Kept]:
        """Once the stream has been waited for."""
        boxes, scores, classes, counts = self._here
        found = []
        for number in range(count):
            n, candidates = counts[number].tolist()
            complete = n < MOST and 0 <= candidates <= CANDIDATES
            found.append(
                Kept(boxes[number, :n].copy(), scores[number, :n].copy(), classes[number, :n].copy(), complete)
            )
        return found


def places_of(form: Form, shapes: Sequence[tuple[int, ...]]) -> int:
    """Of one picture."""
    match form.kind:
        case "rows":
            return shapes[0][1]
        case "columns":
            return shapes[0][2]
        case "maps":
            return sum(shape[1] * shape[2] * shape[3] for shape in shapes)


def told_of(form: Form, outputs: Sequence[int], shapes: Sequence[tuple[int, ...]]) -> Rows | Maps:
    """The outputs as the kernels are told of them."""
    if form.kind == "rows":
        _, places, values = shapes[0]
        return Rows(outputs[0], places * values, values, 1, places, 5, values - 5)
    if form.kind == "columns":
        _, values, places = shapes[0]
        return Rows(outputs[0], places * values, 1, places, places, 4, values - 4)
    told = Maps(levels=len(form.strides), classes=shapes[0][4] - 5)
    for level, (address, shape, stride, anchors) in enumerate(
        zip(outputs, shapes, form.strides, form.anchors, strict=True)
    ):
        told.data[level], told.strides[level] = address, stride
        told.rows[level], told.columns[level] = shape[2:4]
        for number, sides in enumerate(anchors):
            told.anchors[level][number][:] = sides
    return told
