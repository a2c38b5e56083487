"""From a checkpoint to the ONNX files that Fancam ships: BN folded, metadata set, checked; int8 by calibration."""

import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from engines.train.data import Album, fitted_planes
from engines.train.network import OUTPUTS, STRIDES, FaceNet, Head

OPSET = 18
TOLERANCE = 1e-3
#: How far int8 may be from f32 on average, as a share of how much an output varies over a picture.
INT8_TOLERANCE = 0.1
CALIBRATION_PICTURES = 128
CALIBRATION_SIDE_PX = 416
METADATA = {
    "family": "fancam",
    "task": "face",
    "names": '{"0": "face"}',
    "stride": "32",
    "imgsz": "640",
    "version": "1",
}


class ExportError(Exception):
    """A network that cannot be exported, or an export that does not compute what the network does."""


def load_network(checkpoint: Path) -> FaceNet:
    """The averaged network of a checkpoint, for use."""
    if not checkpoint.is_file():
        raise ExportError(f"no checkpoint {checkpoint}")
    network = FaceNet()
    try:
        network.start_from(torch.load(checkpoint, weights_only=True)["average"])
    except ValueError as error:
        raise ExportError(f"{checkpoint} cannot be exported: {error}") from None
    return network.eval()


def rescale_scores(network: FaceNet, slope: float, offset: float) -> None:
    """Put the score logits x on the scale slope · x + offset (Platt, 1999), in the last layer; no box changes its rank."""
    with torch.no_grad():
        for head in network.heads:
            assert isinstance(head, Head)
            assert head.last.bias is not None
            head.last.weight[0] *= slope
            head.last.bias[0] = head.last.bias[0] * slope + offset


def fold(network: FaceNet) -> FaceNet:
    """`network`, changed: every batch normalisation is folded into the convolutions before it."""
    for module in list(network.modules()):
        if isinstance(module, nn.Sequential) and len(module) == 2 and isinstance(module[1], nn.BatchNorm2d):
            conv = module[0]
            assert isinstance(conv, nn.Conv2d)
            module[0] = fuse_conv_bn_eval(conv, module[1])
            module[1] = nn.Identity()
    stem, norm = network.stem, network.stem.norm
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    with torch.no_grad():
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        stem.luma.weight *= scale[:, None, None, None]
        stem.chroma.weight *= scale[:, None, None, None]
        stem.chroma.bias = nn.Parameter(norm.bias - norm.running_mean * scale)
    stem.norm = nn.Identity()
    return network


def _example(height: int, width: int, count: int = 2) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    y = torch.randint(0, 256, (count, 1, height, width), dtype=torch.uint8, generator=draw)
    return y, torch.randint(0, 256, (count, 2, height // 2, width // 2), dtype=torch.uint8, generator=draw)


def _trace(network: FaceNet, y: Tensor, uv: Tensor) -> onnx.ModelProto:
    count, rows, columns = (torch.export.Dim(name, min=1, max=4096) for name in ("n", "rows", "columns"))
    shapes = {"y": {0: count, 2: 32 * rows, 3: 32 * columns}, "uv": {0: count, 2: 16 * rows, 3: 16 * columns}}
    names = [f"o{s}" for s in STRIDES]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter warns of its own internals
        program = torch.onnx.export(
            network,
            (y, uv),
            input_names=["y", "uv"],
            output_names=names,
            dynamic_shapes=shapes,
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    labels = [("h", "w"), ("h/2", "w/2"), *((f"h/{s}", f"w/{s}") for s in STRIDES)]
    for value, (height, width) in zip([*model.graph.input, *model.graph.output], labels, strict=True):
        dims = value.type.tensor_type.shape.dim
        dims[0].dim_param, dims[2].dim_param, dims[3].dim_param = "n", height, width
    del model.graph.value_info[:]
    for part in (model.graph, *model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]  # the exporter writes down where its code lay
    return model


def write_onnx(network: FaceNet, out: Path) -> None:
    """Write `network` (folded here) to `out`, and check it against torch to `TOLERANCE`; raises `ExportError`."""
    y, uv = _example(96, 160)
    with torch.inference_mode():
        expected = [o.numpy() for o in network(y, uv)]
    model = _trace(fold(network), y, uv)
    onnx.helper.set_model_props(model, METADATA)
    onnx.checker.check_model(model, full_check=True)
    aside = out.with_name(out.name + ".part")
    onnx.save(model, aside)
    difference = _difference(aside, y, uv, expected)
    if difference > TOLERANCE:
        aside.unlink()
        raise ExportError(f"the export differs from torch by {difference:.2g}, more than {TOLERANCE}: not written")
    os.replace(aside, out)


def _difference(path: Path, y: Tensor, uv: Tensor, expected: list[np.ndarray]) -> float:
    """The largest difference of outputs, in each output's own units (all are of order 1)."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(None, {"y": y.numpy(), "uv": uv.numpy()})
    assert all(f.shape[1] == OUTPUTS for f in found)
    return max(float(np.abs(f - e).max()) for f, e in zip(found, expected, strict=True))


class _Pictures(CalibrationDataReader):
    def __init__(self, album: Album, count: int) -> None:
        rng = np.random.default_rng(0)
        self._planes = (fitted_planes(album.pick(rng), CALIBRATION_SIDE_PX) for _ in range(count))

    def get_next(self) -> dict[str, np.ndarray] | None:
        planes = next(self._planes, None)
        return None if planes is None else {"y": planes[0], "uv": planes[1]}


def write_int8(network: FaceNet, out: Path, album: Album, count: int = CALIBRATION_PICTURES) -> None:
    """Write `network` (folded here) in int8 to `out`: QDQ, per channel, ranges from `count` training pictures.

    It is made from the f32 file, which is checked against torch, and compared with it on a picture; raises `ExportError`.
    Only what goes into a convolution is quantised: so the sums of the residual blocks stay inside the fused kernels.
    """
    aside = out.with_name(out.name + ".part")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "f32.onnx"
        write_onnx(network, source)
        _quantise(source, aside, album, count)
        planes = fitted_planes(album.pick(np.random.default_rng(1)), CALIBRATION_SIDE_PX)
        difference = _int8_difference(source, aside, planes)
    if difference > INT8_TOLERANCE:
        aside.unlink()
        raise ExportError(
            f"int8 differs from f32 by {difference:.2g} of what the outputs vary, more than {INT8_TOLERANCE}: not written;"
            " calibrate with more pictures"
        )
    model = onnx.load(aside)
    onnx.helper.set_model_props(model, METADATA)
    onnx.save(model, aside)
    os.replace(aside, out)


def _int8_difference(f32: Path, int8: Path, planes: tuple[np.ndarray, np.ndarray]) -> float:
    """The largest mean difference of an output on a picture, as a share of its spread (or of .1, where there is less)."""
    expected, found = (
        onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(
            None, {"y": planes[0], "uv": planes[1]}
        )
        for path in (f32, int8)
    )
    return max(float(np.abs(a - b).mean() / max(float(a.std()), 0.1)) for a, b in zip(expected, found, strict=True))


def _quantise(source: Path, out: Path, album: Album, count: int) -> None:
    quantize_static(
        str(source),
        str(out),
        _Pictures(album, count),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["Conv"],
        extra_options={"OpTypesToExcludeOutputQuantization": ["Conv"]},
    )
