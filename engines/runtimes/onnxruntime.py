"""ONNX Runtime on the CPU: the second runtime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnxruntime as ort

from engines.frame import F32
from engines.runtimes import PROBE_SIZE, RuntimeFailure, RuntimeKind, is_quantised
from engines.runtimes.signature import Port, Signature, declared_size, input_shapes

if TYPE_CHECKING:
    from engines.runtimes.kernels.ends import Ends

DTYPES: Final = {"float": "float32", "double": "float64"}
"""Its names of element types where they are not numpy's."""


def read_signature(model: Path) -> Signature:
    """Where the file leaves sizes open, what comes out is seen by running it once on a picture of zeros."""
    session = _session(model, threads=1)
    inputs = _ports(session.get_inputs())
    size = declared_size(inputs, PROBE_SIZE)
    outputs = _ports(session.get_outputs())
    if any(None in port.shape for port in outputs):
        zeros = _buffers(model, inputs, *size, half=True)
        given = session.run(None, zeros)
        outputs = tuple(Port(port.name, port.dtype, out.shape) for port, out in zip(outputs, given, strict=True))
    return Signature(inputs, outputs, size, session.get_modelmeta().custom_metadata_map)


def _session(model: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no narrower base
        raise RuntimeFailure(f"ONNX Runtime cannot load {model}: {str(error).splitlines()[0]}") from error


def _ports(nodes: list[Any]) -> tuple[Port, ...]:
    ports = []
    for node in nodes:
        dtype = node.type.removeprefix("tensor(").removesuffix(")")
        shape = tuple(side if isinstance(side, int) else None for side in node.shape)
        ports.append(Port(node.name, DTYPES.get(dtype, dtype), shape))
    return tuple(ports)


def _buffers(
    model: Path, inputs: tuple[Port, ...], height: int, width: int, *, half: bool = False
) -> dict[str, np.ndarray]:
    try:
        shapes = input_shapes(inputs, height, width, half=half)
    except ValueError as error:
        raise RuntimeFailure(f"{model}: {error}") from error
    return {port.name: np.zeros(shapes[port.name], port.dtype) for port in inputs}


class OnnxRuntime:
    """One session; where the network leaves its size open, the input buffers fix it."""

    kind: RuntimeKind = "onnxruntime"
    batches: tuple[int, ...] = (1,)
    ends: Ends | None = None

    def __init__(self, model: Path, height: int, width: int, threads: int) -> None:
        self._session = _session(model, threads)
        # There is no bf16 path here: an f32 model computes in f32, whatever was asked for.
        self.precision = "int8" if is_quantised(model) else "f32"
        self._whole = _buffers(model, _ports(self._session.get_inputs()), height, width)
        self.inputs = {name: buffer[0] for name, buffer in self._whole.items()}
        self.slots = [self.inputs]

    def run(self, count: int = 1) -> list[F32]:
        return self._session.run(None, self._whole)
