"""The first GPU of CUDA, as its driver names it, through the C functions of NVML (nvml.h) and CUDA: nothing needs to be installed, no
context is made."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from engines.plans.store import PlanError

LIBRARY: Final = "libnvidia-ml.so.1"
CUDA: Final = "libcuda.so.1"
NAME_BYTES: Final = 96
PLACE_BYTES: Final = 32
CLOCK_SM, CLOCK_MEMORY = 1, 2
Load = Callable[[str], ctypes.CDLL]


@dataclass(frozen=True, slots=True)
class Gpu:
    """`capability` as in "9.0"; `memory_mib` in all."""

    name: str
    driver: str
    capability: str
    memory_mib: int


class _Memory(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in ("total", "free", "used")]


def read_gpu(load: Load = ctypes.CDLL) -> Gpu:
    """The GPU that networks run on.

    Raises:
        PlanError: no driver, or no GPU.
    """
    with _opened(load) as (library, device):
        name, driver = (ctypes.create_string_buffer(NAME_BYTES) for _ in range(2))
        major, minor = ctypes.c_int(), ctypes.c_int()
        memory = _Memory()
        _call(library, "nvmlDeviceGetName", device, name, NAME_BYTES)
        _call(library, "nvmlSystemGetDriverVersion", driver, NAME_BYTES)
        _call(library, "nvmlDeviceGetCudaComputeCapability", device, ctypes.byref(major), ctypes.byref(minor))
        _call(library, "nvmlDeviceGetMemoryInfo", device, ctypes.byref(memory))
        capability = f"{major.value}.{minor.value}"
        return Gpu(name.value.decode(), driver.value.decode(), capability, memory.total >> 20)


@dataclass(frozen=True, slots=True)
class State:
    """Clocks in MHz, memory in use in MiB, by all processes."""

    sm_mhz: int
    memory_mhz: int
    used_mib: int


def read_state(load: Load = ctypes.CDLL) -> State:
    """The GPU's clocks and memory at this moment; raises `PlanError` as `read_gpu` does."""
    with _opened(load) as (library, device):
        clocks = []
        for which in (CLOCK_SM, CLOCK_MEMORY):
            mhz = ctypes.c_uint()
            _call(library, "nvmlDeviceGetClockInfo", device, which, ctypes.byref(mhz))
            clocks.append(mhz.value)
        memory = _Memory()
        _call(library, "nvmlDeviceGetMemoryInfo", device, ctypes.byref(memory))
        return State(clocks[0], clocks[1], memory.used >> 20)


@contextmanager
def _opened(load: Load) -> Iterator[tuple[ctypes.CDLL, ctypes.c_void_p]]:
    """NVML, and its handle of the GPU."""
    try:
        library, cuda = load(LIBRARY), load(CUDA)
    except OSError as error:
        raise PlanError(f"no NVIDIA driver on this machine ({error}): plans are built on their GPU") from None
    _call(library, "nvmlInit_v2")
    try:
        device = ctypes.c_void_p()
        _call(library, "nvmlDeviceGetHandleByPciBusId_v2", _place(cuda), ctypes.byref(device))
        yield library, device
    finally:
        library.nvmlShutdown()


def _place(cuda: ctypes.CDLL) -> ctypes.Array[ctypes.c_char]:
    """Of CUDA's first GPU on the bus: NVML numbers the GPUs otherwise, and those too that CUDA_VISIBLE_DEVICES hides."""
    device, place = ctypes.c_int(), ctypes.create_string_buffer(PLACE_BYTES)
    code = cuda.cuInit(0) or cuda.cuDeviceGet(ctypes.byref(device), 0)
    code = code or cuda.cuDeviceGetPCIBusId(place, PLACE_BYTES, device)
    if code:
        raise PlanError(f"the NVIDIA driver shows CUDA no GPU here (error {code}); in a container, pass --gpus")
    return place


def _call(library: ctypes.CDLL, name: str, *arguments: object) -> None:
    code = getattr(library, name)(*arguments)
    if code:
        library.nvmlErrorString.restype = ctypes.c_char_p
        raise PlanError(
            f"the NVIDIA driver cannot be asked: {name} says {(library.nvmlErrorString(code) or b'').decode()}"
        )
