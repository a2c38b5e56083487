"""ONNX Runtime on the CPU: the second runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort

from engines.frame import F32
from engines.runtimes import Precision, RuntimeFailure, RuntimeKind, is_quantised


class OnnxRuntime:
    """One session; the network's own size is left open, the input buffers fix it."""

    kind: RuntimeKind = "onnxruntime"

    def __init__(self, model: Path, height: int, width: int, precision: Precision, threads: int) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions share no narrower base
            raise RuntimeFailure(f"ONNX Runtime cannot load {model}: {str(error).splitlines()[0]}") from error
        # There is no bf16 path here: an f32 model computes in f32, whatever was asked for.
        self.precision = "int8" if is_quantised(model) else "f32"
        y = np.zeros((1, 1, height, width), np.uint8)
        uv = np.zeros((1, 2, height // 2, width // 2), np.uint8)
        self.y, self.uv = y[0, 0], uv[0]
        self._inputs = {"y": y, "uv": uv}

    def run(self) -> list[F32]:
        return [output[0] for output in self._session.run(None, self._inputs)]
