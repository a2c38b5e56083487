"""What runs a network: one Protocol, one small module a runtime."""

from __future__ import annotations

import logging
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from numpy.typing import NDArray

from engines.frame import F32
from engines.runtimes.signature import Signature

if TYPE_CHECKING:
    from engines.runtimes.kernels.ends import Ends

logger = logging.getLogger(__name__)

# OpenVINO's package tells its makers of each import, over the network, where this module is found; without it, it does not.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

RuntimeKind = Literal["openvino", "onnxruntime", "tensorrt", "torch_cuda"]
KINDS: Final[tuple[RuntimeKind, ...]] = ("openvino", "onnxruntime")
"""Of the CPU, best first: what "auto" chooses from."""
GPU_KINDS: Final[tuple[RuntimeKind, ...]] = ("tensorrt", "torch_cuda")
Precision = Literal["f32", "bf16", "int8"]
BATCHES: Final = (1, 8, 32)
"""How many pictures go together on a GPU; fewer are filled up to the next of these."""
EXTRAS: Final = {"tensorrt": "tensorrt", "torch_cuda": "cuda"}
PROBE_SIZE: Final = 640, 640
"""Height and width of the picture that a network of open size is looked at with."""


class RuntimeFailure(Exception):
    """A runtime is not installed, or cannot load this model."""


class Runtime(Protocol):
    """A network compiled for one input size, with input buffers of its own. Not thread-safe.

    `slots`: of each picture that can go together, by the network's own names, filled by the caller before `run`: `y` (1, height,
    width) and `uv` (2, height / 2, width / 2) uint8, or one picture (3, height, width) float32. On a CPU there is one.
    """

    kind: RuntimeKind
    precision: str
    """What the network computes in: f32, bf16, f16 or int8."""
    batches: tuple[int, ...]
    """The sizes that it is compiled for: fewer pictures take as long as the next of them."""
    slots: list[dict[str, NDArray[Any]]]
    inputs: dict[str, NDArray[Any]]
    """The first slot."""
    ends: Ends | None
    """What a GPU does besides the network (`on_gpu.py`): frames are placed, slots are empty. None on a CPU."""

    def run(self, count: int = 1) -> list[F32]:
        """The outputs for the first `count` slots, (count, …), in the network's order, valid until the next run."""


def open_runtime(
    model: Path,
    height: int,
    width: int,
    *,
    kind: RuntimeKind = "openvino",
    precision: Precision = "f32",
    threads: int = 1,
    ends: Ends | None = None,
) -> Runtime:
    """Compile an ONNX network for pictures of `height` × `width` px.

    `precision` is what an f32 model shall compute in; a model that is int8 itself stays so. `ends`: for a GPU.

    Raises:
        RuntimeFailure: in one line, what is missing.
    """
    if not model.is_file():
        raise RuntimeFailure(f"no model at {model}")
    if kind == "openvino":
        from engines.runtimes.openvino import OpenVinoRuntime

        return OpenVinoRuntime(model, height, width, precision, threads)
    if kind == "torch_cuda":
        if why := trouble(kind):
            raise RuntimeFailure(why)
        from engines.runtimes.torch_cuda import TorchCudaRuntime

        return TorchCudaRuntime(model, height, width, ends=ends)
    if kind == "tensorrt":
        if why := trouble(kind):
            raise RuntimeFailure(why)
        from engines.runtimes.tensorrt import TensorRtRuntime, open_plan

        outputs = [port.name for port in read_signature(model, "onnxruntime").outputs]
        return TensorRtRuntime(*open_plan(model, (height, width)), outputs, ends=ends)
    from engines.runtimes.onnxruntime import OnnxRuntime

    return OnnxRuntime(model, height, width, threads)


def read_signature(model: Path, kind: RuntimeKind = "openvino") -> Signature:
    """What an ONNX network takes and gives.

    Raises:
        RuntimeFailure: in one line, what is wrong with the file.
    """
    if not model.is_file():
        raise RuntimeFailure(f"no model at {model}")
    if kind == "openvino":
        from engines.runtimes import openvino

        return openvino.read_signature(model)
    if kind == "tensorrt":
        if why := trouble(kind):
            raise RuntimeFailure(why)
        from engines.runtimes import tensorrt

        return tensorrt.read_signature(model)
    from engines.runtimes import onnxruntime

    return onnxruntime.read_signature(model)


@cache
def available() -> tuple[RuntimeKind, ...]:
    """The runtimes that import here, best first; one that does not is logged once."""
    found: list[RuntimeKind] = []
    for kind in KINDS:
        try:
            __import__(kind)
        except ImportError as error:
            logger.warning("the runtime %s cannot be used: %s", kind, error)
        else:
            found.append(kind)
    return tuple(found)


@cache
def trouble(kind: RuntimeKind) -> str | None:
    """Why a runtime of `GPU_KINDS` cannot be used here, in one line that says what to do, or None."""
    try:
        if kind == "tensorrt":
            from engines.runtimes import tensorrt

            return tensorrt.trouble()
        from engines.runtimes import torch_cuda

        return torch_cuda.trouble()
    except ImportError as error:
        missing = str(error).splitlines()[0]
        return f"{kind} needs what is not installed ({missing}): pip install -e '.[{EXTRAS[kind]}]' in the checkout"


def batch_for(count: int, batches: tuple[int, ...]) -> int:
    """The smallest batch that `count` pictures fit into.

    Raises:
        ValueError: there is none.
    """
    for batch in batches:
        if 0 < count <= batch:
            return batch
    raise ValueError(f"from 1 to {batches[-1]} pictures go together, not {count}")


def best_precision(kind: RuntimeKind) -> Precision:
    """The fastest precision that this CPU has instructions for."""
    if kind == "openvino":
        from engines.runtimes.openvino import best_precision as best

        return best()
    if kind in GPU_KINDS:
        return "f32"  # of the file; on the GPU a network computes in what its plan holds, or in f16
    return "int8" if has_int8_instructions() else "f32"


def is_quantised(model: Path) -> bool:
    """Whether an ONNX file computes in int8 itself: it names the operator that turns floats into integers."""
    return b"QuantizeLinear" in model.read_bytes()


@cache
def has_int8_instructions() -> bool:
    """Whether the CPU multiplies and adds int8 in one instruction (VNNI, AMX); false where that cannot be read."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return any(name in flags for name in ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp"))
