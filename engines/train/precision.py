"""An fp32 ONNX file in fp16 or int8, as strongly typed TensorRT builds take it: what the file says is what is computed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from onnx import TensorProto, version_converter
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from engines.detect.families import UnknownFamily, family_of
from engines.detect.letterbox import Letterbox
from engines.detect.picture import PictureInput
from engines.frame import Frame
from engines.runtimes import RuntimeFailure, read_signature
from engines.scene.scene import random_scene
from engines.train.data import Album, fitted_planes
from engines.train.export import ExportError
from engines.train.half import halve
from engines.train.networks.graph import OPSET

HALF_TOLERANCE: Final = 0.02
"""Of an output's deviation, root mean square."""
CALIBRATION_PICTURES, DRAWN_PICTURES, CHECK_PICTURES = 32, 4, 2
CALIBRATION_SIDE_PX, SCENE_PX = 640, (640, 480)
Feed = Mapping[str, np.ndarray]


def write_fp16(source: Path, out: Path, family: str | None = None) -> float:
    """Write the fp32 file `source` in fp16; pictures go in as halves. Gives its difference, as `HALF_TOLERANCE` measures it.
    `family`: how it wants its pictures, where the file leaves that open.

    Raises:
        ExportError: it cannot be read or converted, or would compute something else.
    """
    model = _halved(source)
    return _settle(model, source, out, list(feeds(source, frames(None, CHECK_PICTURES), family)), HALF_TOLERANCE)


def write_int8(source: Path, out: Path, album: Album | None = None, family: str | None = None) -> float:
    """Write the fp32 file `source` with its convolutions in int8 and the rest in fp16: Q/DQ, symmetric, weights per channel. Ranges
    come from pictures of `album`, else from drawn scenes, which will do for measuring speed. Gives its difference, as above.

    Raises:
        ExportError: it cannot be read or converted.
    """
    half = _halved(source)
    with tempfile.TemporaryDirectory() as folder:
        middle, quantised = Path(folder, "fp16.onnx"), Path(folder, "int8.onnx")
        onnx.save(half, middle)
        wants = {
            tensor.name: onnx.helper.tensor_dtype_to_np_dtype(tensor.type.tensor_type.elem_type)
            for tensor in half.graph.input
        }
        pictures = feeds(source, frames(album, CALIBRATION_PICTURES if album else DRAWN_PICTURES), family)
        quantize_static(
            str(middle),
            str(quantised),
            _Reader({name: value.astype(wants[name]) for name, value in feed.items()} for feed in pictures),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv"],
            extra_options={
                "OpTypesToExcludeOutputQuantization": ["Conv"],
                "ActivationSymmetric": True,
                "WeightSymmetric": True,
                "QuantizeBias": False,  # TensorRT takes no int32
            },
        )
        model = onnx.load(quantised)
    onnx.helper.set_model_props(model, {entry.key: entry.value for entry in half.metadata_props})
    return _settle(model, source, out, list(feeds(source, frames(album, CHECK_PICTURES), family)), None)


def frames(album: Album | None, count: int) -> Iterator[Frame]:
    """Pictures of an album, the same each time; without one, drawn scenes."""
    rng = np.random.default_rng(0)
    for number in range(count):
        if album is None:
            width, height = SCENE_PX
            yield Frame(*random_scene(number, width, height, performers=3, face_px=(20, 120)).planes(1.0), 0, 0)
        else:
            y, uv = fitted_planes(album.pick(rng), CALIBRATION_SIDE_PX)
            yield Frame(y[0, 0], uv[0, 0], uv[0, 1], 0, 0)


def feeds(model: Path, pictures: Iterator[Frame], family: str | None = None) -> Iterator[dict[str, np.ndarray]]:
    """The pictures as an fp32 file's inputs, each whole.

    Raises:
        ExportError: no family reads its outputs, so nobody knows how it wants its pictures.
    """
    try:
        signature = read_signature(model, "onnxruntime")
        look = family_of(signature, family).look
    except (RuntimeFailure, UnknownFamily) as error:
        raise ExportError(f"{model}: {error}") from error
    height, width = signature.fixed_size or (CALIBRATION_SIDE_PX, CALIBRATION_SIDE_PX)
    for frame in pictures:
        letterbox = Letterbox.within(frame.width, frame.height, width, height)
        if look is None:
            y, uv = np.zeros((1, 1, height, width), np.uint8), np.zeros((1, 2, height // 2, width // 2), np.uint8)
            letterbox.fill(frame, y[0, 0], uv[0])
            yield {"y": y, "uv": uv}
        else:
            picture = np.zeros((1, 3, height, width), np.float32)
            PictureInput(picture[0], look).fill(frame, letterbox)
            yield {signature.inputs[0].name: picture}


class _Reader(CalibrationDataReader):
    def __init__(self, pictures: Iterator[dict[str, np.ndarray]]) -> None:
        self._pictures = pictures

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._pictures, None)


def _read(source: Path) -> onnx.ModelProto:
    try:
        model = onnx.load(source)
    except OSError as error:
        raise ExportError(f"cannot read {source}: {error.strerror}") from None
    except DecodeError:
        raise ExportError(f"{source} is not an ONNX file") from None
    kinds = {value.data_type for value in model.graph.initializer}
    if TensorProto.FLOAT16 in kinds or any(node.op_type == "DequantizeLinear" for node in model.graph.node):
        raise ExportError(f"{source} is not fp32: convert the file that it was made from")
    return model


def _halved(source: Path) -> onnx.ModelProto:
    model = _read(source)
    if model.opset_import[0].version < OPSET:
        model = version_converter.convert_version(model, OPSET)
    try:
        model = onnx.shape_inference.infer_shapes(model)
        halve(model)
        onnx.checker.check_model(model, full_check=True)
    except (ValueError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"{source} cannot be halved: {' '.join(str(error).split())}") from None
    return model


def _settle(
    model: onnx.ModelProto, source: Path, out: Path, pictures: list[dict[str, Any]], most: float | None
) -> float:
    """Write aside, compare, rename."""
    aside = out.with_name(out.name + ".part")
    onnx.save(model, aside)
    difference = _difference(source, aside, pictures)
    if most is not None and not difference <= most:
        aside.unlink()
        raise ExportError(f"{out}: differs from {source} by {difference:.2g} of its outputs' deviation: not written")
    os.replace(aside, out)
    return difference


def _difference(source: Path, made: Path, pictures: list[dict[str, Any]]) -> float:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    exact, other = (onnxruntime.InferenceSession(str(path), options) for path in (source, made))
    halves = {port.name for port in other.get_inputs() if port.type == "tensor(float16)"}
    worst = 0.0
    for feed in pictures:
        given = {name: value.astype(np.float16) if name in halves else value for name, value in feed.items()}
        for expected, found in zip(exact.run(None, feed), other.run(None, given), strict=True):
            off = np.sqrt(np.mean((found.astype(np.float64) - expected) ** 2))
            worst = max(worst, float(off / max(expected.std(), 1e-6)))
    return worst
