"""NVIDIA's driver for tests: the one that is here, or else one without a GPU, compiled from driver.cpp."""

from __future__ import annotations

import ctypes
import gc
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from engines.runtimes.kernels import FOLDER

COUNTED = "retained", "streams", "graphs", "allocated", "launches"
SOURCE = Path(__file__).with_name("driver.cpp")
FLAGS = (
    "-std=c++20", "-O2", "-pthread", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas",
    "-fsanitize=undefined", "-fno-sanitize-recover", "-static-libubsan", "-I", FOLDER,
)  # fmt: skip
NOT_SUPPORTED = 801


class Driver(NamedTuple):
    """`api`: cuda.bindings.driver; `emulated`: the library that stands in, where there is no GPU."""

    api: ModuleType
    emulated: ctypes.CDLL | None

    def call(self, name: str, *arguments: Any) -> Any:
        """What it gives beside its error, of which there must be none."""
        error, *values = getattr(self.api, name)(*arguments)
        assert not error.value, f"{name}: {error.name}"
        return values[0] if values else None

    @contextmanager
    def context(self) -> Iterator[None]:
        """The first GPU's primary context, current in this thread."""
        device = self.call("cuDeviceGet", 0)
        self.call("cuCtxPushCurrent", self.call("cuDevicePrimaryCtxRetain", device))
        try:
            yield
        finally:
            self.call("cuCtxPopCurrent")
            self.call("cuDevicePrimaryCtxRelease", device)

    def count(self, name: str) -> int:
        """Of the emulated one, since `count_anew`: one of `COUNTED`; launches are of graphs."""
        return self._counter(name).value

    def count_anew(self) -> None:
        gc.collect()
        for name in COUNTED:
            self._counter(name).value = 0

    def _counter(self, name: str) -> ctypes.c_int:
        assert self.emulated is not None
        return ctypes.c_int.in_dll(self.emulated, f"emulated_{name}")

    def held(self) -> dict[str, int]:
        """What there still is of the emulated one, and how many contexts are current in this thread."""
        gc.collect()  # what a failure's traceback held
        there = {"contexts": self.depth} | {name: self.count(name) for name in COUNTED[:-1]}
        return {name: number for name, number in there.items() if number}

    @property
    def depth(self) -> int:
        """Of contexts that are pushed in this thread."""
        assert self.emulated is not None
        depth: int = self.emulated.emulated_depth()
        return depth


@cache
def open_driver() -> Driver:
    """Skips the test where cuda-bindings or g++ is missing; a compiler that fails is a failure."""
    api = pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings is not installed")
    emulated = None if _gpu_is_here() else _compiled("libcuda.so.1", *FLAGS, SOURCE)
    driver = Driver(api, emulated)
    driver.call("cuInit", 0)
    return driver


def _gpu_is_here() -> bool:
    """Asked in a process of its own: in one that has loaded a driver no other can take its name."""
    ask = "import ctypes, sys; sys.exit(ctypes.CDLL('libcuda.so.1').cuInit(0))"
    return subprocess.run([sys.executable, "-c", ask], capture_output=True, check=False).returncode == 0


def emulated_driver() -> Driver:
    """For what reads the device's memory as its own."""
    driver = open_driver()
    if driver.emulated is None:
        pytest.skip("a GPU is here, and this needs the emulated one")
    return driver


def real_pycuda(driver: Driver) -> None:
    """Skips the test where pycuda is not installed. It wants to find the whole driver when it is imported: what is not emulated says
    that it is not supported."""
    package = find_spec("pycuda")
    if package is None or package.origin is None:
        pytest.skip("pycuda is not installed")
    if "pycuda.driver" not in sys.modules:
        (extension,) = Path(package.origin).parent.glob("_driver*.so")
        symbols = subprocess.run(
            ["nm", "-D", "--undefined-only", extension], capture_output=True, text=True, check=True
        ).stdout
        missing = [name for name in re.findall(r"\bcu[A-Z]\w+", symbols) if not hasattr(driver.emulated, name)]
        source = "".join(f"int {name}() {{ return {NOT_SUPPORTED}; }}\n" for name in missing)
        _compiled("rest_of_libcuda.so", "-x", "c", "-", source=source)
    import pycuda.driver  # noqa: F401


def _compiled(name: str, *words: str | Path, source: str = "") -> ctypes.CDLL:
    """A library under whose name it is found from now on by whoever asks for it."""
    if shutil.which("g++") is None:
        pytest.skip("no C++ compiler here")
    library = Path(_folder().name, name)
    command = ["g++", *words, "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", library]
    subprocess.run(command, input=source, text=True, check=True)
    return ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)


@cache
def _folder() -> TemporaryDirectory[str]:
    """As long as the process lives."""
    return TemporaryDirectory()
