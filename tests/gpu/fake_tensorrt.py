"""TensorRT's runtime in little, on the emulated GPU, and pycuda where that is not installed.

`network` computes; the members of these classes are held to the real bindings by tests/contract/test_tensorrt.py.
"""

from __future__ import annotations

import ctypes
from enum import Enum
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from tests.gpu.driver import Driver

HostFunction = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def fake_pycuda(driver: Driver) -> ModuleType:
    """What the runtime uses of pycuda.driver, by the same calls of the driver."""

    class Context:
        def __init__(self, device: Any) -> None:
            self._device, self._handle = device, driver.call("cuDevicePrimaryCtxRetain", device)

        def push(self) -> None:
            driver.call("cuCtxPushCurrent", self._handle)

        @staticmethod
        def pop() -> None:
            driver.call("cuCtxPopCurrent")

        def detach(self) -> None:
            self.push()
            driver.call("cuDevicePrimaryCtxRelease", self._device)

    class Device:
        def __init__(self, number: int) -> None:
            self._device = driver.call("cuDeviceGet", number)

        def retain_primary_context(self) -> Context:
            return Context(self._device)

    class Stream:
        def __init__(self, flags: int = 0) -> None:
            self.handle = int(driver.call("cuStreamCreate", flags))

        def synchronize(self) -> None:
            driver.call("cuStreamSynchronize", self.handle)

    class Memory:
        def __init__(self, size: int) -> None:
            self._address = int(driver.call("cuMemAlloc", size))

        def __int__(self) -> int:
            return self._address

        def __del__(self) -> None:
            with driver.context():
                driver.call("cuMemFree", self._address)

    def to_device(dest: Memory, src: np.ndarray, stream: Stream) -> None:
        driver.call("cuMemcpyHtoDAsync", int(dest), src.ctypes.data, src.nbytes, stream.handle)

    def to_host(dest: np.ndarray, src: Memory, stream: Stream) -> None:
        driver.call("cuMemcpyDtoHAsync", dest.ctypes.data, int(src), dest.nbytes, stream.handle)

    module: Any = ModuleType("pycuda.driver")
    module.init, module.Error, module.Device, module.Context, module.Stream = (
        lambda: None,
        RuntimeError,
        Device,
        Context,
        Stream,
    )
    module.pagelocked_empty, module.mem_alloc = np.empty, Memory
    module.memcpy_htod_async, module.memcpy_dtoh_async = to_device, to_host
    return module


def view(address: int, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    kind = np.dtype(dtype)
    raw = (ctypes.c_ubyte * (int(np.prod(shape)) * kind.itemsize)).from_address(address)
    return np.frombuffer(raw, kind).reshape(shape)


Tensors = dict[str, tuple[str, tuple[int, ...], str]]
"""Mode, shape with −1 for the batch, numpy's name of the type."""


def fake_tensorrt(driver: Driver, tensors: Tensors, buckets: list[tuple[int, int, int]], network: Any) -> Any:
    """A module whose only plan is an engine that computes `network` (inputs by name → outputs by name)."""
    modes = Enum("TensorIOMode", ["NONE", "INPUT", "OUTPUT"])
    strategies = Enum("ExecutionContextAllocationStrategy", ["STATIC", "USER_MANAGED"])

    def allocate() -> None:
        """As TensorRT does: fails without a context, and during a capture."""
        driver.call("cuMemFree", driver.call("cuMemAlloc", 64))

    class Logger:
        ERROR = 1

        def __init__(self, min_severity: Any = None) -> None:
            pass

    class IExecutionContext:
        def __init__(self) -> None:
            self._profile: int | None = None
            self._batch: dict[str, int] = {}
            self._addresses: dict[str, int] = {}
            self._memory = 0
            self._work = HostFunction(lambda _: self._compute())

        def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
            driver.call("cuCtxGetDevice")
            self._profile = profile_index
            return stream_handle != 0  # where TensorRT would wait

        def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
            assert self._profile is not None, "shapes come after the profile"
            mode, declared, _ = tensors[name]
            least, _, most = buckets[self._profile]
            self._batch[name] = shape[0]
            return mode == "INPUT" and least <= shape[0] <= most and shape[1:] == declared[1:]

        def set_tensor_address(self, name: str, memory: int) -> bool:
            self._addresses[name] = memory
            return memory != 0

        def set_device_memory(self, memory: int, size: int) -> None:
            assert size >= 64
            self._memory = memory

        def infer_shapes(self) -> list[str]:
            return [name for name, (mode, *_) in tensors.items() if mode == "INPUT" and name not in self._batch]

        def execute_async_v3(self, stream_handle: int) -> bool:
            if set(self._addresses) != set(tensors) or not self._memory:
                return False
            driver.call("cuLaunchHostFunc", stream_handle, ctypes.cast(self._work, ctypes.c_void_p).value, 0)
            return True

        def _compute(self) -> None:
            (batch,) = set(self._batch.values())
            seen = {
                name: view(self._addresses[name], (batch, *shape[1:]), dtype)
                for name, (_, shape, dtype) in tensors.items()
            }
            for name, values in network({n: v for n, v in seen.items() if tensors[n][0] == "INPUT"}).items():
                seen[name][...] = values

    class ICudaEngine:
        num_io_tensors = len(tensors)
        device_memory_size_v2 = 64

        def get_tensor_name(self, index: int) -> str:
            return list(tensors)[index]

        def get_tensor_mode(self, name: str) -> Any:
            return modes[tensors[name][0]]

        def get_tensor_shape(self, name: str) -> tuple[int, ...]:
            return tensors[name][1]

        def get_tensor_dtype(self, name: str) -> str:
            return tensors[name][2]

        def create_execution_context(self, strategy: Any = None) -> IExecutionContext:
            allocate()
            assert strategy is strategies.USER_MANAGED
            return IExecutionContext()

    class Runtime:
        def __init__(self, logger: Logger) -> None:
            allocate()

        def deserialize_cuda_engine(self, serialized_engine: Any) -> ICudaEngine | None:
            return ICudaEngine() if bytes(serialized_engine) == b"plan" else None

    return SimpleNamespace(
        Logger=Logger, Runtime=Runtime, ICudaEngine=ICudaEngine, IExecutionContext=IExecutionContext,
        TensorIOMode=modes, ExecutionContextAllocationStrategy=strategies, nptype=np.dtype,
    )  # fmt: skip
