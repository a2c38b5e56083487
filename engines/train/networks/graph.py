"""A fused network of `yolov5.py` as an ONNX graph, node by node as `layout.py` says: a thirtieth of the time of torch's exporter, and
with nothing in it that TensorRT would have to see through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from engines.train.networks.layout import ANCHORS, Row
from engines.train.networks.yolov5 import POOL, Bottleneck, Conv, Csp, Pool, Yolov5

OPSET: Final = 19
"""The least in which scales of Q/DQ may be halves."""
IR_VERSION: Final = 10
INPUT: Final = "images"


def graph_of(network: Yolov5, side: int) -> onnx.ModelProto:
    """With an open batch `n` and pictures of `side` px."""
    writer = _Writer()
    kept: list[str] = []
    for number, (row, module) in enumerate(zip(network.layout.rows, network.rows, strict=True)):
        taken = [kept[source] for source in row.takes] if kept else [INPUT]
        kept.append(writer.row(f"row{number}", row, module, taken))
    outputs = []
    for head, row_number, stride in zip(network.heads, network.layout.heads, network.layout.strides, strict=True):
        name, cells = f"o{stride}", side // stride
        writer.head(name, head, kept[row_number], (ANCHORS, network.values, cells, cells))
        shape = ["n", ANCHORS, cells, cells, network.values]
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    picture = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", 3, side, side])
    graph = helper.make_graph(writer.nodes, network.layout.net, [picture], outputs, writer.values)
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(graph, producer_name="fancam", ir_version=IR_VERSION, opset_imports=[opset])


class _Writer:
    """Each method appends a layer's nodes and gives the name of what comes out."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.values: list[onnx.TensorProto] = []

    def row(self, name: str, row: Row, module: Any, taken: Sequence[str]) -> str:
        match row.kind:
            case "conv":
                return self.conv(name, module, taken[0])
            case "csp":
                return self.csp(name, module, taken[0])
            case "pool":
                return self.pool(name, module, taken[0])
            case "up":
                scales = self.value(f"{name}.scales", np.array([1, 1, 2, 2], np.float32))
                modes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
                return self.node("Resize", name, [taken[0], "", scales], **modes)
            case "join":
                return self.node("Concat", name, taken, axis=1)

    def conv(self, name: str, module: Conv, given: str) -> str:
        out = self.plain(f"{name}.conv", module.conv, given)
        return self.node("Mul", name, [out, self.node("Sigmoid", f"{name}.sigmoid", [out])])

    def plain(self, name: str, conv: nn.Conv2d, given: str) -> str:
        weights = [self.value(f"{name}.{key}", value.numpy()) for key, value in conv.state_dict().items()]
        kernel, stride, padding = (list(pair) for pair in (conv.kernel_size, conv.stride, conv.padding))
        return self.node("Conv", name, [given, *weights], kernel_shape=kernel, strides=stride, pads=padding * 2)

    def csp(self, name: str, module: Csp, given: str) -> str:
        through = self.conv(f"{name}.into", module.into, given)
        for number, block in enumerate(module.blocks):
            assert isinstance(block, Bottleneck)
            narrow = self.conv(f"{name}.{number}.narrow", block.narrow, through)
            wide = self.conv(f"{name}.{number}.wide", block.wide, narrow)
            through = self.node("Add", f"{name}.{number}", [through, wide]) if block.shortcut else wide
        past = self.conv(f"{name}.past", module.past, given)
        return self.conv(name, module.out, self.node("Concat", f"{name}.joined", [through, past], axis=1))

    def pool(self, name: str, module: Pool, given: str) -> str:
        maps = [self.conv(f"{name}.into", module.into, given)]
        for number in range(3):
            kernel = {"kernel_shape": [POOL, POOL], "strides": [1, 1], "pads": [POOL // 2] * 4}
            maps.append(self.node("MaxPool", f"{name}.{number}", maps[-1:], **kernel))
        return self.conv(name, module.out, self.node("Concat", f"{name}.joined", maps, axis=1))

    def head(self, name: str, module: Any, given: str, shape: tuple[int, ...]) -> None:
        maps = self.plain(f"{name}.conv", module, given)
        split = self.node(
            "Reshape", f"{name}.split", [maps, self.value(f"{name}.shape", np.array([0, *shape], np.int64))]
        )
        self.node("Transpose", name, [split], perm=[0, 1, 3, 4, 2])

    def value(self, name: str, array: np.ndarray) -> str:
        self.values.append(numpy_helper.from_array(array, name))
        return name

    def node(self, kind: str, name: str, given: Sequence[str], **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, given, [name], name, **attributes))
        return name
