"""What tests give to the kernels: arrays and frames in memory that both sides see."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from engines.frame import Frame
from engines.runtimes.kernels import Module, Planes
from tests.gpu.driver import Driver


class Device:
    """The kernels' image in the context that is current; what is launched is waited for."""

    def __init__(self, driver: Driver) -> None:
        self._driver, self._module = driver, Module(0)

    def launch(self, name: str, x: int, y: int, threads: int, args: Sequence[Any]) -> None:
        self._module.launch(name, x, y, threads, args)
        self._driver.call("cuCtxSynchronize")

    def array(self, values: np.ndarray) -> np.ndarray:
        """A copy in managed memory, which lives as long as the process."""
        values = np.ascontiguousarray(values)
        attach = self._driver.api.CUmemAttach_flags.CU_MEM_ATTACH_GLOBAL.value
        address = self._driver.call("cuMemAllocManaged", max(1, values.nbytes), attach)
        raw = (ctypes.c_ubyte * values.nbytes).from_address(int(address))
        there = np.frombuffer(raw, values.dtype).reshape(values.shape)
        there[...] = values
        return there


def array_of(gpu: Device, items: list[Any]) -> tuple[Any, int]:
    """Structures behind one another, and their address; the first keeps them alive."""
    array = gpu.array(np.frombuffer(bytes((type(items[0]) * len(items))(*items)), np.uint8))
    return array, array.ctypes.data


class DeviceFrame:
    """A frame as a decoder leaves it: lines longer than the picture, NV12 or I420; what lies beside the picture is guarded."""

    GUARD = 0xA5

    def __init__(self, gpu: Device, frame: Frame, nv12: bool, spare: int) -> None:
        self.frame, self.nv12 = frame, nv12
        height, width = frame.y.shape
        half_h, half_w = frame.u.shape
        step = 2 if nv12 else 1
        self._y = gpu.array(np.full((height + 1, width + spare), self.GUARD, np.uint8))
        self._uv = gpu.array(np.full((2, half_h + 1, half_w * step + spare), self.GUARD, np.uint8))
        self.y = self._y[:height, :width]
        if nv12:
            self.u, self.v = (self._uv[0, :half_h, first : half_w * 2 : 2] for first in (0, 1))
        else:
            self.u, self.v = (self._uv[plane, :half_h, :half_w] for plane in (0, 1))
        self.y[:], self.u[:], self.v[:] = frame.y, frame.u, frame.v
        self.planes = Planes(
            self.y.ctypes.data, self.u.ctypes.data, self.v.ctypes.data,
            width, height, self._y.shape[1], self._uv.shape[2], step,
        )  # fmt: skip

    def is_guarded(self) -> bool:
        """Whether nothing beside the picture was written to."""
        seen = []
        for whole, planes in ((self._y, (self.y,)), (self._uv, (self.u, self.v))):
            kept = [plane.copy() for plane in planes]
            for plane in planes:
                plane[:] = self.GUARD
            seen.append(bool((whole == self.GUARD).all()))
            for plane, values in zip(planes, kept, strict=True):
                plane[:] = values
        return all(seen)


def random_frame(rng: np.random.Generator, width: int, height: int) -> Frame:
    """Smooth light with noise on it."""
    planes = []
    for shrink in (1, 2, 2):
        w, h = -(-width // shrink), -(-height // shrink)
        waves = np.sin(np.arange(w) / rng.uniform(3, 20)) + np.sin(np.arange(h) / rng.uniform(3, 20))[:, None]
        planes.append(np.clip(128 + 45 * waves + rng.normal(0, 12, (h, w)), 0, 255).astype(np.uint8))
    return Frame(*planes, 0, 0)
