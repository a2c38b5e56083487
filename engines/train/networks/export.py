"""A network of `yolov5.py` as ONNX: batch open, size fixed, batch normalisation folded, held to torch."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

import onnx
import onnxruntime
import torch

from engines.models import COCO
from engines.train.export import TOLERANCE, ExportError
from engines.train.networks.graph import INPUT, graph_of
from engines.train.networks.layout import CLASSES, layout
from engines.train.networks.yolov5 import Yolov5, clouds, fuse, random_network

CHECK_PICTURES: Final = 2


def write_network(net: str, out: Path, side: int | None = None) -> None:
    """Write one of `NETS` with random weights to `out`, for pictures of `side` px, else those that it is meant for.

    Raises:
        ExportError: no such net, or the file does not compute what torch does, to `TOLERANCE`.
    """
    try:
        side = side or layout(net).side
        if side % layout(net).strides[-1]:
            raise ValueError(f"{net} takes sides that are multiples of {layout(net).strides[-1]}, not {side}")
        network = fuse(random_network(net))
    except ValueError as error:
        raise ExportError(str(error)) from None
    model = graph_of(network, side)
    names = dict(enumerate(COCO.read_text(encoding="utf-8").split("\n")[:CLASSES]))
    strides = network.layout.strides
    onnx.helper.set_model_props(
        model,
        {"family": "yolov5", "task": "detect", "names": json.dumps(names), "stride": str(strides[-1]), "net": net,
         "weights": "random"},
    )  # fmt: skip
    onnx.checker.check_model(model, full_check=True)
    aside = out.with_name(out.name + ".part")
    onnx.save(model, aside)
    difference = _difference(network, aside, side)
    if difference > TOLERANCE:
        aside.unlink()
        raise ExportError(f"the export differs from torch by {difference:.2g}, more than {TOLERANCE}: not written")
    os.replace(aside, out)


def _difference(network: Yolov5, path: Path, side: int) -> float:
    """The largest difference of a logit; logits have a deviation of about 2."""
    pictures = clouds(CHECK_PICTURES, side, torch.Generator().manual_seed(1))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(None, {INPUT: pictures.numpy()})
    with torch.inference_mode():
        expected = network(pictures)
    return max(float((torch.from_numpy(f) - e).abs().max()) for f, e in zip(found, expected, strict=True))
