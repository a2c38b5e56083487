"""An ONNX file as a torch module, for inputs of fixed shapes: what depends on shapes alone is computed once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from engines.runtimes.torch_cuda.operators import OPERATORS, PLAIN, Unsupported


class _Step(NamedTuple):
    """A node: its arguments are names of values that are known by then, or constants."""

    operator: str
    attributes: dict[str, Any]
    arguments: list[tuple[str | None, Any]]
    outputs: list[str]
    done_with: list[str]
    """Values that no later step takes: their memory is free for others."""


class OnnxModule(nn.Module):
    """Called with the inputs in the file's order, gives its outputs, in float32 where `widened`. Convolutions compute in `dtype`,
    channels last; what is added to or multiplied with numbers of the file (the decoding of boxes) is in float32 again.

    Raises:
        Unsupported: it has an operator that is not in `OPERATORS`.
    """

    def __init__(self, path: Path, examples: Mapping[str, Tensor], dtype: torch.dtype, *, widened: bool = True) -> None:
        super().__init__()
        graph = onnx.load(path).graph
        self._device = next(iter(examples.values())).device
        self._inputs = list(examples)
        self._outputs = [port.name for port in graph.output]
        self._fixed: dict[str, Any] = {tensor.name: _constant(tensor) for tensor in graph.initializer}
        self._weights = {name for node in graph.node if node.op_type == "Conv" for name in node.input[1:]}
        self._dtype, self._widened = dtype, widened
        self._steps: list[_Step] = []
        with torch.inference_mode():
            self._fold(graph, dict(examples))
        self._forget()

    def _fold(self, graph: onnx.GraphProto, values: dict[str, Any]) -> None:
        """Run it once on examples: nodes whose answers depend on shapes and numbers of the file alone are done with; the rest
        become steps. A whole batch goes through, so what no later node takes is let go of."""
        last = {name: number for number, node in enumerate(graph.node) for name in node.input}
        for number, node in enumerate(graph.node):
            attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
            if node.op_type == "Constant":
                self._fixed[node.output[0]] = _constant(attributes["value"])
                continue
            if node.op_type not in OPERATORS:
                raise Unsupported(f"the operator {node.op_type}")
            plain = PLAIN.get(node.op_type, ())
            arguments = [self._argument(name, place in plain) for place, name in enumerate(node.input)]
            step = _Step(node.op_type, attributes, arguments, list(node.output), [])
            given = step_of(step, values)
            known = zip(step.outputs, given, strict=False)
            if node.op_type == "Shape" or all(name is None for name, _ in arguments):
                self._fixed.update(known)
            else:
                values.update(known)
                self._steps.append(step)
            for name in {name for name in node.input if last[name] == number}:
                values.pop(name, None)

    def _argument(self, name: str, plain: bool) -> tuple[str | None, Any]:
        if name not in self._fixed:
            return (name, None) if name else (None, None)
        value = self._fixed[name]
        if plain:
            return None, value.tolist()
        if value.dtype in (torch.float32, torch.float64, torch.float16):
            value = value.to(self._device, self._dtype if name in self._weights else torch.float32)
            if name in self._weights and value.dim() == 4:
                value = value.contiguous(memory_format=torch.channels_last)
        return None, value

    def _forget(self) -> None:
        """Say of each value where it is used last."""
        seen = set(self._outputs)
        for step in reversed(self._steps):
            names = {name for name, _ in step.arguments if name is not None} | set(step.outputs)
            step.done_with.extend(names - seen)
            seen |= names

    def forward(self, *inputs: Tensor) -> list[Tensor]:
        values: dict[str, Any] = dict(zip(self._inputs, inputs, strict=True))
        for step in self._steps:
            values.update(zip(step.outputs, step_of(step, values), strict=False))
            for name in step.done_with:
                del values[name]
        return [values[name].float() if self._widened else values[name] for name in self._outputs]


def step_of(step: _Step, values: Mapping[str, Any]) -> tuple[Any, ...]:
    arguments = [constant if name is None else values[name] for name, constant in step.arguments]
    answer = OPERATORS[step.operator](step.attributes, *arguments)
    return answer if isinstance(answer, tuple) else (answer,)


def _constant(tensor: onnx.TensorProto) -> Tensor:
    return torch.from_numpy(np.array(numpy_helper.to_array(tensor)))
