"""torch on a GPU: the ONNX graph compiled, channels-last half precision, one CUDA graph a batch size.

Given the device "cpu" it computes the same in float32, uncompiled: so its numbers are tested where no GPU is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch
from numpy.typing import NDArray
from torch import Tensor

from engines.frame import F32
from engines.runtimes import BATCHES, RuntimeFailure, RuntimeKind, batch_for, is_quantised, read_signature
from engines.runtimes.signature import input_shapes
from engines.runtimes.torch_cuda.graph import OnnxModule
from engines.runtimes.torch_cuda.operators import Unsupported

WARM_RUNS: Final = 3
"""Before a graph is captured: compilation, and what libraries allocate the first time."""


def trouble() -> str | None:
    """Why it cannot be used here, in one line, or None."""
    if not torch.cuda.is_available():
        return f"torch {torch.__version__} finds no NVIDIA GPU: a GPU, its driver and a CUDA build of torch are needed"
    return None


class TorchCudaRuntime:
    """One stream of one GPU. Page-locked inputs, one copy each way and one graph launch a run."""

    kind: RuntimeKind = "torch_cuda"

    def __init__(self, model: Path, height: int, width: int, device: str = "cuda") -> None:
        if device == "cuda" and (why := trouble()):
            raise RuntimeFailure(why)
        if is_quantised(model):
            raise RuntimeFailure(f"{model} is int8: torch_cuda computes in f16, from a floating-point file")
        signature = read_signature(model, "onnxruntime")
        self._model, self._device, self._on_gpu = model, torch.device(device), device == "cuda"
        self.precision = "f16" if self._on_gpu else "f32"
        self.batches: tuple[int, ...] = (1,) if signature.inputs[0].shape[0] == 1 else BATCHES
        try:
            shapes = input_shapes(signature.inputs, height, width)
        except ValueError as error:
            raise RuntimeFailure(f"{model}: {error}") from error
        self._inputs = {
            port.name: self._on_host((self.batches[-1], *shapes[port.name][1:]), getattr(torch, port.dtype))
            for port in signature.inputs
        }
        self.slots: list[dict[str, NDArray[Any]]] = [
            {name: tensor[number].numpy() for name, tensor in self._inputs.items()}
            for number in range(self.batches[-1])
        ]
        self.inputs = self.slots[0]
        self._stream = torch.cuda.Stream() if self._on_gpu else None
        self._ready: dict[int, _Batch] = {}

    def _on_host(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.zeros(shape, dtype=dtype, pin_memory=self._on_gpu)

    def run(self, count: int = 1) -> list[F32]:
        batch = batch_for(count, self.batches)
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            if batch not in self._ready:
                self._ready[batch] = self._prepare(batch)
            ready = self._ready[batch]
            for there, here in zip(ready.inputs, self._inputs.values(), strict=True):
                there.copy_(here[:batch], non_blocking=True)
            for here, there in zip(ready.answers, ready.run(), strict=True):
                here.copy_(there, non_blocking=True)
        if self._stream is not None:
            self._stream.synchronize()
        return [answer[:count].numpy() for answer in ready.answers]

    def _prepare(self, batch: int) -> _Batch:
        inputs = {name: tensor[:batch].to(self._device) for name, tensor in self._inputs.items()}
        try:
            module: Any = OnnxModule(self._model, inputs, torch.float16 if self._on_gpu else torch.float32)
        except Unsupported as error:
            raise RuntimeFailure(f"torch_cuda cannot run {self._model}: it has {error}") from error
        if self._on_gpu:
            module = torch.compile(module, dynamic=False, fullgraph=True)
        return _Batch(module, list(inputs.values()), self._on_host, self._on_gpu)


class _Batch:
    """The network for one batch size, at fixed addresses."""

    def __init__(self, module: Any, inputs: list[Tensor], on_host: Any, captured: bool) -> None:
        self._module, self.inputs = module, inputs
        for _ in range(WARM_RUNS if captured else 1):
            self._outputs = module(*inputs)
        self.answers = [on_host(tuple(output.shape), output.dtype) for output in self._outputs]
        self._graph: torch.cuda.CUDAGraph | None = None
        if captured:
            torch.cuda.current_stream().synchronize()
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph, stream=torch.cuda.current_stream()):
                self._outputs = module(*inputs)

    def run(self) -> list[Tensor]:
        if self._graph is None:
            self._outputs = self._module(*self.inputs)
        else:
            self._graph.replay()
        return self._outputs
