"""A whole ONNX graph in fp16, but for what follows its last convolution when that computes with pixels."""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

COMPUTING: Final = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
MOVING: Final = {
    "Reshape",
    "Transpose",
    "Concat",
    "Split",
    "Slice",
    "Squeeze",
    "Unsqueeze",
    "Flatten",
    "Identity",
    "Constant",
}
"""Operators after which a half is the half that it was. Where others follow the last convolution (boxes in pixels!) all that follows it
stays fp32: from 512 on a half steps by .5."""
KEPT: Final = {"Resize": (1, 2), "Upsample": (1,)}
"""Inputs that are fp32 by the operator's definition."""
FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16


def halve(model: onnx.ModelProto) -> None:
    """Change `model` so that it computes in fp16; pictures of floats go in as halves.

    Raises:
        ValueError: it has branches or loops.
    """
    graph = model.graph
    if any(attribute.type == onnx.AttributeProto.GRAPH for node in graph.node for attribute in node.attribute):
        raise ValueError("it has branches or loops")
    weights = {value.name for value in graph.initializer}
    for port in [port for port in graph.input if port.name in weights]:  # as old exporters list them
        graph.input.remove(port)
    nodes = list(graph.node)
    exact = _exact(nodes)
    halves = [node for node, stays in zip(nodes, exact, strict=True) if not stays]
    _constants(graph, halves)
    for node in halves:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == FLOAT:
                attribute.i = HALF
            elif attribute.name == "value" and attribute.t.data_type == FLOAT:
                attribute.t.CopyFrom(_half(attribute.t))
    _bridge(graph, nodes, exact)
    made = {name for node in halves for name in node.output}
    for port in (*graph.input, *(output for output in graph.output if output.name in made)):
        if port.type.tensor_type.elem_type == FLOAT:
            port.type.tensor_type.elem_type = HALF
    del graph.value_info[:]


def _exact(nodes: list[onnx.NodeProto]) -> list[bool]:
    """Of each node whether it stays fp32."""
    leading: set[str] = set()
    after = []
    for node in reversed(nodes):
        leads = node.op_type in COMPUTING or bool(leading.intersection(node.output))
        if leads:
            leading.update(node.input)
        after.append(not leads)
    after.reverse()
    computes = any(node.op_type not in MOVING for node, last in zip(nodes, after, strict=True) if last)
    return after if computes else [False] * len(nodes)


def _constants(graph: onnx.GraphProto, halves: list[onnx.NodeProto]) -> None:
    """Weights in fp16; one that fp32 nodes read as well, or that has to be fp32, is there twice."""
    floats = {value.name: value for value in graph.initializer if value.data_type == FLOAT}
    made = set()
    for node in halves:
        for place, name in enumerate(node.input):
            if name in floats and place not in KEPT.get(node.op_type, ()):
                node.input[place] = f"{name}.half"
                made.add(name)
    read = {name for node in graph.node for name in node.input}
    for name in sorted(made):
        value = _half(floats[name])
        value.name = f"{name}.half"
        graph.initializer.append(value)
        if name not in read:
            graph.initializer.remove(floats[name])


def _half(value: onnx.TensorProto) -> onnx.TensorProto:
    array = numpy_helper.to_array(value)
    bounds = np.finfo(np.float16)
    return numpy_helper.from_array(array.clip(bounds.min, bounds.max).astype(np.float16), value.name)


def _bridge(graph: onnx.GraphProto, nodes: list[onnx.NodeProto], exact: list[bool]) -> None:
    """A cast wherever a node that stays fp32 reads a float that others have made, or the picture."""
    known = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input, *graph.output)}
    made = {name for node, stays in zip(nodes, exact, strict=True) if not stays for name in node.output}
    made |= {port.name for port in graph.input}
    crossing = {name for name in made if known.get(name, FLOAT) == FLOAT}
    bridged, cast = [], set()
    for node, stays in zip(nodes, exact, strict=True):
        for place, name in enumerate(node.input):
            if stays and name in crossing:
                if name not in cast:
                    cast.add(name)
                    bridged.append(helper.make_node("Cast", [name], [f"{name}.float"], f"{name}.float", to=FLOAT))
                node.input[place] = f"{name}.float"
        bridged.append(onnx.NodeProto.FromString(node.SerializeToString()))
    del graph.node[:]
    graph.node.extend(bridged)
