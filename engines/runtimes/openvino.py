"""OpenVINO on the CPU: the default runtime."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import openvino as ov

from engines.frame import F32
from engines.runtimes import Precision, RuntimeFailure, RuntimeKind, has_int8_instructions, is_quantised


@cache
def _core() -> ov.Core:
    return ov.Core()


def best_precision() -> Precision:
    capabilities = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if "INT8" in capabilities and has_int8_instructions():
        return "int8"
    return "bf16" if "BF16" in capabilities else "f32"


class OpenVinoRuntime:
    """One compiled model, one infer request, its inputs shared with numpy."""

    kind: RuntimeKind = "openvino"

    def __init__(self, model: Path, height: int, width: int, precision: Precision, threads: int) -> None:
        core = _core()
        try:
            network = core.read_model(model)
            network.reshape({"y": [1, 1, height, width], "uv": [1, 2, height // 2, width // 2]})
            compiled = core.compile_model(network, "CPU", self._settings(precision, threads))
        except RuntimeError as error:
            raise RuntimeFailure(f"OpenVINO cannot load {model}: {str(error).strip().splitlines()[-1]}") from error
        self.precision: str = "int8" if is_quantised(model) else precision
        y = np.zeros((1, 1, height, width), np.uint8)
        uv = np.zeros((1, 2, height // 2, width // 2), np.uint8)
        self.y, self.uv = y[0, 0], uv[0]
        self._request = compiled.create_infer_request()
        self._request.set_tensor("y", ov.Tensor(y, shared_memory=True))
        self._request.set_tensor("uv", ov.Tensor(uv, shared_memory=True))
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

    def run(self) -> list[F32]:
        self._request.infer()
        return [output.data[0] for output in self._outputs]
