"""TensorRT: a plan that `fancam engines build` made, one execution context and one CUDA graph a batch size.

Which of TensorRT's names are used is held against the real bindings of 10.13 and 11 by tests/contract/test_tensorrt.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engines.frame import F32
from engines.plans.gpu import read_gpu
from engines.plans.load import load_plan
from engines.plans.store import Plan, PlanError
from engines.plans.trt import load_trt
from engines.runtimes import RuntimeFailure, RuntimeKind, onnxruntime
from engines.runtimes.kernels import Kind, Module
from engines.runtimes.kernels.ends import BoxesOut, Ends, FramesIn, places_of
from engines.runtimes.on_gpu import OnGpu, Part
from engines.runtimes.signature import Port, Signature

KINDS: Final[dict[str, Kind]] = {"float16": "f16", "float32": "f32"}
PRECISIONS: Final = {"fp32": "f32", "fp16": "f16", "int8": "int8"}


def trouble() -> str | None:
    """Why it cannot be used here, in one line, or None."""
    try:
        load_trt()
        read_gpu()
    except PlanError as error:
        return str(error)
    for name in ("pycuda.driver", "cuda.bindings.driver"):
        import_module(name)
    return None


def open_plan(model: Path, size: tuple[int, int] | None = None) -> tuple[ModuleType, Plan]:
    """TensorRT and the plan of an ONNX file for pictures of `size` (height, width), or of whichever it was built for.

    Raises:
        RuntimeFailure: one of them is missing, or the plan is not of this machine; the line says what to do.
    """
    try:
        library = load_trt()
        return library, load_plan(library, model, size)
    except PlanError as error:
        raise RuntimeFailure(str(error)) from error


def read_signature(model: Path) -> Signature:
    """As the file says, with the one size that its plan has been built for."""
    said = onnxruntime.read_signature(model)
    if said.fixed_size is not None:
        return said
    return sized(said, open_plan(model)[1])


def sized(said: Signature, plan: Plan) -> Signature:
    """What the plan takes and gives of what the file leaves open; a picture at a time in the outputs."""

    def shaped(port: Port, batch: int | None) -> Port:
        return replace(port, shape=(batch, *plan.ports[port.name]["shape"][1:]))

    height, width = plan.key.size
    inputs = tuple(
        replace(port, shape=(None, port.shape[1], height // part, width // part))
        for port in said.inputs
        for part in [2 if port.name == "uv" else 1]
    )
    return replace(said, inputs=inputs, outputs=tuple(shaped(port, 1) for port in said.outputs), size=(height, width))


class TensorRtRuntime(OnGpu):
    """One engine on one stream. `trt`: the module; `outputs`: their names in the network's order."""

    kind: RuntimeKind = "tensorrt"

    def __init__(
        self, trt: ModuleType, plan: Plan, outputs: Sequence[str] | None = None, *, ends: Ends | None = None
    ) -> None:
        from engines.runtimes.cuda import Gpu

        self._trt, self._plan, self.ends = trt, plan, ends
        self._graphs: dict[int, Any] = {}
        self._contexts: dict[int, Any] = {}
        self._gpu = Gpu()
        self.precision = PRECISIONS[plan.key.precision]
        self.batches = tuple(most for _, _, most in plan.key.buckets)
        self._logger = trt.Logger(trt.Logger.ERROR)
        with self._gpu:
            self._runtime = trt.Runtime(self._logger)
            self._engine = self._runtime.deserialize_cuda_engine(plan.data)
            if self._engine is None:
                raise RuntimeFailure(f"{plan.path}: TensorRT does not load it; fancam engines build makes it anew")
            self._open_buffers(outputs)
            if ends is not None:
                self._open_ends(ends, Module(self._gpu.handle))

    def _open_buffers(self, outputs: Sequence[str] | None) -> None:
        """For the largest batch; smaller ones use the front of them. Contexts never run at once, so they share one workspace."""
        trt, engine = self._trt, self._engine
        names = [engine.get_tensor_name(number) for number in range(engine.num_io_tensors)]
        taken = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        self._taken, self._outputs = taken, list(outputs or (name for name in names if name not in taken))
        filled = [] if self.ends else taken
        fetched = [] if self.ends and self.ends.form else self._outputs
        self._here: dict[str, NDArray[Any]] = {}
        self._there: dict[str, Any] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        """Of one picture."""
        self._dtypes: dict[str, np.dtype[Any]] = {}
        for name in (*taken, *self._outputs):
            shape = self.batches[-1], *tuple(engine.get_tensor_shape(name))[1:]
            if min(shape) < 0:
                raise RuntimeFailure(f"{self._plan.path}: {name} has no fixed shape: {shape}")
            self._shapes[name], self._dtypes[name] = shape[1:], np.dtype(trt.nptype(engine.get_tensor_dtype(name)))
            self._there[name] = self._gpu.allocate(math.prod(shape) * self._dtypes[name].itemsize)
            if name in filled or name in fetched:
                self._here[name] = self._gpu.page_locked(shape, self._dtypes[name])
        self._workspace_bytes = engine.device_memory_size_v2
        self._workspace = self._gpu.allocate(self._workspace_bytes)
        # A plan may take half precision, who fills a slot gives single.
        self._given = {
            name: np.zeros(self._here[name].shape, np.float32)
            if self._here[name].dtype == np.float16
            else self._here[name]
            for name in filled
        }
        self.slots: list[dict[str, NDArray[Any]]] = [
            {name: values[number] for name, values in self._given.items()} for number in range(self.batches[-1])
        ]
        self.inputs = self.slots[0]

    def _open_ends(self, ends: Ends, module: Module) -> None:
        most, shapes = self.batches[-1], [self._shapes[name] for name in self._taken]
        addresses = [int(self._there[name]) for name in self._taken]
        kind = KINDS.get(self._dtypes[self._taken[0]].name, "f16")
        self._frames = FramesIn(module, self._gpu, most, shapes[0][-2:], ends.look, addresses, kind)  # type: ignore[arg-type]
        if ends.form is not None:
            places = places_of(ends.form, [(most, *self._shapes[name]) for name in self._outputs])
            self._boxes = BoxesOut(module, self._gpu, ends, most, places)

    def run(self, count: int = 1) -> list[F32]:
        self._go(count)
        return [self._here[name][:count].astype(np.float32, copy=False) for name in self._outputs]

    def _context(self) -> Any:
        return self._gpu

    def _wait(self) -> None:
        self._gpu.synchronize()

    def _parts(self, count: int, batch: int) -> Iterator[Part]:
        if batch not in self._graphs:
            self._prepare(batch)
        if self._frames is None:
            yield "copy", partial(self._upload, count, batch)
        else:
            yield "copy", partial(self._frames.upload, count)
            yield "pre", partial(self._frames.lay_out, count)
        yield "infer", self._graphs[batch].launch
        if self._boxes is None:
            yield "copy", partial(self._download, batch)
        else:
            yield "nms", partial(self._suppress, self._boxes, batch)
            yield "copy", partial(self._boxes.download, batch)

    def _upload(self, count: int, batch: int) -> None:
        for name, values in self._given.items():
            if values is not self._here[name]:
                np.copyto(self._here[name][:count], values[:count])
            self._gpu.upload(self._there[name], self._here[name][:batch])

    def _download(self, batch: int) -> None:
        for name in self._outputs:
            self._gpu.download(self._here[name][:batch], self._there[name])

    def _suppress(self, boxes: BoxesOut, batch: int) -> None:
        shapes = [(batch, *self._shapes[name]) for name in self._outputs]
        boxes.suppress(
            [int(self._there[name]) for name in self._outputs], shapes, KINDS[self._dtypes[self._outputs[0]].name]
        )

    def _prepare(self, batch: int) -> None:
        """A context at fixed addresses, run once plainly, which TensorRT wants after a change of shapes, then captured."""
        trt, gpu = self._trt, self._gpu
        context = self._engine.create_execution_context(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        if context is None:
            raise RuntimeFailure(f"{self._plan.path}: TensorRT makes no context of it")
        self._must(context.set_optimization_profile_async(self.batches.index(batch), gpu.handle), "take its profile")
        context.set_device_memory(int(self._workspace), self._workspace_bytes)
        for name in self._taken:
            self._must(context.set_input_shape(name, (batch, *self._shapes[name])), f"take {batch} of {name}")
        for name, memory in self._there.items():
            self._must(context.set_tensor_address(name, int(memory)), f"use the memory of {name}")
        if missing := context.infer_shapes():
            raise RuntimeFailure(f"{self._plan.path}: TensorRT lacks {', '.join(missing)}")
        gpu.synchronize()

        def work() -> None:
            self._must(context.execute_async_v3(gpu.handle), "run")

        work()
        gpu.synchronize()
        self._contexts[batch], self._graphs[batch] = context, gpu.capture(work)

    def _must(self, done: bool, what: str) -> None:
        if not done:
            raise RuntimeFailure(f"{self._plan.path}: TensorRT does not {what}")

    def __del__(self) -> None:
        """In the order that the libraries ask for, with the context that all of it is in: what is freed without it leaks."""
        held = vars(self)
        gpu = held.get("_gpu")
        if gpu is None:
            return
        try:
            with gpu:
                for graph in self._graphs.values():
                    graph.close()
                for name in ("_graphs", "_contexts", "_engine", "_runtime"):
                    held.pop(name, None)
                held.clear()
        finally:
            gpu.close()
