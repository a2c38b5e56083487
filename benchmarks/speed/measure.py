"""One network in one runtime, from frames in memory to boxes: each stage timed, picture by picture of a batch."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from engines.detect.detector import filling, settled
from engines.detect.families import family_of
from engines.detect.letterbox import Letterbox
from engines.detect.on_gpu import ends_of
from engines.frame import Frame
from engines.plans.gpu import read_state
from engines.runtimes import RuntimeKind, open_runtime, read_signature
from engines.scene.scene import random_scene

SCENE_PX: Final = {640: (640, 480), 1280: (1280, 720)}
FRAMES: Final = 4
CONF: Final = 0.25
"""What YOLOv5's own program keeps scores from."""
WARM_ROUNDS: Final = 2
STAGE_ROUNDS: Final = 10

CPU_KINDS: Final = ("openvino", "onnxruntime")


class Stages(NamedTuple):
    """Milliseconds a picture. On a GPU each was waited for by itself, so together they take longer than a batch does; `copy` is all that
    takes frames there and brings answers back, by the CPU into page-locked memory too, and 0 on a CPU."""

    pre: float
    infer: float
    nms: float
    copy: float


class Measured(NamedTuple):
    """`rounds` (n,): ms a picture, all of a batch that ran. `memory_mib`: on a CPU the most that the process had so far, on a GPU what
    is in use there. `ready_s`: from the file to the first boxes. `sm_mhz`: a GPU's clock just after the last round."""

    stages: Stages
    rounds: np.ndarray
    boxes: float
    memory_mib: int
    ready_s: float
    sm_mhz: int | None = None

    def percentile(self, share: float) -> float:
        """Of a picture's whole time, ms."""
        return float(np.percentile(self.rounds, share))


def measure(model: Path, side: int, kind: RuntimeKind, batch: int, threads: int, seconds: float) -> Measured:
    """Run batches for so long, at least five.

    Raises:
        RuntimeFailure: the runtime is not there or cannot load the network.
    """
    signature = read_signature(model, "onnxruntime")
    family = family_of(signature)
    ends = None if kind in CPU_KINDS else ends_of(family, CONF, family.classes(signature))
    began = time.perf_counter()
    runtime: Any = open_runtime(model, side, side, kind=kind, threads=threads, ends=ends)
    fills = filling(runtime, family.look)[:batch]
    if len(fills) < batch:
        raise ValueError(f"{kind} takes {len(fills)} pictures at a time")
    width, height = SCENE_PX.get(side, (side, side))
    letterbox = Letterbox.within(width, height, side, side)
    frames = [
        Frame(*random_scene(number, width, height, performers=4, face_px=(20, 160)).planes(1.0), 0, 0)
        for number in range(FRAMES)
    ]

    def fill() -> None:
        for number, one in enumerate(fills):
            one(frames[number % FRAMES], letterbox)

    def decode(outputs: Any) -> int:
        found = 0
        for number in range(batch):
            one = family.decode([output[number : number + 1] for output in outputs], CONF, (side, side))
            found += len(settled(one, family.iou, family.classes(signature)).scores)
        return found

    def once() -> tuple[list[float], int]:
        """Seconds of pre, infer and nms; on a GPU that finds boxes itself infer is all that it does."""
        began = time.perf_counter()
        fill()
        filled = time.perf_counter()
        if ends is not None and ends.form is not None:
            boxes, ran = sum(len(kept.scores) for kept in runtime.find(batch)), time.perf_counter()
        else:
            outputs, ran = runtime.run(batch), time.perf_counter()
            boxes = decode(outputs)
        return [filled - began, ran - filled, time.perf_counter() - ran], boxes

    once()
    ready_s = time.perf_counter() - began
    for _ in range(WARM_ROUNDS):
        once()
    rounds: list[list[float]] = []
    boxes = 0
    until = time.perf_counter() + seconds
    while len(rounds) < 5 or time.perf_counter() < until:
        times, found = once()
        rounds.append([1e3 * spent / batch for spent in times])
        boxes += found
    pre, infer, nms = (float(part) for part in np.median(rounds, axis=0))
    total, boxes_each = np.sum(rounds, axis=1), boxes / len(rounds) / batch
    if ends is None:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        return Measured(Stages(pre, infer, nms, 0.0), total, boxes_each, memory, ready_s)
    state = read_state()
    apart = [runtime.stages(batch) for _ in range(STAGE_ROUNDS)]
    median = {name: 1e3 * float(np.median([took[name] for took in apart])) / batch for name in apart[0]}
    stages = Stages(median["pre"], median["infer"], nms + median["nms"], pre + median["copy"])
    return Measured(stages, total, boxes_each, state.used_mib, ready_s, state.sm_mhz)
