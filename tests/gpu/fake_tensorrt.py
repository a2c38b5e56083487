"""TensorRT's runtime in little, on the emulated GPU.

`network` computes; the members of these classes are held to the real bindings by tests/contract/test_tensorrt.py.
"""

from __future__ import annotations

import ctypes
from enum import Enum
from types import SimpleNamespace
from typing import Any
from weakref import ref

import numpy as np

from tests.gpu.driver import Driver

HostFunction = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


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

    class Held:
        """What has memory of the GPU: it is made where the context is current and nothing is captured. To free it, CUDA's runtime, which
        TensorRT uses, takes the primary context where none is."""

        def __init__(self) -> None:
            self._held = driver.call("cuMemAlloc", 64)

        def __del__(self) -> None:
            with driver.context():
                driver.call("cuMemFree", self._held)

    class Logger:
        ERROR = 1

        def __init__(self, min_severity: Any = None) -> None:
            pass

    class IExecutionContext(Held):
        def __init__(self) -> None:
            super().__init__()
            here = ref(self)
            self._profile: int | None = None
            self._batch: dict[str, int] = {}
            self._addresses: dict[str, int] = {}
            self._memory = 0
            self._work = HostFunction(lambda _: here()._compute())  # type: ignore[union-attr]

        def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
            driver.call("cuMemFree", driver.call("cuMemAlloc", 1))  # as it waits, it is none of a capture's
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
            assert driver.emulated is not None
            launched: int = driver.emulated.cuLaunchHostFunc(ctypes.c_void_p(stream_handle), self._work, None)
            return launched == 0

        def _compute(self) -> None:
            (batch,) = set(self._batch.values())
            seen = {
                name: view(self._addresses[name], (batch, *shape[1:]), dtype)
                for name, (_, shape, dtype) in tensors.items()
            }
            for name, values in network({n: v for n, v in seen.items() if tensors[n][0] == "INPUT"}).items():
                seen[name][...] = values

    class ICudaEngine(Held):
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
            assert strategy is strategies.USER_MANAGED
            return IExecutionContext()

    class Runtime(Held):
        def __init__(self, logger: Logger) -> None:
            super().__init__()

        def deserialize_cuda_engine(self, serialized_engine: Any) -> ICudaEngine | None:
            return ICudaEngine() if bytes(serialized_engine) == b"plan" else None

    return SimpleNamespace(
        Logger=Logger, Runtime=Runtime, ICudaEngine=ICudaEngine, IExecutionContext=IExecutionContext,
        TensorIOMode=modes, ExecutionContextAllocationStrategy=strategies, nptype=np.dtype,
    )  # fmt: skip
