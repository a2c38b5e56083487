"""torch on a GPU: the ONNX graph compiled, channels-last half precision, one CUDA graph a batch size.

Given the device "cpu" it computes the same in float32, uncompiled: so its numbers are tested where no GPU is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np
import torch
import torch._dynamo
from numpy.typing import NDArray
from torch import Tensor

from engines.frame import F32
from engines.runtimes import BATCHES, RuntimeFailure, RuntimeKind, is_quantised, read_signature
from engines.runtimes.kernels import Kind, Module
from engines.runtimes.kernels.ends import BoxesOut, Ends, FramesIn, places_of
from engines.runtimes.on_gpu import OnGpu, Part
from engines.runtimes.signature import input_shapes
from engines.runtimes.torch_cuda.graph import OnnxModule
from engines.runtimes.torch_cuda.operators import Unsupported

WARM_RUNS: Final = 3
"""Before a graph is captured: compilation, and what libraries allocate the first time."""
KINDS: Final[dict[torch.dtype, Kind]] = {torch.float16: "f16", torch.float32: "f32"}
# Every batch of every network is compiled by itself, which counts as one function compiled again and again: eight times at most,
# unless this is set.
torch._dynamo.config.recompile_limit = 256
_capturing = Lock()
"""To begin a capture torch waits for the whole GPU, which is forbidden while another thread captures."""


def trouble() -> str | None:
    """Why it cannot be used here, in one line, or None."""
    if not torch.cuda.is_available():
        return f"torch {torch.__version__} finds no NVIDIA GPU: a GPU, its driver and a CUDA build of torch are needed"
    return None


class TorchCudaRuntime(OnGpu):
    """One stream of one GPU, one graph launch a run; page-locked memory is all that is copied."""

    kind: RuntimeKind = "torch_cuda"

    def __init__(self, model: Path, height: int, width: int, device: str = "cuda", *, ends: Ends | None = None) -> None:
        if device == "cuda" and (why := trouble()):
            raise RuntimeFailure(why)
        if is_quantised(model):
            raise RuntimeFailure(f"{model} is int8: torch_cuda computes in f16, from a floating-point file")
        signature = read_signature(model, "onnxruntime")
        self._model, self._on_gpu = model, device == "cuda"
        self._memory = _Memory(device)
        self.precision = "f16" if self._on_gpu else "f32"
        self.batches: tuple[int, ...] = (1,) if signature.inputs[0].shape[0] == 1 else BATCHES
        try:
            shapes = input_shapes(signature.inputs, height, width)
        except ValueError as error:
            raise RuntimeFailure(f"{model}: {error}") from error
        self.ends = ends
        self._stream = torch.cuda.Stream() if self._on_gpu else None
        self._ready: dict[int, _Batch] = {}
        most = self.batches[-1]
        ports = {port.name: ((most, *shapes[port.name][1:]), getattr(torch, port.dtype)) for port in signature.inputs}
        if ends is None:
            self._inputs = {name: self._memory.on_host(*port) for name, port in ports.items()}
            self.slots: list[dict[str, NDArray[Any]]] = [
                {name: tensor[number].numpy() for name, tensor in self._inputs.items()} for number in range(most)
            ]
        else:
            float_type = torch.float16 if self._on_gpu else torch.float32
            self._inputs = {
                name: torch.zeros(shape, dtype=float_type if dtype.is_floating_point else dtype, device=device)
                for name, (shape, dtype) in ports.items()
            }
            self.slots = [{}] * most
            self._module = Module(self._stream.cuda_stream if self._stream else 0)
            addresses = [tensor.data_ptr() for tensor in self._inputs.values()]
            kind = "f16" if self._on_gpu else "f32"
            size = height, width
            self._frames = FramesIn(self._module, self._memory, most, size, ends.look, addresses, kind)  # type: ignore[arg-type]
        self.inputs = self.slots[0]

    def run(self, count: int = 1) -> list[F32]:
        self._go(count)
        return [answer[:count].numpy() for answer in self._last.answers]

    def _context(self) -> ExitStack:
        stack = ExitStack()
        stack.enter_context(torch.inference_mode())
        stack.enter_context(torch.cuda.stream(self._stream))
        return stack

    def _wait(self) -> None:
        if self._stream is not None:
            self._stream.synchronize()

    def _parts(self, count: int, batch: int) -> Iterator[Part]:
        if batch not in self._ready:
            try:
                self._ready[batch] = self._prepare(batch)
            except RuntimeError as error:  # of memory, the compiler, a capture
                says = str(error).partition("\n")[0]
                raise RuntimeFailure(f"{self._model}, {batch} at a time: {says}") from error
        ready = self._last = self._ready[batch]
        if self._frames is None:
            yield "copy", partial(ready.upload, self._inputs)
        else:
            yield "copy", partial(self._frames.upload, count)
            yield "pre", partial(self._frames.lay_out, count)
        yield "infer", ready.run
        if self._boxes is None:
            yield "copy", ready.download
        else:
            yield "nms", partial(ready.suppress, self._boxes)
            yield "copy", partial(self._boxes.download, batch)

    def _prepare(self, batch: int) -> _Batch:
        inputs = {
            name: tensor[:batch] if self._frames else tensor[:batch].to(self._memory.device)
            for name, tensor in self._inputs.items()
        }
        form = None if self.ends is None else self.ends.form
        dtype = torch.float16 if self._on_gpu else torch.float32
        try:
            module: Any = OnnxModule(self._model, inputs, dtype, widened=form is None)
        except Unsupported as error:
            raise RuntimeFailure(f"torch_cuda cannot run {self._model}: it has {error}") from error
        if self._on_gpu:
            module = torch.compile(module, dynamic=False, fullgraph=True)
        made = _Batch(module, list(inputs.values()), self._on_gpu)
        if form is None:
            made.answers = [self._memory.on_host(tuple(one.shape), one.dtype) for one in made.outputs]
        elif self._boxes is None:
            assert self.ends is not None
            places = places_of(form, made.shapes)
            self._boxes = BoxesOut(self._module, self._memory, self.ends, self.batches[-1], places)
        return made


class _Memory:
    """torch's, for what is not torch."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)

    def on_host(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.zeros(shape, dtype=dtype, pin_memory=self.device.type == "cuda")

    def page_locked(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        array: NDArray[Any] = self.on_host(shape, torch.from_numpy(np.zeros(0, dtype)).dtype).numpy()
        return array

    def allocate(self, size: int) -> _Block:
        return _Block(torch.zeros(max(1, size), dtype=torch.uint8, device=self.device))


class _Block:
    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor

    def __int__(self) -> int:
        return self._tensor.data_ptr()


class _Batch:
    """The network for one batch size, at fixed addresses."""

    def __init__(self, module: Any, inputs: list[Tensor], captured: bool) -> None:
        self._module, self._inputs = module, inputs
        self.answers: list[Tensor] = []
        for _ in range(WARM_RUNS if captured else 1):
            self.outputs = self._compute()
        self._graph: torch.cuda.CUDAGraph | None = None
        if captured:
            torch.cuda.current_stream().synchronize()
            self._graph = torch.cuda.CUDAGraph()
            stream = torch.cuda.current_stream()
            with _capturing, torch.cuda.graph(self._graph, stream=stream, capture_error_mode="thread_local"):
                self.outputs = self._compute()

    def _compute(self) -> list[Tensor]:
        return [output.contiguous() for output in self._module(*self._inputs)]

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        return [tuple(output.shape) for output in self.outputs]

    def upload(self, given: dict[str, Tensor]) -> None:
        for there, here in zip(self._inputs, given.values(), strict=True):
            there.copy_(here[: len(there)], non_blocking=True)

    def run(self) -> None:
        if self._graph is None:
            self.outputs = self._compute()
        else:
            self._graph.replay()

    def suppress(self, boxes: BoxesOut) -> None:
        boxes.suppress([output.data_ptr() for output in self.outputs], self.shapes, KINDS[self.outputs[0].dtype])

    def download(self) -> None:
        for here, there in zip(self.answers, self.outputs, strict=True):
            here.copy_(there, non_blocking=True)
