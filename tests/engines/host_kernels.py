"""The GPU kernels built as host C++, or on the GPU that is here: launched through the same functions, on memory that both sides see."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

from engines.frame import Frame
from engines.runtimes.kernels import FOLDER, Module, Planes, addresses_of

MOST_THREADS = 5
"""Of a block, here: enough that a barrier that is missing shows, few enough to be quick."""


@cache
def build() -> ctypes.CDLL:
    """Skips the test where no compiler is; one that is there and fails is a failure."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler here")
    command = [compiler, "-std=c++20", "-x", "c++", "-O2", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas"]
    command += ["-fsanitize=undefined", "-fno-sanitize-recover", "-static-libubsan"] if "g++" in compiler else []
    with TemporaryDirectory() as folder:
        library = Path(folder, "kernels.so")
        subprocess.run([*command, "-shared", "-fPIC", "-pthread", "-o", library, FOLDER / "kernels.cu"], check=True)
        return ctypes.CDLL(str(library))


class HostLauncher:
    """Runs each kernel with as many blocks across as asked for, up to 3: all of them step over the whole picture."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def launch(self, name: str, x: int, y: int, threads: int, args: Sequence[Any]) -> None:
        function = getattr(self._library, f"launch_{name}")
        grid = ctypes.c_uint(min(x, 3)), ctypes.c_uint(y), ctypes.c_uint(min(threads, MOST_THREADS))
        function(addresses_of(args), *grid)

    def upload(self, there: int, here: np.ndarray) -> None:
        ctypes.memmove(there, here.ctypes.data, here.nbytes)

    def download(self, here: np.ndarray, there: int) -> None:
        ctypes.memmove(here.ctypes.data, there, here.nbytes)

    def array(self, values: np.ndarray) -> np.ndarray:
        """A copy that a kernel can work on."""
        return np.ascontiguousarray(values)


class DeviceLauncher:
    """The built image on the first GPU, in its primary context; what is launched is waited for."""

    def __init__(self) -> None:
        driver = pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings is not installed")
        try:
            error, *_ = driver.cuInit(0)
        except RuntimeError as missing:  # cuda-bindings says so only at the first call
            pytest.skip(f"no NVIDIA driver here: {str(missing).splitlines()[0]}")
        if error.value:
            pytest.skip(f"no NVIDIA GPU here: {error.name}")
        self._driver = driver
        _, context = driver.cuDevicePrimaryCtxRetain(driver.cuDeviceGet(0)[1])
        driver.cuCtxSetCurrent(context)
        self._module = Module(0)

    def launch(self, name: str, x: int, y: int, threads: int, args: Sequence[Any]) -> None:
        self._module.launch(name, x, y, threads, args)
        (error,) = self._driver.cuCtxSynchronize()
        assert not error.value, error.name

    def array(self, values: np.ndarray) -> np.ndarray:
        """In managed memory, which lives as long as the process."""
        values = np.ascontiguousarray(values)
        attach = self._driver.CUmemAttach_flags.CU_MEM_ATTACH_GLOBAL.value
        error, address = self._driver.cuMemAllocManaged(max(1, values.nbytes), attach)
        assert not error.value, error.name
        raw = (ctypes.c_ubyte * values.nbytes).from_address(int(address))
        there = np.frombuffer(raw, values.dtype).reshape(values.shape)
        there[...] = values
        return there


Gpu = HostLauncher | DeviceLauncher


def array_of(gpu: Gpu, items: list[Any]) -> tuple[Any, int]:
    """Structures behind one another, and their address; the first keeps them alive."""
    array = gpu.array(np.frombuffer(bytes((type(items[0]) * len(items))(*items)), np.uint8))
    return array, array.ctypes.data


class DeviceFrame:
    """A frame as a decoder leaves it: lines longer than the picture, NV12 or I420; what lies beside the picture is guarded."""

    GUARD = 0xA5

    def __init__(self, gpu: Gpu, frame: Frame, nv12: bool, spare: int) -> None:
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
