"""pycuda where it is not installed: what the runtime uses of it, by the same calls of the driver."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from tests.gpu.driver import Driver


def fake_pycuda(driver: Driver) -> ModuleType:
    """In place of pycuda.driver."""

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

        def __del__(self) -> None:
            driver.call("cuStreamDestroy", self.handle)

    class Memory:
        _address = 0

        def __init__(self, size: int) -> None:
            self._address = int(driver.call("cuMemAlloc", size))

        def __int__(self) -> int:
            return self._address

        def __del__(self) -> None:
            if self._address:
                with driver.context():
                    driver.call("cuMemFree", self._address)

    def pagelocked_empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        driver.call("cuMemFreeHost", driver.call("cuMemAllocHost", 1))  # as it allocates, it is none of a capture's
        return np.full(shape, 0xEE, dtype)

    def to_device(dest: Memory, src: np.ndarray, stream: Stream) -> None:
        driver.call("cuMemcpyHtoDAsync", int(dest), src.ctypes.data, src.nbytes, stream.handle)

    def to_host(dest: np.ndarray, src: Memory, stream: Stream) -> None:
        driver.call("cuMemcpyDtoHAsync", dest.ctypes.data, int(src), dest.nbytes, stream.handle)

    module: Any = ModuleType("pycuda.driver")
    module.init = lambda: None
    module.Error = AssertionError  # as the driver's calls raise it here
    module.Device = Device
    module.Context = Context
    module.Stream = Stream
    module.mem_alloc = Memory
    module.pagelocked_empty = pagelocked_empty
    module.memcpy_htod_async = to_device
    module.memcpy_dtoh_async = to_host
    return module
