"""One network in one runtime, from frames in memory to boxes: each stage timed, picture by picture of a batch."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from engines.detect.detector import settled
from engines.detect.families import family_of
from engines.detect.letterbox import Letterbox
from engines.detect.picture import PictureInput
from engines.frame import Frame
from engines.plans.gpu import read_state
from engines.runtimes import RuntimeKind, open_runtime, read_signature
from engines.scene.scene import random_scene

SCENE_PX: Final = {640: (640, 480), 1280: (1280, 720)}
FRAMES: Final = 4
CONF: Final = 0.25
"""What YOLOv5's own program keeps scores from."""
WARM_ROUNDS: Final = 2


CPU_KINDS: Final = ("openvino", "onnxruntime")


class Stages(NamedTuple):
    """Milliseconds a picture. `infer` holds the copies to and from a GPU where its runtime does not tell them apart; `copy` is 0
    where nothing is copied, None where it is not told."""

    pre: float
    infer: float
    nms: float
    copy: float | None


class Measured(NamedTuple):
    """`rounds` (n, 3): ms a picture of pre, infer and nms, a row for each batch that ran. `memory_mib`: on a CPU the most that the
    process had so far, on a GPU what is in use there."""

    stages: Stages
    rounds: np.ndarray
    boxes: float
    memory_mib: int

    def percentile(self, share: float) -> float:
        """Of a picture's whole time, ms."""
        return float(np.percentile(self.rounds.sum(1), share))


def measure(model: Path, side: int, kind: RuntimeKind, batch: int, threads: int, seconds: float) -> Measured:
    """Run batches for so long, at least five.

    Raises:
        RuntimeFailure: the runtime is not there or cannot load the network.
    """
    runtime: Any = open_runtime(model, side, side, kind=kind, threads=threads)
    family = family_of(read_signature(model, "onnxruntime"))
    slots = getattr(runtime, "slots", [runtime.inputs])[:batch]
    if len(slots) < batch:
        raise ValueError(f"{kind} takes {len(slots)} pictures at a time")
    assert family.look is not None
    fills = [PictureInput(next(iter(slot.values())), family.look) for slot in slots]
    width, height = SCENE_PX.get(side, (side, side))
    letterbox = Letterbox.within(width, height, side, side)
    frames = [
        Frame(*random_scene(number, width, height, performers=4, face_px=(20, 160)).planes(1.0), 0, 0)
        for number in range(FRAMES)
    ]

    def once() -> tuple[float, float, float, int]:
        began = time.perf_counter()
        for number, fill in enumerate(fills):
            fill.fill(frames[number % FRAMES], letterbox)
        filled = time.perf_counter()
        outputs = runtime.run(batch) if batch > 1 else runtime.run()
        ran = time.perf_counter()
        boxes = 0
        for number in range(batch):
            found = family.decode([output[number : number + 1] for output in outputs], CONF, (side, side))
            boxes += len(settled(found, family.iou, 80).scores)
        return filled - began, ran - filled, time.perf_counter() - ran, boxes

    for _ in range(WARM_ROUNDS):
        once()
    rounds: list[list[float]] = []
    boxes = 0
    until = time.perf_counter() + seconds
    while len(rounds) < 5 or time.perf_counter() < until:
        *times, found = once()
        rounds.append([1e3 * spent / batch for spent in times])
        boxes += found
    pre, infer, nms = (float(part) for part in np.median(rounds, axis=0))
    if kind in CPU_KINDS:
        copy, memory = 0.0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    else:
        copy, memory = None, read_state().used_mib
    return Measured(Stages(pre, infer, nms, copy), np.array(rounds), boxes / len(rounds) / batch, memory)
