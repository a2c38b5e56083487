"""A GPU that is none: the parts of pycuda, cuda-bindings and TensorRT that the runtime uses, over host memory.

Work waits in the stream until it is synchronised, what is captured is only kept, and nothing may be called outside a context: a runtime
that reads too early, forgets a copy or leaves a context pushed fails here. `network` computes; its members are held to the real
bindings by test_tensorrt.py.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from enum import Enum
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.engines.host_kernels import HostLauncher, build

Work = Callable[[], None]


class FakeGpu:
    """The state of one device, and the modules that see it."""

    def __init__(self) -> None:
        self.depth = 0
        self.retained = 0
        self.pending: list[Work] = []
        self.captured: list[Work] | None = None
        self.graphs = 0
        self.launches = 0

    def add(self, work: Work) -> None:
        self.check()
        (self.pending if self.captured is None else self.captured).append(work)

    def check(self) -> None:
        assert self.depth == 1, "called outside the context"

    def outside_capture(self) -> None:
        self.check()
        assert self.captured is None, "allocated or waited during a capture"

    @property
    def pycuda(self) -> Any:
        gpu = self

        class Context:
            def push(self) -> None:
                gpu.depth += 1

            @staticmethod
            def pop() -> None:
                gpu.depth -= 1

            def detach(self) -> None:
                assert gpu.depth == 0
                gpu.retained -= 1

        class Device:
            def __init__(self, index: int) -> None:
                assert index == 0

            def retain_primary_context(self) -> Context:
                gpu.retained += 1
                return Context()

        class Stream:
            def __init__(self, flags: int = 0) -> None:
                gpu.outside_capture()
                self.handle = 7

            def synchronize(self) -> None:
                gpu.outside_capture()
                work, gpu.pending = gpu.pending, []
                for one in work:
                    one()

        def pagelocked_empty(shape: Any, dtype: Any) -> np.ndarray:
            gpu.outside_capture()
            return np.empty(shape, dtype)

        def mem_alloc(size: int) -> DeviceMemory:
            gpu.outside_capture()
            return DeviceMemory(size)

        def copy(to: Any, source: Any) -> None:
            size = source.nbytes if isinstance(source, np.ndarray) else to.nbytes
            ends = [end.ctypes.data if isinstance(end, np.ndarray) else int(end) for end in (to, source)]
            gpu.add(lambda: ctypes.memmove(*ends, size) and None)

        return SimpleNamespace(
            init=lambda: None, Error=RuntimeError, Device=Device, Context=Context, Stream=Stream, mem_alloc=mem_alloc,
            pagelocked_empty=pagelocked_empty, memcpy_htod_async=lambda dest, src, stream: copy(dest, src),
            memcpy_dtoh_async=lambda dest, src, stream: copy(dest, src),
        )  # fmt: skip

    @property
    def driver(self) -> Any:
        gpu = self
        result = Enum("CUresult", ["CUDA_SUCCESS", "CUDA_ERROR_INVALID_VALUE"])
        fine = result.CUDA_SUCCESS

        def begin(stream: int, mode: Any) -> tuple[Any]:
            gpu.outside_capture()
            assert not gpu.pending, "captured before the stream was waited for"
            gpu.captured = []
            return (fine,)

        def end(stream: int) -> tuple[Any, Any]:
            gpu.check()
            work, gpu.captured = gpu.captured, None
            return fine, work

        def instantiate(graph: list[Work], flags: int) -> tuple[Any, Any]:
            gpu.graphs += 1
            return fine, graph

        def launch(graph: list[Work], stream: int) -> tuple[Any]:
            gpu.launches += 1
            for one in graph:
                gpu.add(one)
            return (fine,)

        def destroy(graph: list[Work]) -> tuple[Any]:
            gpu.graphs -= 1
            return (fine,)

        return SimpleNamespace(
            CUresult=result, CUstream=int, cuStreamBeginCapture=begin, cuStreamEndCapture=end,
            CUstreamCaptureMode=Enum("CUstreamCaptureMode", ["CU_STREAM_CAPTURE_MODE_THREAD_LOCAL"]),
            cuGraphInstantiate=instantiate, cuGraphLaunch=launch, cuGraphExecDestroy=destroy,
            cuGraphDestroy=lambda graph: (fine,),
        )  # fmt: skip


class DeviceMemory:
    """Host memory in its place, full of what nobody wrote."""

    def __init__(self, size: int) -> None:
        self._bytes = np.full(size, 0xEE, np.uint8)

    def __int__(self) -> int:
        return int(self._bytes.ctypes.data)


def view(address: int, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    kind = np.dtype(dtype)
    raw = (ctypes.c_ubyte * (int(np.prod(shape)) * kind.itemsize)).from_address(address)
    return np.frombuffer(raw, kind).reshape(shape)


class FakeLauncher:
    """The kernels on this GPU: built as host C++, run when the stream is waited for."""

    def __init__(self, gpu: FakeGpu) -> None:
        self._gpu, self._host = gpu, HostLauncher(build())

    def launch(self, name: str, x: int, y: int, threads: int, args: Any) -> None:
        self._gpu.add(lambda: self._host.launch(name, x, y, threads, args))

    def upload(self, there: int, here: np.ndarray) -> None:
        self._gpu.add(lambda: self._host.upload(there, here))

    def download(self, here: np.ndarray, there: int) -> None:
        self._gpu.add(lambda: self._host.download(here, there))


Tensors = dict[str, tuple[str, tuple[int, ...], str]]
"""Mode, shape with −1 for the batch, numpy's name of the type."""


def fake_tensorrt(gpu: FakeGpu, tensors: Tensors, buckets: list[tuple[int, int, int]], network: Any) -> Any:
    """A module whose only plan is an engine that computes `network` (inputs by name → outputs by name)."""
    modes = Enum("TensorIOMode", ["NONE", "INPUT", "OUTPUT"])
    strategies = Enum("ExecutionContextAllocationStrategy", ["STATIC", "USER_MANAGED"])

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

        def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
            gpu.outside_capture()
            self._profile = profile_index
            return stream_handle == 7

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
            gpu.add(self._compute)
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
            gpu.outside_capture()
            assert strategy is strategies.USER_MANAGED
            return IExecutionContext()

    class Runtime:
        def __init__(self, logger: Logger) -> None:
            gpu.outside_capture()

        def deserialize_cuda_engine(self, serialized_engine: Any) -> ICudaEngine | None:
            return ICudaEngine() if bytes(serialized_engine) == b"plan" else None

    return SimpleNamespace(
        Logger=Logger, Runtime=Runtime, ICudaEngine=ICudaEngine, IExecutionContext=IExecutionContext,
        TensorIOMode=modes, ExecutionContextAllocationStrategy=strategies, nptype=np.dtype,
    )  # fmt: skip
