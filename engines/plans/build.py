"""From an ONNX file to a plan: strongly typed (precision is what the file says), one dynamic profile a batch bucket."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from engines.plans.key import Bucket, PlanPrecision
from engines.plans.progress import Cancelled, Report, monitor
from engines.plans.store import PlanError

FLAGS: Final = ("STRONGLY_TYPED",)
"""Of the network: TensorRT 10 needs it said, 11 has nothing else."""
LEVEL: Final = 3
"""TensorRT's own default of 0 to 5."""
MESSAGE_MAX: Final = 300
Ports = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Settings:
    """`size`: height and width, for a network that leaves them open. `workspace_mib`: 0 is TensorRT's own limit, all of the GPU."""

    buckets: tuple[Bucket, ...]
    size: tuple[int, int] | None = None
    workspace_mib: int = 0
    level: int = LEVEL


@dataclass(frozen=True, slots=True)
class Built:
    data: memoryview
    ports: Ports
    precision: PlanPrecision
    size: tuple[int, int]
    timing: bytes
    """The timing cache, with what this build has added."""


def build_plan(
    trt: ModuleType, model: Path, settings: Settings, *, timing: bytes = b"", report: Report = lambda share: None
) -> Built:
    """Build with the module `trt`: tensorrt or TensorRT for RTX. `report` gets how much of it is done, 0 to 1.

    Raises:
        PlanError: the file cannot be parsed or built, in one line why.
        Cancelled: `report` has raised KeyboardInterrupt.
    """
    messages = _logger(trt)
    builder = _made(trt.Builder, messages)
    network = builder.create_network(sum(1 << int(getattr(trt.NetworkDefinitionCreationFlag, name)) for name in FLAGS))
    _parse(trt, network, messages, model)
    config = builder.create_builder_config()
    config.builder_optimization_level = settings.level
    if settings.workspace_mib:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, settings.workspace_mib << 20)
    size = _add_profiles(builder, network, config, model, settings)
    cache = config.create_timing_cache(timing)
    if not config.set_timing_cache(cache, False):
        cache = config.create_timing_cache(b"")  # it was another GPU's
        config.set_timing_cache(cache, False)
    watching = monitor(trt, report)
    config.progress_monitor = watching
    plan = builder.build_serialized_network(network, config)
    if watching.cancelled:
        raise Cancelled
    if plan is None:
        raise PlanError(f"{model}: TensorRT cannot build it: {messages.last()}")
    return Built(memoryview(plan), _ports(network), _precision(trt, network), size, bytes(cache.serialize()))


def _line(message: str) -> str:
    return " ".join(message.split())[:MESSAGE_MAX]


def _logger(trt: ModuleType) -> Any:
    class Messages(trt.ILogger):  # type: ignore[name-defined, misc]
        """Keeps what went wrong, for the line that tells of it."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.errors.append(_line(message))

        def last(self) -> str:
            return self.errors[-1] if self.errors else "it says not why"

    return Messages()


def _made(make: Callable[[Any], Any], messages: Any) -> Any:
    try:
        return make(messages)
    except TypeError:  # what the bindings say when the library gives them nothing
        raise PlanError(f"TensorRT cannot start here: {messages.last()}") from None


def _parse(trt: ModuleType, network: Any, messages: Any, model: Path) -> None:
    parser = trt.OnnxParser(network, messages)
    try:
        content = model.read_bytes()
    except OSError as error:
        raise PlanError(f"cannot read {model}: {error.strerror}") from error
    if not parser.parse(content, str(model)):
        told = parser.get_error(0).desc() if parser.num_errors else messages.last()
        raise PlanError(f"{model}: TensorRT cannot read it: {_line(told)}")


def _add_profiles(builder: Any, network: Any, config: Any, model: Path, settings: Settings) -> tuple[int, int]:
    """One profile a bucket; gives the pictures' height and width."""
    inputs = [network.get_input(number) for number in range(network.num_inputs)]
    height, width = _size(model, inputs[0].shape, settings.size)
    for bucket in settings.buckets:
        profile = builder.create_optimization_profile()
        for tensor in inputs:
            shapes = [_shape(model, tensor, batch, height, width) for batch in bucket]
            profile.set_shape(tensor.name, *shapes)
        if config.add_optimization_profile(profile) < 0:
            raise PlanError(f"{model}: TensorRT takes no profile of the batches {bucket}")
    return height, width


def _size(model: Path, shape: Sequence[int], asked: tuple[int, int] | None) -> tuple[int, int]:
    if len(shape) != 4:
        raise PlanError(f"{model}: its first input is no picture: {tuple(shape)}")
    height, width = shape[2], shape[3]
    if -1 not in (height, width):
        if asked not in (None, (height, width)):
            raise PlanError(f"{model} takes pictures of {width} × {height} alone")
        return height, width
    if asked is None:
        raise PlanError(f"{model} takes pictures of any size: say which it shall be built for with --side")
    return asked


def _shape(model: Path, tensor: Any, batch: int, height: int, width: int) -> tuple[int, ...]:
    part = 2 if tensor.name == "uv" else 1
    wanted = (batch, tensor.shape[1], height // part, width // part)
    if any(has not in (-1, side) for has, side in zip(tensor.shape, wanted, strict=True)):
        fixed = "one picture at a time" if tensor.shape[0] == 1 else f"{tensor.name} {tuple(tensor.shape)}"
        raise PlanError(f"{model} takes {fixed}, not {wanted}: export it with an open batch, or say --batch 1")
    return wanted


def _ports(network: Any) -> Ports:
    inputs = [("INPUT", network.get_input(number)) for number in range(network.num_inputs)]
    outputs = [("OUTPUT", network.get_output(number)) for number in range(network.num_outputs)]
    return {
        tensor.name: {"mode": mode, "dtype": tensor.dtype.name, "shape": list(tensor.shape)}
        for mode, tensor in (*inputs, *outputs)
    }


def _precision(trt: ModuleType, network: Any) -> PlanPrecision:
    layers = [network.get_layer(number) for number in range(network.num_layers)]
    if any(layer.type == trt.LayerType.QUANTIZE for layer in layers):
        return "int8"
    halves = (
        layer.get_output(0).dtype == trt.DataType.HALF for layer in layers if layer.type == trt.LayerType.CONVOLUTION
    )
    return "fp16" if any(halves) else "fp32"
