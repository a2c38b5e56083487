"""The ONNX operators that detectors are made of, each as one function of torch. Source: onnx.ai/onnx/operators.

An operator is called with its attributes and its inputs; inputs named in `PLAIN` (shapes, axes, sizes) come as lists, inputs that are
left out as None.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

Attributes = dict[str, Any]
TORCH_OF: Final = {1: torch.float32, 2: torch.uint8, 6: torch.int32, 7: torch.int64, 9: torch.bool, 10: torch.float16}
"""onnx.TensorProto.DataType."""
TO_THE_END: Final = 1 << 31
"""What exporters write as the end of a slice that has none."""


class Unsupported(Exception):
    """An operator, or a form of one, that is not here; the text names it."""


def _padded(x: Tensor, attributes: Attributes, fill: float = 0.0) -> tuple[Tensor, list[int]]:
    """Padding for torch, which pads evenly; what is uneven is added to `x` here."""
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise Unsupported(f"auto_pad {attributes['auto_pad'].decode()}")
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    if (top, left) == (bottom, right):
        return x, [top, left]
    return functional.pad(x, (left, right, top, bottom), value=fill), [0, 0]


def conv(attributes: Attributes, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """In the weight's precision, whatever comes in."""
    x, padding = _padded(x.to(weight.dtype), attributes)
    strides, dilations = attributes.get("strides", [1, 1]), attributes.get("dilations", [1, 1])
    return functional.conv2d(x, weight, bias, strides, padding, dilations, attributes.get("group", 1))


def max_pool(attributes: Attributes, x: Tensor) -> Tensor:
    x, padding = _padded(x, attributes, float("-inf"))
    strides, ceil = attributes.get("strides", [1, 1]), bool(attributes.get("ceil_mode", 0))
    return functional.max_pool2d(x, attributes["kernel_shape"], strides, padding, ceil_mode=ceil)


def average_pool(attributes: Attributes, x: Tensor) -> Tensor:
    strides, pads = attributes.get("strides", [1, 1]), attributes.get("pads", [0, 0, 0, 0])
    if pads[:2] != pads[2:]:
        raise Unsupported("AveragePool with uneven padding")
    ceil, counts = bool(attributes.get("ceil_mode", 0)), bool(attributes.get("count_include_pad", 0))
    return functional.avg_pool2d(x, attributes["kernel_shape"], strides, pads[:2], ceil, counts)


def batch_normalization(attributes: Attributes, x: Tensor, *parameters: Tensor) -> Tensor:
    scale, bias, mean, variance = parameters
    factor = scale / torch.sqrt(variance + attributes.get("epsilon", 1e-5))
    shape = (1, -1, 1, 1)
    return x * factor.reshape(shape) + (bias - mean * factor).reshape(shape)


def resize(
    attributes: Attributes,
    x: Tensor,
    roi: Any = None,
    scales: list[float] | None = None,
    sizes: list[int] | None = None,
) -> Tensor:
    """Nearest, by whole numbers: each pixel becomes a square, in every way of counting coordinates."""
    height, width = (sizes[2] / x.shape[2], sizes[3] / x.shape[3]) if sizes else (scales or [0, 0, 0, 0])[2:]
    if attributes.get("mode", b"nearest") != b"nearest" or height < 1 or height % 1 or width % 1:
        raise Unsupported("Resize other than nearest by a whole number")
    return x.repeat_interleave(int(height), 2).repeat_interleave(int(width), 3)


def reshape(attributes: Attributes, x: Tensor, shape: list[int]) -> Tensor:
    """0 leaves a side as it is."""
    return x.reshape([x.shape[number] if side == 0 else side for number, side in enumerate(shape)])


def slice_(
    attributes: Attributes,
    x: Tensor,
    starts: list[int] | None = None,
    ends: list[int] | None = None,
    axes: list[int] | None = None,
    steps: list[int] | None = None,
) -> Tensor:
    """Before opset 10 these are attributes."""
    starts, ends = starts or attributes["starts"], ends or attributes["ends"]
    axes = axes or attributes.get("axes") or list(range(len(starts)))
    for start, end, axis, step in zip(starts, ends, axes, steps or [1] * len(starts), strict=True):
        if step < 0:
            raise Unsupported("Slice backwards")
        x = x[(slice(None),) * (axis % x.dim()) + (slice(start, None if end >= TO_THE_END else end, step),)]
    return x


def unsqueeze(attributes: Attributes, x: Tensor, axes: list[int] | None = None) -> Tensor:
    for axis in sorted(axes or attributes["axes"]):
        x = x.unsqueeze(axis)
    return x


def gather(attributes: Attributes, x: Tensor, indices: Tensor) -> Tensor:
    axis = attributes.get("axis", 0) % max(1, x.dim())
    picked = x.index_select(axis, indices.reshape(-1).to(x.device))
    return picked.reshape([*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]])


def split(attributes: Attributes, x: Tensor, sizes: list[int] | None = None) -> tuple[Tensor, ...]:
    sizes = sizes or attributes.get("split")
    if sizes is None:
        raise Unsupported("Split without sizes")
    return tuple(x.split(sizes, attributes.get("axis", 0)))


def clip(attributes: Attributes, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    """Before opset 11 the limits are attributes."""
    least = attributes.get("min") if low is None else float(low)
    most = attributes.get("max") if high is None else float(high)
    return x.clamp(least, most)


OPERATORS: Final[dict[str, Callable[..., Any]]] = {
    "Add": lambda attributes, a, b: a + b,
    "AveragePool": average_pool,
    "BatchNormalization": batch_normalization,
    "Cast": lambda attributes, x: x.to(TORCH_OF[attributes["to"]]),
    "Clip": clip,
    "Concat": lambda attributes, *parts: torch.cat(parts, attributes["axis"]),
    "Conv": conv,
    "Div": lambda attributes, a, b: a // b if a.dtype == torch.int64 else a / b,
    "Exp": lambda attributes, x: x.exp(),
    "Gather": gather,
    "LeakyRelu": lambda attributes, x: functional.leaky_relu(x, attributes.get("alpha", 0.01)),
    "MaxPool": max_pool,
    "Mul": lambda attributes, a, b: a * b,
    "Pow": lambda attributes, a, b: a**b,
    "Relu": lambda attributes, x: x.relu(),
    "Reshape": reshape,
    "Resize": resize,
    "Shape": lambda attributes, x: torch.tensor(x.shape),
    "Sigmoid": lambda attributes, x: x.sigmoid(),
    "Slice": slice_,
    "Softmax": lambda attributes, x: x.softmax(attributes.get("axis", -1)),
    "Split": split,
    "Sub": lambda attributes, a, b: a - b,
    "Transpose": lambda attributes, x: x.permute(attributes["perm"]),
    "Unsqueeze": unsqueeze,
}
PLAIN: Final[dict[str, tuple[int, ...]]] = {
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Unsqueeze": (1,),
}
