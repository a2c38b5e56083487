"""Our GPU kernels (*.cu here, built by `make kernels`) as functions: addresses in, nothing out, nothing allocated.

Every address is of memory on the device, arrays of the structures below too; a launch only adds work to a stream, so that all of it can
be captured in a CUDA graph. What a kernel computes is said in its own file.
"""

from __future__ import annotations

import ctypes
from collections.abc import Collection, Sequence
from ctypes import Structure, c_float, c_int, c_longlong, c_ubyte, c_uint, c_void_p
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Protocol

from numpy.typing import NDArray

from engines.runtimes.driver import checked

FOLDER: Final = Path(__file__).parent
FATBIN: Final = FOLDER / "kernels.fatbin"
THREADS: Final = 256
SUPPRESS_THREADS: Final = 1024
CANDIDATES: Final = 2048
"""Of a picture's candidates so many take part in suppression: those with the best scores."""
MOST: Final = 1024
"""Boxes a picture. Where there are as many, or more candidates than CANDIDATES, there may be more: such detections are not complete."""
MOST_CLASSES: Final = 1024
LEVELS: Final = 4
Kind = Literal["f16", "f32"]


class Planes(Structure):
    """A frame on the device, NV12 (`step` 2, `v` = `u` + 1) or I420 (`step` 1); pitches in bytes."""

    _fields_ = [
        ("y", c_void_p), ("u", c_void_p), ("v", c_void_p),
        ("width", c_int), ("height", c_int), ("pitch", c_int), ("half_pitch", c_int), ("step", c_int),
    ]  # fmt: skip


class Letterboxed(Structure):
    """A frame, and the size (px, even) in which it lies at the top left of its picture."""

    _fields_ = [("frame", Planes), ("inner_w", c_int), ("inner_h", c_int)]


class Look(Structure):
    """How a network wants its picture: per channel, in its order, level · `scale` + `shift`, and `pad` as such a value."""

    _fields_ = [("scale", c_float * 3), ("shift", c_float * 3), ("pad", c_float * 3), ("bgr", c_int)]


class Rows(Structure):
    """Where a network's values lie, steps in elements: centre x, y, width, height, objectness where `first` is 5, then classes."""

    _fields_ = [
        ("data", c_void_p), ("picture_step", c_longlong), ("row_step", c_int), ("value_step", c_int),
        ("rows", c_int), ("first", c_int), ("classes", c_int),
    ]  # fmt: skip

    @property
    def places(self) -> int:
        return self.rows


class Maps(Structure):
    """YOLOv5's outputs before their decoding: of each of `levels` the address of (count, 3, rows, columns, 5 + classes) logits."""

    _fields_ = [
        ("data", c_void_p * LEVELS), ("rows", c_int * LEVELS), ("columns", c_int * LEVELS), ("strides", c_int * LEVELS),
        ("anchors", c_float * 2 * 3 * LEVELS), ("levels", c_int), ("classes", c_int),
    ]  # fmt: skip

    @property
    def places(self) -> int:
        return sum(3 * self.rows[level] * self.columns[level] for level in range(self.levels))


