"""One stream of one GPU for a library that is not torch: pycuda's memory and copies, CUDA graphs by cuda-bindings, which pycuda lacks.

Both work in the device's primary context, which torch uses too. Nothing touches a GPU on import. One thread at a time; every call
between `with gpu:`.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident
from typing import Any, Final, Self

import numpy as np
import pycuda.driver as pycuda
from cuda.bindings import driver
from numpy.typing import NDArray

from engines.runtimes.driver import CudaFailure, checked

NON_BLOCKING: Final = 1
"""CU_STREAM_NON_BLOCKING: the default stream, on which others may work, is not waited for."""


class Gpu:
    """The device's primary context, and a stream in it.

    Raises:
        CudaFailure: the driver refused what was called in the context.
    """

    def __init__(self) -> None:
        self._thread = get_ident()
        try:
            pycuda.init()
            self._context = pycuda.Device(0).retain_primary_context()
            with self:
                self._stream = pycuda.Stream(NON_BLOCKING)
        except pycuda.Error as error:
            raise CudaFailure(f"the GPU cannot be used: {error}") from error
        self.handle: int = self._stream.handle

    def __enter__(self) -> Self:
        self._context.push()
        return self

    def __exit__(self, _: object, error: object, __: object) -> None:
        pycuda.Context.pop()
        if isinstance(error, pycuda.Error):
            raise CudaFailure(f"the GPU cannot be used: {error}") from error

    def page_locked(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Host memory, zeroed, that is copied from and to without the CPU."""
        array = pycuda.pagelocked_empty(shape, dtype)
        array[...] = 0
        return array

    def allocate(self, size: int) -> Any:
        """Device memory; `int` gives its address, and it is free when nothing holds it."""
        return pycuda.mem_alloc(max(1, size))

    def upload(self, there: Any, here: NDArray[Any]) -> None:
        pycuda.memcpy_htod_async(there, here, self._stream)

    def download(self, here: NDArray[Any], there: Any) -> None:
        pycuda.memcpy_dtoh_async(here, there, self._stream)

    def synchronize(self) -> None:
        self._stream.synchronize()

    def capture(self, work: Callable[[], None]) -> Graph:
        """What `work` adds to the stream, as a graph; it is not run. It must neither allocate nor wait."""
        stream = driver.CUstream(self.handle)
        mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        checked(driver.cuStreamBeginCapture(stream, mode))
        try:
            work()
        finally:
            captured = driver.cuStreamEndCapture(stream)
        return Graph(checked(captured), stream)

    def close(self) -> None:
        """After everything that was made in the context, in the thread that made this: pycuda gives nothing back in another."""
        if get_ident() != self._thread:
            return
        with self:
            del self._stream
        self._context.detach()
        checked(driver.cuCtxPopCurrent())  # pycuda pushes a context to detach it and leaves it there


class Graph:
    """Captured work, at fixed addresses."""

    def __init__(self, graph: Any, stream: Any) -> None:
        self._stream = stream
        self._ready = checked(driver.cuGraphInstantiate(graph, 0))
        checked(driver.cuGraphDestroy(graph))

    def launch(self) -> None:
        checked(driver.cuGraphLaunch(self._ready, self._stream))

    def close(self) -> None:
        checked(driver.cuGraphExecDestroy(self._ready))
