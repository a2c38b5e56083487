"""OpenVINO on the CPU: the default runtime."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino as ov

from engines.frame import F32
from engines.runtimes import (
    PROBE_SIZE,
    Precision,
    RuntimeFailure,
    RuntimeKind,
    has_int8_instructions,
    is_quantised,
)
from engines.runtimes.signature import Port, Shape, Signature, declared_size, input_shapes

if TYPE_CHECKING:
    from engines.runtimes.kernels.ends import Ends


@cache
def _core() -> ov.Core:
    return ov.Core()


def best_precision() -> Precision:
    capabilities = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if "INT8" in capabilities and has_int8_instructions():
        return "int8"
    return "bf16" if "BF16" in capabilities else "f32"


def read_signature(model: Path) -> Signature:
    """Nothing is computed for it: where the file leaves sizes open, they are inferred."""
    network = _read(model)
    inputs = _ports(network.inputs)
    size = declared_size(inputs, PROBE_SIZE)
    shapes = _shapes(model, network, *size)
    with _failing(model):
        network.reshape({name: list(shape) for name, shape in shapes.items()})
    return Signature(inputs, _ports(network.outputs), size, _metadata(network))


def _metadata(network: ov.Model) -> dict[str, str]:
    """What an ONNX file's exporter wrote beside the graph."""
    info = network.get_rt_info()
    return {key: value.astype(str) for key, value in info["framework"].items()} if "framework" in info else {}


def _read(model: Path) -> ov.Model:
    with _failing(model):
        return _core().read_model(model)


@contextmanager
def _failing(model: Path) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise RuntimeFailure(f"OpenVINO cannot load {model}: {str(error).strip().splitlines()[-1]}") from error


def _ports(nodes: list[Any]) -> tuple[Port, ...]:
    ports = []
    for node in nodes:
        shape = tuple(side.get_length() if side.is_static else None for side in node.partial_shape)
        ports.append(Port(node.any_name, str(node.element_type.to_dtype()), shape))
    return tuple(ports)


def _shapes(model: Path, network: ov.Model, height: int, width: int) -> dict[str, Shape]:
    try:
        return input_shapes(_ports(network.inputs), height, width)
    except ValueError as error:
        raise RuntimeFailure(f"{model}: {error}") from error


class OpenVinoRuntime:
    """One compiled model, one infer request, its inputs shared with numpy."""

    kind: RuntimeKind = "openvino"
    batches: tuple[int, ...] = (1,)
    ends: Ends | None = None

    def __init__(self, model: Path, height: int, width: int, precision: Precision, threads: int) -> None:
        network = _read(model)
        shapes = _shapes(model, network, height, width)
        with _failing(model):
            network.reshape({name: list(shape) for name, shape in shapes.items()})
            compiled = _core().compile_model(network, "CPU", self._settings(precision, threads))
        self.precision: str = "int8" if is_quantised(model) else precision
        whole = {port.name: np.zeros(shapes[port.name], port.dtype) for port in _ports(network.inputs)}
        self.inputs = {name: buffer[0] for name, buffer in whole.items()}
        self.slots = [self.inputs]
        self._request = compiled.create_infer_request()
        for name, buffer in whole.items():
            self._request.set_tensor(name, ov.Tensor(buffer, shared_memory=True))
        self._outputs = [self._request.get_output_tensor(i) for i in range(len(compiled.outputs))]

    @staticmethod
    def _settings(precision: Precision, threads: int) -> dict[str, object]:
        return {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,
            # int8 lives in the model; what is left in floating point computes in f32.
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        }

    def run(self, count: int = 1) -> list[F32]:
        self._request.infer(share_outputs=True)  # else it copies them into new arrays, which nobody reads
        return [output.data for output in self._outputs]