class Wanted(Structure):
    """Bit c of `bits`: class c may be found."""

    _fields_ = [("bits", c_uint * (MOST_CLASSES // 32))]


class Crop(Structure):
    """The window x, y, w, h (px of luma, with sub-pixels) of `frame`, scaled over all of `into`."""

    _fields_ = [("frame", Planes), ("into", Planes), ("x", c_float), ("y", c_float), ("w", c_float), ("h", c_float)]


class Cover(Structure):
    """The ellipse in an even box, in 4 × 4 cells of luma and 2 × 2 of each chroma."""

    _fields_ = [
        ("x0", c_int), ("y0", c_int), ("x1", c_int), ("y1", c_int),
        ("cells_y", c_ubyte * 16), ("cells_u", c_ubyte * 4), ("cells_v", c_ubyte * 4),
    ]  # fmt: skip


class Redacted(Structure):
    """A frame on the device and its covers: `count` of all covers from `first` on."""

    _fields_ = [("frame", Planes), ("first", c_int), ("count", c_int)]


class Launcher(Protocol):
    """Adds work to one stream."""

    def launch(self, name: str, x: int, y: int, threads: int, args: Sequence[Any]) -> None:
        """Run a kernel on a grid of x × y blocks with `args`, of ctypes."""


def addresses_of(args: Sequence[Any]) -> ctypes.Array[c_void_p]:
    """As a launch takes them; of `args`, which must live as long."""
    return (c_void_p * len(args))(*(ctypes.addressof(arg) for arg in args))


class Module:
    """The kernels, loaded into the current context for as long as that lives, launched on the stream of handle `stream`. By
    cuda-bindings.

    Raises:
        CudaFailure: the driver refuses the image, or a launch or copy.
    """

    def __init__(self, stream: int) -> None:
        from cuda.bindings import driver

        self._driver, self._stream = driver, driver.CUstream(stream)
        self._module = checked(driver.cuModuleLoadData(FATBIN.read_bytes()))
        self._functions: dict[str, Any] = {}

    def launch(self, name: str, x: int, y: int, threads: int, args: Sequence[Any]) -> None:
        if name not in self._functions:
            self._functions[name] = checked(self._driver.cuModuleGetFunction(self._module, name.encode()))
        function, addresses = self._functions[name], addresses_of(args)
        at = ctypes.addressof(addresses)
        checked(self._driver.cuLaunchKernel(function, x, y, 1, threads, 1, 1, 0, self._stream, at, 0))

    def upload(self, there: int, here: NDArray[Any]) -> None:
        """Copy page-locked memory to the device."""
        checked(self._driver.cuMemcpyHtoDAsync(there, here.ctypes.data, here.nbytes, self._stream))

    def download(self, here: NDArray[Any], there: int) -> None:
        """Copy memory of the device into page-locked memory."""
        checked(self._driver.cuMemcpyDtoHAsync(here.ctypes.data, there, here.nbytes, self._stream))


def _launch(launcher: Launcher, name: str, x: int, y: int, threads: int, args: Sequence[Any]) -> None:
    if y:
        launcher.launch(name, max(1, x), y, threads, args)


def _blocks(items: int) -> int:
    return -(-items // THREADS)


def letterbox(
    launcher: Launcher, pictures: int, count: int, out: int, net_h: int, net_w: int, look: Look, kind: Kind = "f16"
) -> None:
    """`pictures`: address of `count` Letterboxed; `out`: (count, 3, net_h, net_w) of `kind`, 16-byte aligned.

    Raises:
        ValueError: `net_w` is no multiple of 8.
    """
    if net_w % 8:
        raise ValueError(f"a picture's width must be a multiple of 8, not {net_w}")
    args = c_void_p(pictures), c_void_p(out), c_int(net_w), c_int(net_h), look
    _launch(launcher, f"letterbox_{kind}", _blocks(net_w * net_h // 8), count, THREADS, args)


def letterbox_planes(launcher: Launcher, pictures: int, count: int, y: int, uv: int, net_h: int, net_w: int) -> None:
    """`pictures` as above; `y`: (count, 1, net_h, net_w), `uv`: (count, 2, net_h / 2, net_w / 2) uint8."""
    args = c_void_p(pictures), c_void_p(y), c_void_p(uv), c_int(net_w), c_int(net_h)
    _launch(launcher, "letterbox_planes", _blocks(net_w * net_h * 3 // 2), count, THREADS, args)


def wanted(classes: Collection[int]) -> Wanted:
    """Those classes and no others."""
    bits = Wanted()
    for number in classes:
        bits.bits[number // 32] |= 1 << number % 32
    return bits


class SuppressBuffers(NamedTuple):
    """Addresses. Its own: `scores` (count, rows) float32, `classes` (count, rows) int32, `scratch` (count, CANDIDATES, 4) float32.
    The answer: `boxes` (count, MOST, 4) float32 xyxy, `box_scores` (count, MOST) float32, `box_classes` (count, MOST) int32, `counts`
    (count, 2) int32: boxes, and candidates before suppression."""

    scores: int
    classes: int
    scratch: int
    boxes: int
    box_scores: int
    box_classes: int
    counts: int


def suppress(
    launcher: Launcher,
    rows: Rows | Maps,
    count: int,
    kind: Kind,
    only: Wanted,
    conf: float,
    iou: float,
    buffers: SuppressBuffers,
) -> None:
    """Of `count` pictures' rows the boxes with scores above `conf`, best first, one a thing; `kind` is the rows' type.

    Raises:
        ValueError: more classes than MOST_CLASSES.
    """
    if rows.classes > MOST_CLASSES:
        raise ValueError(f"at most {MOST_CLASSES} classes, not {rows.classes}")
    scores, classes = c_void_p(buffers.scores), c_void_p(buffers.classes)
    filtering = rows, c_float(conf), only, scores, classes
    form = f"{'maps' if isinstance(rows, Maps) else 'rows'}_{kind}"
    _launch(launcher, f"score_{form}", _blocks(rows.places), count, THREADS, filtering)
    suppressing = rows, scores, classes, c_float(iou), *map(c_void_p, buffers[2:])
    _launch(launcher, f"suppress_{form}", 1, count, SUPPRESS_THREADS, suppressing)


def crop(launcher: Launcher, crops: int, count: int, largest_px: int) -> None:
    """`crops`: address of `count` Crop; `largest_px`: pixels of the largest picture that is made."""
    _launch(launcher, "crop", _blocks(largest_px * 3 // 2), count, THREADS, (c_void_p(crops),))


def redact(launcher: Launcher, frames: int, count: int, covers: int, largest_px: int) -> None:
    """`frames`: address of `count` Redacted; `covers`: of their Cover; `largest_px`: pixels of the largest frame."""
    _launch(launcher, "redact", _blocks(largest_px // 4), count, THREADS, (c_void_p(frames), c_void_p(covers)))
