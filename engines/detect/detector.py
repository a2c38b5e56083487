"""The detector: frames in, complete detections out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from engines.detect.families.fancam_face import decode
from engines.detect.letterbox import Letterbox
from engines.detect.nms import suppress
from engines.frame import Detections, Frame
from engines.models import default_face_model
from engines.runtimes import (
    KINDS,
    Precision,
    Runtime,
    RuntimeFailure,
    RuntimeKind,
    available,
    best_precision,
    open_runtime,
)

DEFAULT_LONG_SIDE: Final = 640
LEAST_SCORE: Final = 0.1
"""Scores from here on are kept: the tracker and the redactor know what to make of low ones."""
SHAPES_KEPT: Final = 8


class Detector:
    """One thread's detector: a compiled network per letterbox shape in use."""

    def __init__(
        self, model: Path, kind: RuntimeKind, precision: Precision, long_side: int, threads: int, conf: float
    ) -> None:
        self.model, self.kind, self.precision = model, kind, precision
        self.long_side, self.threads, self.conf = long_side, threads, conf
        self._runtimes: dict[tuple[int, int], Runtime] = {}

    def detect(self, frames: Sequence[Frame]) -> list[Detections]:
        """Run the network on each frame. On a CPU a batch gains nothing, so pictures go one by one.

        Raises:
            RuntimeFailure: the network cannot be compiled for a frame's shape.
        """
        return [self._detect(frame) for frame in frames]

    def _detect(self, frame: Frame) -> Detections:
        letterbox = Letterbox.fit(frame.width, frame.height, self.long_side)
        runtime = self._runtime(letterbox)
        letterbox.fill(frame, runtime.y, runtime.uv)
        boxes, scores, landmarks = decode(runtime.run(), self.conf)
        kept = suppress(boxes, scores)
        boxes = letterbox.to_frame(boxes[kept])
        landmarks = letterbox.to_frame(landmarks[kept])
        return Detections(
            boxes, scores[kept], np.zeros(len(kept), np.int32), landmarks,
            frame.rtp_time, frame.width, frame.height, complete=True,
        )  # fmt: skip

    def _runtime(self, letterbox: Letterbox) -> Runtime:
        shape = letterbox.net_h, letterbox.net_w
        runtime = self._runtimes.pop(shape, None)
        if runtime is None:
            runtime = open_runtime(self.model, *shape, kind=self.kind, precision=self.precision, threads=self.threads)
            while len(self._runtimes) >= SHAPES_KEPT:
                del self._runtimes[next(iter(self._runtimes))]
        self._runtimes[shape] = runtime
        return runtime

    def warm_up(self, width: int, height: int) -> None:
        """Compile for frames of this size and run once, so that the first real frame is not late."""
        self._runtime(Letterbox.fit(width, height, self.long_side)).run()

    def describe(self) -> dict[str, Any]:
        """What runs where, for `fancam doctor`, summaries and metrics; the precision is what was asked for until a network
        is compiled, then what it computes in."""
        compiled = next(iter(self._runtimes.values()), None)
        return {
            "model": self.model.name,
            "runtime": self.kind,
            "precision": compiled.precision if compiled is not None else self.precision,
            "long_side_px": self.long_side,
            "threads": self.threads,
        }


def open_detector(
    model: Path | None = None,
    runtime: RuntimeKind | Literal["auto"] = "auto",
    precision: Precision | Literal["auto"] = "auto",
    long_side: int = DEFAULT_LONG_SIDE,
    threads: int = 1,
    conf: float = LEAST_SCORE,
) -> Detector:
    """The default face network on the best runtime here, or what was asked for.

    `precision` "auto" takes int8 or bf16 where the CPU has the instructions; with a `model` of one's own it computes as
    the file says. `conf`: scores from here on are kept.

    Raises:
        RuntimeFailure: no such runtime here, or no such model.
    """
    if runtime == "auto":
        if not available():
            raise RuntimeFailure(f"no runtime here: install one of {', '.join(KINDS)}")
        runtime = available()[0]
    elif runtime not in available():
        raise RuntimeFailure(f"the runtime {runtime} cannot be used here: fancam doctor says why")
    if precision == "auto":
        precision = best_precision(runtime)
        if model is not None and precision == "int8":
            precision = "f32"
    if model is None:
        model = default_face_model("int8" if precision == "int8" else "f32")
    if not model.is_file():
        raise RuntimeFailure(f"no model at {model}")
    return Detector(model, runtime, precision, long_side, threads, conf)
