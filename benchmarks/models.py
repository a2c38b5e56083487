"""Which model is how fast, and how accurate? Every model at hand on the same pictures: time by stage, AP@.5, parameters, file size.

`fancam bench models --plot` also draws time against AP. The built-in network, those of `fancam models list` and other people's
files in a folder take turns picture by picture, one thread each; times are CPU time, medians over the pictures. Files in floating
point compute in bf16 where this CPU does. Without a class that is a face a model has times and no AP.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import openvino as ov
import typer

from benchmarks.pictures import JUDGE, LABELS, LEAST_SCORE, WEIGHTS, check_there, judged, photographs, prediction
from benchmarks.report import write_result
from benchmarks.scatter import Dot, save_scatter
from client.cli.models import registry
from engines.detect.detector import Detector, open_detector, settled
from engines.detect.families import UnknownFamily
from engines.frame import Detections, Frame
from engines.models import COCO, default_face_model
from engines.models.networks import FACES
from engines.runtimes import Precision, RuntimeFailure

STAGES = ("pre", "infer", "decode")
LONG_SIDES_PX = (640, 320)
ASKED: dict[str, tuple[str, tuple[str, ...]]] = {
    "yolox_nano_416": ("yolox", tuple(COCO.read_text(encoding="utf-8").splitlines()))
}
"""Files that leave their family open: what a user would say of them."""


class Model(NamedTuple):
    name: str
    file: Path
    family: str | None = None
    classes: tuple[str, ...] = ()
    precisions: tuple[Precision, ...] = ()


def models_at_hand(weights: Path) -> Iterator[Model]:
    floating: Precision = "bf16" if "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"
    yield Model("face_nano", default_face_model("int8"), precisions=("int8",))
    yield Model("face_nano", default_face_model(), precisions=tuple(dict.fromkeys((floating, "f32"))))
    there = registry()
    for model in there.all():
        yield Model(model.name, there.path(model.name), model.family, model.classes, (floating,))
    for file in sorted(weights.glob("*.onnx")):
        family, classes = ASKED.get(file.stem, (None, ()))
        yield Model(file.stem, file, family, classes, (floating,))


def opened(model: Model) -> Iterator[Detector]:
    """A detector for each precision and, where it takes any size, for each long side.

    Raises:
        RuntimeFailure, UnknownFamily: it is no detector, or not for sure.
    """
    for precision in model.precisions:
        for side in LONG_SIDES_PX:
            detector = open_detector(model.file, "openvino", precision, side, family=model.family, names=model.classes)
            yield detector
            if detector.fixed_size:
                break


def detect_timed(detector: Detector, frame: Frame) -> tuple[Detections, list[float]]:
    """What `detector` finds from `LEAST_SCORE` on, which a judge wants, and the CPU ms of each of the `STAGES`, of which the
    last ends with the boxes from the detector's own least score on.
    """
    letterbox = detector.letterbox(frame.width, frame.height)
    ready = detector.prepare(letterbox)
    size = letterbox.net_h, letterbox.net_w

    def decode(conf: float) -> Detections:
        found = settled(detector.family.decode(outputs, conf, size), detector.family.iou, len(detector.names))
        return Detections(
            letterbox.to_frame(found.boxes), found.scores, found.classes, letterbox.to_frame(found.landmarks),
            frame.rtp_time, frame.width, frame.height, complete=True,
            names=detector.names, face_names=detector.face_names,
        )  # fmt: skip

    stamps = [time.process_time()]
    ready.fill[0](frame, letterbox)
    stamps.append(time.process_time())
    outputs = ready.runtime.run()
    stamps.append(time.process_time())
    decode(detector.conf)
    stamps.append(time.process_time())
    return decode(LEAST_SCORE), (1000 * np.diff(stamps)).tolist()


def parameters(model: Path) -> int:
    """Numbers in the kernels and matrices that the network multiplies with; biases and tables of places are not counted."""
    total = 0
    for node in ov.Core().read_model(model).get_ordered_ops():
        if node.get_type_name() in ("Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul"):
            total += _constant_size(node.input_value(1).get_node())
    return total


def _constant_size(node: ov.Node) -> int:
    """Of the largest constant that a kernel is made of: of one in int8 there are scales beside it."""
    if node.get_type_name() == "Constant":
        return int(np.prod(list(node.get_output_shape(0))))
    return max((_constant_size(value.get_node()) for value in node.input_values()), default=0)


class Candidate:
    """A model in one precision and size, and what came of it so far."""

    def __init__(self, name: str, detector: Detector) -> None:
        self.name, self.detector = name, detector
        self.times_ms: list[list[float]] = []
        self.predictions: list[dict[str, Any]] = []

    def look(self, truth: dict[str, Any], frame: Frame) -> None:
        found, times_ms = detect_timed(self.detector, frame)
        self.times_ms.append(times_ms)
        self.predictions.append(prediction(truth, found.faces()))

    def row(self, truths: list[dict[str, Any]], judge: Path) -> dict[str, Any]:
        detector = self.detector
        stages = dict(zip(STAGES, np.median(self.times_ms, axis=0).round(3).tolist(), strict=True))
        total_ms = float(np.median(np.sum(self.times_ms, axis=1)))
        faces = any(name in FACES for name in detector.names)
        said = detector.describe()
        return {
            "name": self.name,
            "family": detector.family.name,
            "precision": said["precision"],
            "long_side_px": said["long_side_px"],
            **{f"{stage}_ms": took for stage, took in stages.items()},
            "total_ms": round(total_ms, 3),
            "fps": round(1000 / total_ms, 1),
            "ap50": judged(truths, self.predictions, judge)["ap50"] if faces else None,
            "parameters": parameters(detector.model),
            "bytes": detector.model.stat().st_size,
        }


def markdown(rows: list[dict[str, Any]]) -> str:
    head = (
        "model", "precision", "px", "ms before", "ms network", "ms after", "ms", "FPS", "AP@.5", "parameters, M", "MB"
    )  # fmt: skip
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [row["name"], row["precision"], row["long_side_px"]]
        cells += [f"{row[key]:.2f}" for key in ("pre_ms", "infer_ms", "decode_ms", "total_ms")]
        cells += [f"{row['fps']:.0f}", "–" if row["ap50"] is None else f"{row['ap50']:.3f}"]
        cells += [f"{row['parameters'] / 1e6:.2f}", f"{row['bytes'] / 1e6:.2f}"]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def command(
    labels: Annotated[Path, typer.Option(help="Labelled photographs.")] = LABELS,
    judge: Annotated[Path, typer.Option(help="The program that counts.")] = JUDGE,
    weights: Annotated[Path, typer.Option(help="A folder of other people's .onnx files.")] = WEIGHTS,
    every: Annotated[int, typer.Option(min=1, help="Take one photograph in so many.")] = 1,
    plot: Annotated[bool, typer.Option("--plot", help="Draw time against AP as well.")] = False,
) -> None:
    check_there(labels=labels, judge=judge)
    candidates = []
    for model in models_at_hand(weights):
        try:
            candidates += [Candidate(model.name, detector) for detector in opened(model)]
        except (RuntimeFailure, UnknownFamily) as error:
            print(f"{model.name} is left out: {error}")
    labelled = photographs(labels)[::every]
    for truth, frame in labelled:
        for candidate in candidates:
            candidate.look(truth, frame)
    rows = [candidate.row([truth for truth, _ in labelled], judge) for candidate in candidates]
    rows.sort(key=lambda row: row["total_ms"])
    table = markdown(rows)
    print(table, end="")
    written = write_result("models", {"labels": labels.name, "pictures": len(labelled), "threads": 1, "rows": rows})
    if written is None:
        return
    written.with_suffix(".md").write_text(table, encoding="utf-8")
    if plot:
        dots = [
            Dot(f"{row['name']} {row['precision']}", row["total_ms"], row["ap50"])
            for row in rows
            if row["ap50"] is not None
        ]
        save_scatter(written.with_suffix(".png"), dots, "CPU ms a picture, one thread", "AP@.5")
        print(f"written: {written.with_suffix('.png')}")
