"""The GPU kernels compute what the CPU code computes: launched by cuda-bindings, on the GPU that is here or as host C++."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.detect.detector import settled
from engines.detect.families.family import Look as NetworkLook
from engines.detect.families.yolov5 import ANCHORS_P5, ANCHORS_P6, P5, P6, decode_maps
from engines.detect.letterbox import Letterbox
from engines.detect.nms import suppress as suppress_on_cpu
from engines.detect.picture import PictureInput
from engines.frame import Frame, Picture
from engines.render.crop import Window
from engines.render.crop import crop as crop_on_cpu
from engines.render.redact import SOLID_YUV, paint_solid
from engines.runtimes import kernels
from tests.gpu.driver import open_driver
from tests.gpu.memory import Device, DeviceFrame, array_of, random_frame

SIZES = ((640, 480), (1280, 720), (101, 77), (3, 2), (50, 333), (640, 360))
"""Enlarged, shrunk by less and by more than two, odd, tiny, upright."""


@pytest.fixture(scope="module")
def gpu() -> Iterator[Device]:
    driver = open_driver()
    with driver.context():
        yield Device(driver)


def batch(gpu: Device, rng: np.random.Generator) -> list[DeviceFrame]:
    """Frames of all sizes, in turns NV12 and I420, with lines of odd lengths."""
    return [
        DeviceFrame(gpu, random_frame(rng, *size), nv12=number % 2 == 0, spare=number * 7)
        for number, size in enumerate(SIZES)
    ]


def letterboxed(frames: list[DeviceFrame], boxes: list[Letterbox]) -> list[kernels.Letterboxed]:
    return [
        kernels.Letterboxed(frame.planes, box.inner_w, box.inner_h) for frame, box in zip(frames, boxes, strict=True)
    ]


@pytest.mark.parametrize("channels", ["rgb", "bgr"])
@pytest.mark.parametrize(("net_w", "net_h", "kind"), [(320, 256, "f16"), (72, 104, "f16"), (72, 104, "f32")])
def test_frames_of_many_sizes_become_one_batch_of_pictures(
    gpu: Device, channels: str, net_w: int, net_h: int, kind: kernels.Kind
) -> None:
    look = NetworkLook(channels, mean=(123.7, 116.3, 103.5), std=(58.4, 57.1, 57.4))  # type: ignore[arg-type]
    frames = batch(gpu, np.random.default_rng(net_w))
    boxes = [Letterbox.within(*frame.frame.y.shape[::-1], net_w, net_h) for frame in frames]
    jobs, address = array_of(gpu, letterboxed(frames, boxes))
    out = gpu.array(np.full((len(frames) + 1, 3, net_h, net_w), np.nan, kind.replace("f", "float")))
    kernels.letterbox(
        gpu, address, len(frames), out.ctypes.data, net_h, net_w,
        kernels.Look(
            tuple(1 / s for s in look.std), tuple(-m / s for m, s in zip(look.mean, look.std, strict=True)),
            tuple((look.pad - m) / s for m, s in zip(look.mean, look.std, strict=True)), channels == "bgr",
        ), kind,
    )  # fmt: skip
    assert np.isnan(out[-1]).all(), "a picture more was written than there are frames"
    expected = np.zeros((3, net_h, net_w), np.float32)
    for frame, box, picture in zip(frames, boxes, out, strict=False):
        PictureInput(expected, look).fill(frame.frame, box)
        levels = np.abs(picture - expected) * np.array(look.std, np.float32)[:, None, None]
        # Colours are rounded three times on the way: each of them may differ by one.
        assert levels.max() <= 4.1
        assert levels.mean() < 0.4
    del jobs


def test_frames_become_the_planes_that_the_face_network_takes(gpu: Device) -> None:
    frames = batch(gpu, np.random.default_rng(1))
    boxes = [Letterbox.within(*frame.frame.y.shape[::-1], 256, 160) for frame in frames]
    jobs, address = array_of(gpu, letterboxed(frames, boxes))
    y = gpu.array(np.zeros((len(frames) + 1, 1, 160, 256), np.uint8))
    uv = gpu.array(np.zeros((len(frames) + 1, 2, 80, 128), np.uint8))
    kernels.letterbox_planes(gpu, address, len(frames), y.ctypes.data, uv.ctypes.data, 160, 256)
    assert not y[-1].any()
    assert not uv[-1].any()
    expected_y, expected_uv = np.zeros_like(y[0]), np.zeros_like(uv[0])
    for number, (frame, box) in enumerate(zip(frames, boxes, strict=True)):
        box.fill(frame.frame, expected_y[0], expected_uv)
        for mine, theirs in ((y[number], expected_y), (uv[number], expected_uv)):
            assert np.abs(mine.astype(int) - theirs).max() <= 1
    del jobs


def test_a_batch_without_pictures_does_nothing(gpu: Device) -> None:
    out = gpu.array(np.zeros(3 * 64 * 64, np.float16))
    kernels.letterbox(gpu, 0, 0, out.ctypes.data, 64, 64, kernels.Look())
    kernels.letterbox_planes(gpu, 0, 0, 0, 0, 64, 64)
    kernels.crop(gpu, 0, 0, 0)
    kernels.redact(gpu, 0, 0, 0, 0)
    assert not out.any()


def test_a_width_that_its_stores_cannot_take_is_refused(gpu: Device) -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        kernels.letterbox(gpu, 0, 1, 0, 64, 60, kernels.Look())


def random_rows(rng: np.random.Generator, rows: int, classes: int, dtype: str) -> np.ndarray:
    """Heaps of overlapping boxes, most of them no candidates, some no numbers."""
    values = np.zeros((rows, 5 + classes), dtype)
    values[:, :2] = rng.uniform(20, 600, (rows // 12 + 1, 2)).repeat(12, 0)[:rows] + rng.normal(0, 6, (rows, 2))
    values[:, 2:4] = rng.uniform(20, 120, (rows, 2))
    values[:, 4:] = rng.uniform(0, 1, (rows, 1 + classes))
    values[rng.random(rows) < 0.05, rng.integers(0, 4)] = np.nan
    return values


class Suppressing:
    """Buffers for `pictures`, and what the kernels leave in them."""

    def __init__(self, gpu: Device, pictures: int, rows: int) -> None:
        self.scores = gpu.array(np.zeros((pictures, rows), np.float32))
        self.classes = gpu.array(np.zeros((pictures, rows), np.int32))
        self.scratch = gpu.array(np.zeros((pictures, kernels.CANDIDATES, 4), np.float32))
        self.boxes = gpu.array(np.zeros((pictures, kernels.MOST, 4), np.float32))
        self.box_scores = gpu.array(np.zeros((pictures, kernels.MOST), np.float32))
        self.box_classes = gpu.array(np.zeros((pictures, kernels.MOST), np.int32))
        self.counts = gpu.array(np.full((pictures, 2), -1, np.int32))

    @property
    def addresses(self) -> kernels.SuppressBuffers:
        return kernels.SuppressBuffers(*(array.ctypes.data for array in vars(self).values()))


def reference(rows: np.ndarray, first: int, only: list[int], conf: float, iou: float) -> tuple[np.ndarray, ...]:
    """Boxes, scores and classes, and how many candidates there were, -1 where some were no numbers; (rows, values), values as
    float32."""
    rows = rows.astype(np.float32)
    among = np.full(rows.shape[1] - first, -np.inf, np.float32)
    among[only] = 0
    classes = (rows[:, first:] + among).argmax(1).astype(np.int32)
    scores = np.take_along_axis(rows[:, first:], classes[:, None], 1)[:, 0]
    if first == 5:
        scores = np.where(rows[:, 4] > conf, scores * rows[:, 4], 0)
    broken = bool((np.isnan(scores) | ((scores > conf) & ~np.isfinite(rows[:, :4]).all(1))).any())
    found = np.flatnonzero((scores > conf) & np.isfinite(rows[:, :4]).all(1))
    candidates = len(found)
    if candidates > kernels.CANDIDATES:
        ranked = np.sort(scores[found])[::-1]
        least = ranked[kernels.CANDIDATES - 1]
        # Those that share a score go together.
        found = found[scores[found] > least] if ranked[kernels.CANDIDATES] == least else found[scores[found] >= least]
    half = rows[found, 2:4] / 2
    boxes = np.concatenate((rows[found, :2] - half, rows[found, :2] + half), 1)
    kept = suppress_on_cpu(boxes, scores[found], iou, classes[found])[: kernels.MOST]
    return boxes[kept], scores[found][kept], classes[found][kept], np.array([len(kept), -1 if broken else candidates])


@pytest.mark.parametrize("dtype", ["f16", "f32"])
@pytest.mark.parametrize(("count", "conf"), [(0, 0.1), (1, 0.1), (300, 0.9), (1000, 0.3), (6000, 0.05)])
def test_of_rows_the_boxes_stay_that_the_cpu_keeps(gpu: Device, dtype: str, count: int, conf: float) -> None:
    rng = np.random.default_rng(count)
    classes, only = 7, [0, 2, 6]
    pictures = gpu.array(np.stack([random_rows(rng, count, classes, dtype.replace("f", "float")) for _ in range(3)]))
    pictures[0] = np.nan_to_num(pictures[0], nan=50)  # all of them numbers
    pictures[1, :, 4] = 0  # nobody there
    buffers = Suppressing(gpu, len(pictures), count)
    rows = kernels.Rows(pictures.ctypes.data, count * 12, 12, 1, count, 5, classes)
    kernels.suppress(gpu, rows, len(pictures), dtype, kernels.wanted(only), conf, 0.45, buffers.addresses)  # type: ignore[arg-type]
    for number, picture in enumerate(pictures):
        boxes, scores, which, counts = reference(picture, 5, only, conf, 0.45)
        if counts[1] < 0:  # not to be relied on
            assert buffers.counts[number, 1] == -1
            continue
        assert buffers.counts[number].tolist() == counts.tolist()
        np.testing.assert_allclose(buffers.boxes[number, : len(boxes)], boxes, atol=1e-3)
        np.testing.assert_allclose(buffers.box_scores[number, : len(boxes)], scores, rtol=1e-6)
        assert buffers.box_classes[number, : len(boxes)].tolist() == which.tolist()
    if count == 6000:
        assert buffers.counts[0, 1] > kernels.CANDIDATES, "this case is there for more candidates than the cap"


def test_more_equal_scores_than_fit_are_left_out_together(gpu: Device) -> None:
    """Which of them came first must not decide."""
    rows = random_rows(np.random.default_rng(2), 4000, 1, "float32")
    rows = rows[np.isfinite(rows).all(1)]
    rows[:, 4:], rows[:50, 5] = 0.5, 0.9
    rows = gpu.array(rows)
    buffers = Suppressing(gpu, 1, len(rows))
    kernels.suppress(
        gpu, kernels.Rows(rows.ctypes.data, 0, 6, 1, len(rows), 5, 1), 1, "f32", kernels.wanted([0]), 0.1, 0.45,
        buffers.addresses,
    )  # fmt: skip
    assert 0 < buffers.counts[0, 0] <= 50
    assert set(buffers.box_scores[0, : buffers.counts[0, 0]]) == {np.float32(0.5 * 0.9)}


def test_rows_may_lie_across_and_have_no_objectness(gpu: Device) -> None:
    """As YOLOv8 gives them: (4 + classes, places)."""
    rows = np.nan_to_num(random_rows(np.random.default_rng(3), 700, 4, "float32"), nan=50)
    across = gpu.array(np.delete(rows, 4, axis=1).T)
    buffers = Suppressing(gpu, 1, 700)
    kernels.suppress(
        gpu, kernels.Rows(across.ctypes.data, 0, 1, 700, 700, 4, 4), 1, "f32", kernels.wanted(range(4)), 0.8, 0.6,
        buffers.addresses,
    )  # fmt: skip
    boxes, _, which, counts = reference(across.T, 4, [0, 1, 2, 3], 0.8, 0.6)
    assert counts[0] > 10
    assert buffers.counts[0].tolist() == counts.tolist()
    assert counts[1] > 0
    np.testing.assert_allclose(buffers.boxes[0, : len(boxes)], boxes, atol=1e-3)
    assert buffers.box_classes[0, : len(boxes)].tolist() == which.tolist()


@pytest.mark.parametrize("dtype", ["f16", "f32"])
@pytest.mark.parametrize(("strides", "anchors"), [(P5, ANCHORS_P5), (P6, ANCHORS_P6)])
def test_maps_are_decoded_as_on_the_cpu(gpu: Device, dtype: str, strides: tuple[int, ...], anchors: Any) -> None:
    rng, size, classes, pictures, conf = np.random.default_rng(8), (128, 192), 5, 2, 0.3
    maps = [
        gpu.array(
            rng.normal(-1, 2, (pictures, 3, size[0] // stride, size[1] // stride, 5 + classes)).astype(
                dtype.replace("f", "float")
            )
        )
        for stride in strides
    ]
    told = kernels.Maps(levels=len(strides), classes=classes)
    for level, (values, stride) in enumerate(zip(maps, strides, strict=True)):
        told.data[level], told.strides[level] = values.ctypes.data, stride
        told.rows[level], told.columns[level] = values.shape[2:4]
        for number, (width, height) in enumerate(anchors[level]):
            told.anchors[level][number][:] = width, height
    buffers = Suppressing(gpu, pictures, told.places)
    kernels.suppress(gpu, told, pictures, dtype, kernels.wanted(range(classes)), conf, 0.45, buffers.addresses)  # type: ignore[arg-type]
    for picture in range(pictures):
        outputs = [values[picture : picture + 1].astype(np.float32) for values in maps]
        found = settled(decode_maps(outputs, conf, size, strides=strides, anchors=anchors), 0.45, classes)
        kept = buffers.counts[picture, 0]
        assert kept == len(found.scores) > 20
        np.testing.assert_allclose(buffers.box_scores[picture, :kept], found.scores, rtol=1e-5)
        np.testing.assert_allclose(buffers.boxes[picture, :kept], found.boxes, rtol=1e-4, atol=1e-3)
        assert buffers.box_classes[picture, :kept].tolist() == found.classes.tolist()


def test_windows_of_several_frames_are_cut_and_scaled_in_one_launch(gpu: Device) -> None:
    rng = np.random.default_rng(4)
    frames = batch(gpu, rng)
    cuts = [
        (0, Window(10.3, 20.7, 180.2, 320.5), (90, 160)),
        (1, Window(0.0, 0.0, 1280.0, 720.0), (128, 72)),
        (1, Window(700.4, 99.9, 300.0, 533.3), (200, 356)),
        (2, Window(50.0, 30.0, 51.0, 47.0), (202, 188)),
        (3, Window(0.0, 0.0, 3.0, 2.0), (6, 4)),
        (4, Window(1.5, 2.5, 45.0, 300.0), (44, 100)),
    ]
    targets = [
        DeviceFrame(gpu, random_frame(rng, *size), nv12=number % 2 == 1, spare=5)
        for number, (*_, size) in enumerate(cuts)
    ]
    jobs, address = array_of(gpu, [
        kernels.Crop(frames[which].planes, target.planes, window.x, window.y, window.w, window.h)
        for (which, window, _), target in zip(cuts, targets, strict=True)
    ])  # fmt: skip
    kernels.crop(gpu, address, len(cuts), max(w * h for *_, (w, h) in cuts))
    for (which, window, size), target in zip(cuts, targets, strict=True):
        expected = Picture(*size)
        crop_on_cpu(frames[which].frame, window, expected)
        for mine, theirs in ((target.y, expected.y), (target.u, expected.u), (target.v, expected.v)):
            apart = np.abs(mine.astype(int) - theirs)
            # OpenCV's warp knows places to 1/32 px.
            assert apart.max() <= 6
            assert apart.mean() < 0.8
        assert target.is_guarded()
    del jobs


def cover(box: list[int], levels: tuple[int, int, int] = SOLID_YUV) -> kernels.Cover:
    y, u, v = levels
    return kernels.Cover(*box, (y,) * 16, (u,) * 4, (v,) * 4)


def even_boxes(rng: np.random.Generator, width: int, height: int, count: int) -> list[list[int]]:
    """Some of them over the edges."""
    low = rng.integers((-20, -20), (width, height), (count, 2)) // 2 * 2
    return np.concatenate((low, low + rng.integers(1, 60, (count, 2)) * 2), 1).tolist()


def test_covers_are_painted_in_place_at_least_where_the_cpu_paints_them(gpu: Device) -> None:
    rng = np.random.default_rng(5)
    frames = batch(gpu, rng)
    boxes = [even_boxes(rng, *frame.frame.y.shape[::-1], 3 * number) for number, frame in enumerate(frames)]
    covers, covers_at = array_of(gpu, [cover(box) for some in boxes for box in some])
    firsts = np.cumsum([0, *map(len, boxes)])
    jobs, address = array_of(gpu, [
        kernels.Redacted(frame.planes, int(first), len(some)) for frame, some, first in zip(frames, boxes, firsts, strict=False)
    ])  # fmt: skip
    kernels.redact(gpu, address, len(frames), covers_at, max(w * h for w, h in SIZES))
    for frame, some in zip(frames, boxes, strict=True):
        expected = Picture(*frame.frame.y.shape[::-1])
        expected.copy_from(frame.frame)
        for box in some:
            paint_solid(expected, box)
        for mine, theirs, before, level in zip(
            (frame.y, frame.u, frame.v), (expected.y, expected.u, expected.v),
            (frame.frame.y, frame.frame.u, frame.frame.v), SOLID_YUV, strict=True,
        ):  # fmt: skip
            painted = theirs != before
            assert (mine[painted] == level).all()
        assert frame.is_guarded()
    del jobs, covers


def test_a_cover_reaches_no_further_than_two_pixels_from_its_box(gpu: Device) -> None:
    frame = DeviceFrame(gpu, random_frame(np.random.default_rng(6), 200, 120), nv12=True, spare=9)
    covers, covers_at = array_of(gpu, [cover([40, 20, 100, 90], (255, 255, 255))])
    jobs, address = array_of(gpu, [kernels.Redacted(frame.planes, 0, 1)])
    kernels.redact(gpu, address, 1, covers_at, 200 * 120)
    for mine, before, shrink in ((frame.y, frame.frame.y, 1), (frame.u, frame.frame.u, 2)):
        rows, columns = np.nonzero(mine != before)
        assert rows.min() >= 20 // shrink - 2
        assert rows.max() < 90 // shrink + 2
        assert columns.min() >= 40 // shrink - 2
        assert columns.max() < 100 // shrink + 2
    del jobs, covers


def test_of_covers_that_overlap_the_last_is_seen_and_cells_lie_as_they_are_given(gpu: Device) -> None:
    flat = Frame(*(np.full(shape, 7, np.uint8) for shape in ((64, 64), (32, 32), (32, 32))), 0, 0)
    frame = DeviceFrame(gpu, flat, nv12=False, spare=0)
    under = cover([0, 0, 64, 64], (50, 60, 70))
    over = kernels.Cover(16, 16, 48, 48, tuple(range(100, 116)), (1, 2, 3, 4), (5, 6, 7, 8))
    covers, covers_at = array_of(gpu, [under, over])
    jobs, address = array_of(gpu, [kernels.Redacted(frame.planes, 0, 2)])
    kernels.redact(gpu, address, 1, covers_at, 64 * 64)
    assert frame.y[32, 8] == 50
    assert [frame.y[y, x] for y in (28, 36) for x in (28, 36)] == [105, 106, 109, 110]
    assert [frame.u[y, x] for y in (14, 17) for x in (14, 17)] == [1, 2, 3, 4]
    assert [frame.v[y, x] for y in (14, 17) for x in (14, 17)] == [5, 6, 7, 8]
    del jobs, covers


def test_the_built_image_is_of_these_sources() -> None:
    """`make kernels` writes both; a source that was changed without it is found here."""
    told = dict(reversed(line.split()) for line in (kernels.FOLDER / "kernels.sha256").read_text().splitlines())
    there = [path for path in kernels.FOLDER.iterdir() if path.suffix in (".cu", ".h", ".fatbin")]
    assert told == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in there}


@pytest.mark.slow
def test_make_kernels_builds_the_same_image_for_every_gpu(tmp_path: Path) -> None:
    if shutil.which("nvcc") is None:
        pytest.skip("no nvcc here")
    if "V13.0.88" not in subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True).stdout:
        pytest.skip("another nvcc than the one that built the image")
    root = kernels.FOLDER.parents[2]
    for path in kernels.FOLDER.glob("*.[ch]*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    subprocess.run(["make", "-s", "-C", root, "kernels", f"KERNELS={tmp_path}"], check=True, timeout=110)
    assert (tmp_path / "kernels.fatbin").read_bytes() == kernels.FATBIN.read_bytes()
